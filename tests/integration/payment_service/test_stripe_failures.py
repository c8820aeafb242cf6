"""Stripe failing at any call: errors, silence, and answers that are lost."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tessera.payment.v1 import order_pb2

from tests.integration.payment_service.support import Shop, intent_id
from tests.integration.ticket_service.support import eventually, refused

# As many times as it takes that the SDK, which tries twice, gives up.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "rate limit": {"action": "error", "status": 429},
    "failure": {"action": "error", "status": 500, "times": 2},
    "failure after the effect": {"action": "error", "status": 500, "when": "after", "times": 2},
    "no connection": {"action": "drop", "times": 2},
    "lost answer": {"action": "drop", "when": "after", "times": 2},
}
every_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


@every_fault
async def test_creation_that_fails_says_so_and_works_later(
    shop: Shop, fault: Mapping[str, Any]
) -> None:
    held = await shop.hold(await shop.event())
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await shop.spoil("/v1/payment_intents", method="POST", **fault)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.order(held)
    await shop.sandbox.clear_faults()
    order = await shop.order(held)
    await shop.sandbox.ask("/webhooks/release")
    await shop.pay(order)
    await shop.becomes(order, "PAID")


@every_fault
async def test_capture_that_fails_charges_once_in_the_end(
    shop: Shop, fault: Mapping[str, Any]
) -> None:
    order = await shop.ordered()
    await shop.spoil(f"/v1/payment_intents/{intent_id(order)}/capture", **fault)
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    assert (await shop.charge(order)).amount_captured == 5000


@every_fault
async def test_cancellation_that_fails_frees_the_money_in_the_end(
    shop: Shop, fault: Mapping[str, Any]
) -> None:
    order = await sold_out(shop)
    await shop.spoil(f"/v1/payment_intents/{intent_id(order)}/cancel", **fault)
    await shop.reach_deadline(order)
    await shop.becomes(order, "CANCELLED")
    await shop.settled()
    intent = await shop.intent(order)
    assert (intent.status, intent.amount_received) == ("canceled", 0)


@every_fault
async def test_refund_that_fails_is_made_once_in_the_end(
    shop: Shop, fault: Mapping[str, Any]
) -> None:
    order = await sold_out(shop, charged=True)
    await shop.spoil("/v1/refunds", method="POST", **fault)
    await shop.reach_deadline(order)
    await shop.becomes(order, "CANCELLED")
    await shop.settled()
    refunds = await shop.sandbox.stripe.v1.refunds.list_async({"payment_intent": intent_id(order)})
    assert [refund.amount for refund in refunds.data] == [5000]


@pytest.mark.parametrize("name", ["rate limit", "failure", "no connection"])
async def test_look_that_fails_is_repeated_before_the_order_is_given_up(
    shop: Shop, name: str
) -> None:
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    order = await shop.ordered()
    await shop.pay(order)
    await shop.spoil(f"/v1/payment_intents/{intent_id(order)}", **FAULTS[name])
    await shop.reach_deadline(order)
    await shop.becomes(order, "PAID")


async def test_order_whose_payment_was_never_prepared_expires(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=503, times=2)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.order(held)
    await shop.reach_deadline(await shop.stored(held))
    await shop.settled()
    expired = await shop.order(held)
    assert expired.state == order_pb2.ORDER_STATE_EXPIRED
    assert expired.payment.state == order_pb2.PAYMENT_STATE_CANCELLED
    assert expired.payment.client_secret == ""


async def test_payment_that_is_prepared_too_late_cannot_be_paid(shop: Shop) -> None:
    """Stripe answers the creation after the order has expired."""
    held = await shop.hold(await shop.event())
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await shop.spoil("/v1/payment_intents", method="POST", action="delay", when="after", seconds=8)
    opening = asyncio.create_task(shop.order(held))
    await shop.sandbox.held_back("/v1/payment_intents")
    stored = await shop.stored(held)
    await shop.reach_deadline(stored)
    closed = "SELECT 1 FROM payments WHERE order_id = :id AND state = 'CANCELLED'"

    async def is_closed() -> bool:
        return bool(await shop.installation.execute("payment", closed, id=stored.id))

    await eventually(is_closed)
    await shop.sandbox.clear_faults()
    expired = await opening
    assert expired.state == order_pb2.ORDER_STATE_EXPIRED
    assert expired.payment.client_secret == ""
    await shop.sandbox.ask("/webhooks/release")


async def test_one_order_that_stripe_keeps_waiting_delays_no_other(shop: Shop) -> None:
    slow, quick = await shop.ordered(), await shop.ordered()
    capture = f"/v1/payment_intents/{intent_id(slow)}/capture"
    await shop.spoil(capture, action="delay", seconds=20)
    await shop.pay(slow)
    await shop.sandbox.held_back(capture)
    await shop.pay(quick)
    await shop.becomes(quick, "PAID")
    assert (await shop.get(slow)).state == order_pb2.ORDER_STATE_PENDING
    await shop.sandbox.clear_faults()
    await shop.becomes(slow, "PAID")


async def sold_out(shop: Shop, *, charged: bool = False) -> order_pb2.Order:
    """An order whose payment went through unheard after somebody else took its ticket."""
    event = await shop.event(stock=1)
    order = await shop.order(await shop.hold(event))
    if charged:
        await shop.charges_at_once(order)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await shop.pay(order)
    await shop.give_to_others(order, event)
    return order
