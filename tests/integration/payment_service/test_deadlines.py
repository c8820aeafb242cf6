"""Orders that end without being paid, and payments that arrive just then."""

import asyncio

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2
from tessera.ticket.v1 import event_pb2

from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    opened_by,
    state_of,
)
from tests.integration.ticket_service.support import eventually, new_key, refused


async def returned(shop: Shop, event: event_pb2.Event, remaining: int) -> None:
    """Wait until so many tickets are on sale."""

    async def look() -> bool:
        return await shop.remaining(event) == remaining

    await eventually(look)


async def test_order_that_is_not_paid_in_time_expires(shop: Shop) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event, 2))
    assert await shop.remaining(event) == 8
    await shop.reach_deadline(order)
    await shop.becomes(order, "EXPIRED")
    await shop.settled()
    (told,) = shop.announced.that(messages_pb2.OrderExpired, order.id)
    assert not told.notify
    assert (await shop.intent(order)).status == "canceled"
    assert (await shop.get(order)).payment.state == order_pb2.PAYMENT_STATE_CANCELLED
    await returned(shop, event, 10)
    assert (await shop.pay(order)).status_code == 400


async def test_order_waits_for_its_deadline(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.attempt_now(order)
    await shop.settled()
    assert state_of(await shop.get(order)) == "PENDING"


@pytest.mark.parametrize("by", ["customer", "admin"])
async def test_cancelled_order_can_no_longer_be_paid(shop: Shop, by: str) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event, 3))
    cancelled = await shop.cancel(order, by=opened_by(order) if by == "customer" else shop.admin)
    assert (state_of(cancelled), cancelled.cancel_reason) == ("CANCELLED", "CANCELLED")
    assert not cancelled.payment.client_secret
    assert await shop.remaining(event) == 10
    await shop.settled()
    assert (await shop.intent(order)).status == "canceled"
    assert (await shop.pay(order)).status_code == 400


async def test_cancelling_twice_is_the_same_as_once(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    first = await shop.cancel(order, key=key)
    assert await shop.cancel(order, key=key) == first
    assert state_of(await shop.cancel(order)) == "CANCELLED"


async def test_key_that_cancelled_another_order_is_refused(shop: Shop) -> None:
    key = new_key()
    await shop.cancel(await shop.ordered(), by=shop.admin, key=key)
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.cancel(await shop.ordered(), by=shop.admin, key=key)


async def test_order_that_ended_cannot_be_cancelled(shop: Shop) -> None:
    paid, overdue = await shop.ordered(price="0.00"), await shop.ordered()
    with refused("ORDER_NOT_CANCELLABLE"):
        await shop.cancel(paid)
    await shop.reach_deadline(overdue)
    await shop.becomes(overdue, "EXPIRED")
    with refused("ORDER_EXPIRED"):
        await shop.cancel(overdue)


async def test_order_cannot_be_cancelled_while_its_payment_goes_through(shop: Shop) -> None:
    order = await shop.ordered()
    capture = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(capture, action="delay", seconds=20)
    await shop.pay(order)
    await shop.sandbox.held_back(capture)
    with refused("PAYMENT_IN_PROGRESS"):
        await shop.cancel(order)
    await shop.sandbox.clear_faults()
    await shop.becomes(order, "PAID")


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.05, 0.1])
async def test_paying_and_cancelling_at_once_ends_in_one_of_the_two(
    shop: Shop, delay_s: float
) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event))

    async def cancel_soon() -> None:
        await asyncio.sleep(delay_s)
        await shop.cancel(order)

    await at_once(shop.pay(order), cancel_soon())
    await shop.settled()
    state = state_of(await shop.get(order))
    assert await shop.remaining(event) == (9 if state == "PAID" else 10)
    assert state in {"PAID", "CANCELLED"}


async def test_payment_authorised_just_as_the_hold_expired_gets_its_tickets_if_they_are_there(
    shop: Shop,
) -> None:
    event = await shop.event(stock=1)
    order = await authorised(shop, event)
    await shop.expire_hold(order.hold_id)
    assert await shop.remaining(event) == 1
    await shop.reach_deadline(order)
    await shop.becomes(order, "PAID")
    assert await shop.remaining(event) == 0


async def test_payment_authorised_just_as_its_tickets_went_to_others_is_voided(
    shop: Shop,
) -> None:
    order = await authorised_too_late(shop)
    cancelled = await shop.becomes(order, "CANCELLED")
    await shop.settled()
    assert cancelled.cancel_reason == "SOLD_OUT"
    intent = await shop.intent(order)
    assert (intent.status, intent.amount_received) == ("canceled", 0)
    assert await shop.issued(order) == []


async def test_payment_charged_just_as_its_tickets_went_to_others_is_refunded(
    shop: Shop,
) -> None:
    order = await authorised_too_late(shop, charged=True)
    cancelled = await shop.becomes(order, "CANCELLED")
    await shop.settled()
    assert cancelled.cancel_reason == "SOLD_OUT"
    charge = await shop.charge(order)
    assert (charge.amount_captured, charge.amount_refunded) == (5000, 5000)
    assert (await shop.booked(order)) == {"charge": 5000, "fee": -100, "refund": -5000}
    (told,) = shop.announced.that(messages_pb2.OrderCancelled, order.id)
    assert told.reason == "SOLD_OUT"
    found = "SELECT r.state FROM refunds r JOIN payments p ON p.id = r.payment_id"
    rows = await shop.installation.execute(
        "payment", f"{found} WHERE p.order_id = :id", id=order.id
    )
    assert [row.state for row in rows] == ["SUCCEEDED"]


async def test_payment_for_an_event_that_was_called_off_is_voided(shop: Shop) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event))
    await shop.call_off(event)
    await shop.pay(order)
    cancelled = await shop.becomes(order, "CANCELLED")
    # Whoever hears of it first says why: the payment, or the event's own cancellation.
    assert cancelled.cancel_reason in {"EVENT_NOT_ON_SALE", "EVENT_CANCELLED"}
    await shop.settled()
    assert (await shop.intent(order)).amount_received == 0


async def test_payment_that_is_charged_after_its_order_expired_is_refunded(shop: Shop) -> None:
    """Stripe cannot cancel a bank debit that is under way."""
    order = await shop.ordered()
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await shop.pay(order, "pm_sepa_debit")
    await shop.cancel(order)
    cancelling = f"/v1/payment_intents/{intent_id(order)}/cancel"

    async def was_tried() -> bool:
        return await shop.calls(cancelling) > 0

    await eventually(was_tried)
    await shop.sandbox.clear_faults()
    await shop.sandbox.ask("/settle", object=intent_id(order))

    async def is_back() -> bool:
        return (await shop.charge(order)).amount_refunded == 5000

    await eventually(is_back)
    await shop.settled()
    assert (await shop.booked(order)) == {"charge": 5000, "fee": -100, "refund": -5000}


async def authorised(
    shop: Shop, event: event_pb2.Event, *, charged: bool = False
) -> order_pb2.Order:
    """An order whose payment went through, but nobody heard of it yet."""
    order = await shop.order(await shop.hold(event))
    if charged:
        await shop.charges_at_once(order)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await shop.pay(order)
    return order


async def authorised_too_late(shop: Shop, *, charged: bool = False) -> order_pb2.Order:
    """The same, and somebody else has held the last ticket meanwhile."""
    event = await shop.event(stock=1)
    order = await authorised(shop, event, charged=charged)
    await shop.give_to_others(order, event)
    await shop.reach_deadline(order)
    return order
