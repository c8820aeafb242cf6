"""What becomes of a call when the client that asked for it is gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message
from tessera.ticket.v1 import event_pb2, hold_pb2

from tests.unit.gateway.support import World


async def test_a_read_is_cancelled(gateway: World) -> None:
    at_work = asyncio.Event()

    async def never(_request: Message) -> Message:
        at_work.set()
        await asyncio.Event().wait()
        return event_pb2.Event()

    gateway.services.answers["GetEvent"] = never
    sent = await _request(gateway, "GET", "/v1/events/evt_1", leaves=at_work)
    await gateway.services.cancelled.wait()
    assert not sent


async def test_a_change_runs_to_its_end(gateway: World) -> None:
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Message) -> Message:
        at_work.set()
        await may_end.wait()
        return hold_pb2.Hold(id="hold_1")

    gateway.services.answers["ReleaseHold"] = slow
    request = asyncio.create_task(_request(gateway, "DELETE", "/v1/holds/hold_1", leaves=at_work))
    await at_work.wait()
    may_end.set()
    sent = await request
    assert sent[0]["status"] == 200
    assert not gateway.services.cancelled.is_set()


async def test_a_hold_that_nobody_will_ever_hear_of_is_released(gateway: World) -> None:
    sent = await _hold(gateway, {})
    assert not sent
    async with asyncio.timeout(30):
        while gateway.services.calls[-1].method != "ReleaseHold":
            await asyncio.sleep(0.001)
    assert gateway.services.calls[-1].request.hold_id == "hold_1"


async def test_a_hold_whose_client_may_come_again_is_kept_for_it(gateway: World) -> None:
    sent = await _hold(gateway, {b"idempotency-key": b"k"})
    assert sent[0]["status"] == 201
    assert [call.method for call in gateway.services.calls] == ["CreateHold"]


async def _hold(gateway: World, headers: dict[bytes, bytes]) -> list[dict[str, Any]]:
    """What is sent to a client that asks for a hold, and hangs up before it is made."""
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Message) -> Message:
        at_work.set()
        await may_end.wait()
        return hold_pb2.Hold(id="hold_1")

    gateway.services.answers["CreateHold"] = slow
    body = b'{"event_id": "evt_1", "items": [{"ticket_type_id": "tt_1", "quantity": 1}]}'
    headers = {b"content-type": b"application/json", **headers}
    request = asyncio.create_task(
        _request(gateway, "POST", "/v1/holds", at_work, body=body, headers=headers)
    )
    await at_work.wait()
    await asyncio.sleep(0)
    may_end.set()
    return await request


async def _request(
    gateway: World,
    method: str,
    path: str,
    leaves: asyncio.Event,
    *,
    body: bytes = b"",
    headers: dict[bytes, bytes] | None = None,
) -> list[dict[str, Any]]:
    """What is sent to a client that is gone once `leaves` is set."""
    sent: list[dict[str, Any]] = []
    scope = _scope(method, path)
    scope["headers"] += list((headers or {}).items())
    await gateway.app(scope, _client(leaves, body), _collect(sent))
    return sent


def _scope(method: str, path: str) -> dict[str, Any]:
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"gateway")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


def _client(leaves: asyncio.Event, body: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in messages:
            return message
        await leaves.wait()
        return {"type": "http.disconnect"}

    return receive


def _collect(sent: list[dict[str, Any]]) -> Callable[[dict[str, Any]], Awaitable[None]]:
    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    return send
