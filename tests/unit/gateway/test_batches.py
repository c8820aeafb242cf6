"""Calls that are made together, and those that must not wait for each other."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from tessera.ticket.v1 import hold_pb2

from tests.unit.gateway.support import World


class Door:
    """Answers the first request for a hold when it is opened, and all others at once."""

    def __init__(self, gateway: World) -> None:
        self.arrived, self.opened = asyncio.Event(), asyncio.Event()
        gateway.services.answers["CreateHold"] = self._answer

    async def _answer(self, _request: Message) -> Message:
        if not self.arrived.is_set():
            self.arrived.set()
            await self.opened.wait()
        return hold_pb2.Hold(id="hold_1")


def ask(gateway: World, **fields: Any) -> Awaitable[httpx.Response]:
    body = {"event_id": "evt_1", "items": [{"ticket_type_id": "tt_1", "quantity": 1}], **fields}
    return gateway.client.post("/v1/holds", json=body)


@pytest.mark.parametrize("fields", [{}, {"event_id": "evt_2"}, {"voucher_code": "OTHER"}])
async def test_nobody_waits_for_holds_of_another_event_or_voucher(
    gateway: World, fields: dict[str, str]
) -> None:
    door = Door(gateway)
    first = asyncio.ensure_future(ask(gateway, voucher_code="SLOW"))
    await door.arrived.wait()
    assert (await ask(gateway, **fields)).status_code == 201
    assert not first.done()
    door.opened.set()
    assert (await first).status_code == 201


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next(gateway: World) -> None:
    door = Door(gateway)
    first = asyncio.ensure_future(ask(gateway))
    await door.arrived.wait()
    others = [asyncio.ensure_future(ask(gateway)) for _ in range(5)]
    other_event = await ask(gateway, event_id="evt_2")
    assert other_event.status_code == 201
    assert not any(other.done() for other in others)
    door.opened.set()
    answers = await asyncio.gather(first, *others)
    assert [answer.status_code for answer in answers] == [201] * 6
