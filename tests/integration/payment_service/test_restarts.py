"""Services that go away in the middle of a sale, and come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.integration.payment_service.support import Shop, intent_id, opened_by, state_of
from tests.integration.ticket_service.support import eventually, refused


@asynccontextmanager
async def down(shop: Shop, service: str) -> AsyncIterator[None]:
    """A time in which a service does not run."""
    await shop.installation.stop(service)
    try:
        yield
    finally:
        await shop.installation.start(service)
        for caller in ("gateway", "payment_service"):
            await shop.installation.mesh(caller).channel(service).channel_ready()
        await shop.installation.hosts["payment_service"].mesh.channel(service).channel_ready()


async def test_customer_who_pays_while_payment_service_is_down_gets_the_tickets(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    async with down(shop, "payment_service"):
        await shop.pay(order)
    await shop.becomes(order, "PAID")


async def test_deadline_that_passes_while_payment_service_is_down_is_made_up_for(
    shop: Shop,
) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event))
    await shop.reach_deadline(order)
    async with down(shop, "payment_service"):

        async def is_back() -> bool:
            return await shop.remaining(event) == 10

        await eventually(is_back)
    await shop.becomes(order, "EXPIRED")


async def test_payment_waits_for_ticket_service(shop: Shop) -> None:
    order = await shop.ordered()
    async with down(shop, "ticket_service"):
        await shop.pay(order)

        async def was_tried() -> bool:
            tried = "SELECT 1 FROM orders WHERE id = :id AND fulfilment = 'ISSUING'"
            return bool(await shop.installation.execute("payment", tried, id=order.id))

        await eventually(was_tried)
        assert state_of(await shop.get(order)) == "PENDING"
        with refused("PAYMENT_IN_PROGRESS"):
            await shop.cancel(order)
        assert await shop.calls(f"{intent_id(order)}/capture") == 0
    await shop.becomes(order, "PAID")


async def test_free_order_waits_for_ticket_service(shop: Shop) -> None:
    held = await shop.hold(await shop.event(price="0.00"))
    async with down(shop, "ticket_service"):
        with refused("UNAVAILABLE"):
            await shop.order(held)
    assert state_of(await shop.order(held)) == "PAID"


async def test_order_is_cancelled_without_ticket_service(shop: Shop) -> None:
    order = await shop.ordered()
    async with down(shop, "ticket_service"):
        cancelled = await shop.cancel(order, by=opened_by(order))
        assert state_of(cancelled) == "CANCELLED"
    await shop.settled()
    assert (await shop.intent(order)).status == "canceled"


async def test_payment_service_finishes_what_it_has_begun_before_it_stops(shop: Shop) -> None:
    order = await shop.ordered()
    capture = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(capture, action="delay", seconds=20)
    await shop.pay(order)
    await shop.sandbox.held_back(capture)
    stopping = asyncio.create_task(shop.installation.stop("payment_service"))
    try:
        await shop.sandbox.clear_faults()
        await stopping
        read = "SELECT state FROM orders WHERE id = :id"
        (row,) = await shop.installation.execute("payment", read, id=order.id)
        assert row.state == "PAID"
    finally:
        await shop.installation.start("payment_service")
