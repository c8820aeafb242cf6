"""Holding what only a voucher opens, which payment_service is asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tessera.ticket.v1 import event_pb2, hold_pb2, hold_service_pb2

from deploy.local.environment import free_port
from kit.rpc_client import Mesh
from kit.rpc_errors import from_proto
from kit.settings import Environment
from kit.tls import Identity
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    new_key,
    outcome,
    refused,
)
from tests.integration.ticket_service.vouchers import VoucherExhausted, Vouchers
from ticket_service.vouchers_client import MAX_AT_ONCE, VouchersClient, VouchersUnavailable

CODE = "FRIENDS"


async def backstage(shop: Shop, organizer: Organizer) -> event_pb2.Event:
    """A published event with a ticket type for everybody, and one that CODE opens."""
    published = await shop.on_sale(organizer, {"name": "Standard"}, {"is_hidden": True})
    shop.vouchers.opened[published.id, CODE] = [published.ticket_types[1].id]
    return published


async def batch(
    shop: Shop, *requests: hold_service_pb2.CreateHoldRequest
) -> list[hold_pb2.Hold | str]:
    """Each request's hold, or the reason it was refused for."""
    together = hold_service_pb2.BatchCreateHoldsRequest(requests=requests)
    results = (await shop.public.holds.BatchCreateHolds(together)).results
    return [
        result.hold if result.HasField("hold") else from_proto(result.error).reason
        for result in results
    ]


def reasons(results: list[hold_pb2.Hold | str]) -> list[str]:
    return [result if isinstance(result, str) else "OK" for result in results]


async def remaining(shop: Shop, of: event_pb2.Event) -> list[int]:
    rows = await shop.execute(
        "SELECT remaining FROM ticket_types WHERE event_id = :id ORDER BY id", id=of.id
    )
    return [row[0] for row in rows]


async def test_only_a_voucher_that_opens_it_holds_a_hidden_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    published = await backstage(shop, organizer)
    shop.vouchers.opened[published.id, "OTHER"] = [published.ticket_types[0].id]
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.hold(published, 1, 2)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.public.holds.CreateHold(hold(published, 1, 2, voucher_code="OTHER"))
    with refused("VOUCHER_NOT_FOUND"):
        await shop.public.holds.CreateHold(hold(published, 1, 2, voucher_code="NONE"))
    assert await remaining(shop, published) == [10, 10]
    held = await shop.public.holds.CreateHold(hold(published, 1, 2, voucher_code=CODE))
    assert [item.quantity for item in held.items] == [1, 2]
    assert await remaining(shop, published) == [9, 8]


async def test_a_hidden_ticket_type_keeps_to_its_other_limits(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"is_hidden": True, "total_stock": 1})
    shop.vouchers.opened[published.id, CODE] = [published.ticket_types[0].id]
    await shop.public.holds.CreateHold(hold(published, 1, voucher_code=CODE))
    with refused("SOLD_OUT"):
        await shop.public.holds.CreateHold(hold(published, 1, voucher_code=CODE))


async def test_who_sends_no_code_asks_nobody(shop: Shop, organizer: Organizer) -> None:
    published = await backstage(shop, organizer)
    await shop.hold(published)
    assert reasons(await batch(shop, hold(published, 1), hold(published, 0, 1))) == [
        "OK",
        "TICKET_TYPE_NOT_FOUND",
    ]
    assert not any(event_id == published.id for event_id, _ in shop.vouchers.asked)


async def test_each_request_of_a_batch_stands_or_falls_with_its_own_voucher(
    shop: Shop, organizer: Organizer
) -> None:
    published = await backstage(shop, organizer)
    shop.vouchers.opened[published.id, "SPENT"] = VoucherExhausted()
    results = await batch(
        shop,
        hold(published, 0, 1, voucher_code=CODE),
        hold(published, 1, 0, voucher_code="NONE"),
        hold(published, 1),
        hold(published, 0, 1, voucher_code="SPENT"),
        hold(published, 0, 1),
        hold(published, 1, 1, voucher_code=CODE),
        hold(published, 1, voucher_code="x" * 65),
    )
    assert reasons(results) == [
        "OK",
        "VOUCHER_NOT_FOUND",
        "OK",
        "VOUCHER_EXHAUSTED",
        "TICKET_TYPE_NOT_FOUND",
        "OK",
        "INVALID_REQUEST",
    ]
    assert await remaining(shop, published) == [8, 8]


async def test_a_crowd_with_one_code_is_asked_about_together(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"is_hidden": True, "total_stock": 1000})
    shop.vouchers.opened[published.id, CODE] = [published.ticket_types[0].id]
    request = hold(published, 1, voucher_code=CODE)
    assert reasons(await batch(shop, *[request] * 300)) == ["OK"] * 300
    assert shop.vouchers.asked[published.id, CODE] == 1


async def test_many_codes_are_asked_about_a_few_at_a_time(shop: Shop, organizer: Organizer) -> None:
    published = await backstage(shop, organizer)
    gate = shop.vouchers.delayed[published.id] = asyncio.Event()
    requests = [hold(published, 1, voucher_code=f"GUESS-{n}") for n in range(3 * MAX_AT_ONCE)]
    waiting = asyncio.create_task(batch(shop, *requests))
    await eventually(lambda: _is(shop.vouchers.waiting[published.id] == MAX_AT_ONCE))
    gate.set()
    assert reasons(await waiting) == ["VOUCHER_NOT_FOUND"] * len(requests)
    assert shop.vouchers.most_at_once <= MAX_AT_ONCE


async def test_nobody_without_a_code_waits_for_vouchers(shop: Shop, organizer: Organizer) -> None:
    published = await backstage(shop, organizer)
    gate = shop.vouchers.delayed[published.id] = asyncio.Event()
    request = hold(published, 0, 1, voucher_code=CODE)
    with_voucher = asyncio.create_task(batch(shop, request))
    await eventually(lambda: _is(shop.vouchers.waiting[published.id] == 1))
    assert reasons(await batch(shop, hold(published, 1))) == ["OK"]
    await shop.hold(published)
    assert not with_voucher.done()
    gate.set()
    assert reasons(await with_voucher) == ["OK"]


async def test_nothing_is_locked_while_payment_service_is_asked(
    shop: Shop, organizer: Organizer
) -> None:
    published = await backstage(shop, organizer)
    gate = shop.vouchers.delayed[published.id] = asyncio.Event()
    request = hold(published, 0, 1, voucher_code=CODE, idempotency_key=new_key())
    waiting = asyncio.create_task(outcome(shop.public.holds.CreateHold(request)))
    await eventually(lambda: _is(shop.vouchers.waiting[published.id] == 1))
    async with shop.database.begin() as tx:
        await tx.exec_driver_sql(
            "SELECT 1 FROM ticket_types WHERE event_id = $1 FOR UPDATE NOWAIT", (published.id,)
        )
    gate.set()
    assert await waiting == "OK"


async def test_a_key_gets_its_hold_again_after_the_voucher_is_used_up(
    shop: Shop, organizer: Organizer
) -> None:
    published = await backstage(shop, organizer)
    request = hold(published, 0, 2, voucher_code=CODE, idempotency_key=new_key())
    held = await shop.public.holds.CreateHold(request)
    shop.vouchers.opened[published.id, CODE] = VoucherExhausted()
    assert await shop.public.holds.CreateHold(request) == held
    assert await batch(shop, request) == [held]
    request.items[0].quantity = 1
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.holds.CreateHold(request)
    request.idempotency_key = new_key()
    with refused("VOUCHER_EXHAUSTED"):
        await shop.public.holds.CreateHold(request)
    shop.vouchers.opened[published.id, CODE] = [published.ticket_types[1].id]
    await shop.public.holds.CreateHold(request)  # the refusal left the key free
    assert await remaining(shop, published) == [10, 7]


async def test_the_same_key_with_another_code_is_another_request(
    shop: Shop, organizer: Organizer
) -> None:
    published = await backstage(shop, organizer)
    request = hold(published, 0, 2, voucher_code=CODE, idempotency_key=new_key())
    await shop.public.holds.CreateHold(request)
    request.voucher_code = ""
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.holds.CreateHold(request)


@asynccontextmanager
async def client(
    shop: Shop, tls_dir: Path, vouchers: Vouchers | None
) -> AsyncIterator[VouchersClient]:
    """Asks these vouchers, or nobody."""
    address = f"127.0.0.1:{free_port()}"
    environment = Environment({"TESSERA_PAYMENT_SERVICE_ADDRESS": address})
    mesh = Mesh(environment, Identity.load(tls_dir, "ticket_service"))
    if vouchers is None:
        yield VouchersClient(mesh)
    else:
        async with vouchers.serving(address, tls_dir, shop.issuer):
            yield VouchersClient(mesh, patience_s=0.2)
    await mesh.close()


async def test_an_answer_that_does_not_come_in_time_is_not_waited_for(
    shop: Shop, tls_dir: Path
) -> None:
    vouchers = Vouchers()  # type: ignore[abstract]  # the rest is payment_service's
    gate = vouchers.delayed["evt_slow"] = asyncio.Event()
    async with client(shop, tls_dir, vouchers) as asking:
        with pytest.raises(VouchersUnavailable):
            await asking.opened("evt_slow", CODE)
        gate.set()
        vouchers.opened["evt_slow", CODE] = ["tt_1"]
        assert await asking.opened("evt_slow", CODE) == {"tt_1"}


async def test_a_payment_service_that_is_away_is_said_to_be(shop: Shop, tls_dir: Path) -> None:
    async with client(shop, tls_dir, None) as asking:
        assert await outcome(asking.opened("evt_1", CODE)) == "UNAVAILABLE"


async def _is(fact: bool) -> bool:
    return fact
