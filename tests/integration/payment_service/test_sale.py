"""Paying: what cards, banks and Stripe make of an order."""

import pytest
from tessera.payment.v1 import order_pb2

from tests.integration.payment_service.support import Shop, intent_id
from tests.integration.ticket_service.support import eventually


async def test_paid_order_is_charged_once_has_its_tickets_and_is_announced(shop: Shop) -> None:
    order = await shop.ordered(quantity=2)
    assert (await shop.pay(order)).status_code == 200
    paid = await shop.becomes(order, "PAID")
    await shop.settled()
    assert paid.HasField("paid_at")
    charge = await shop.charge(order)
    assert (charge.amount_captured, charge.amount_refunded, charge.currency) == (10_000, 0, "eur")
    assert len(await shop.issued(order)) == 2
    (announced,) = shop.announced.of(order.id)
    assert (announced.order_code, announced.payment_id) == (order.code, order.payment.id)
    assert announced.total.amount == "100.00"


@pytest.mark.parametrize(
    ("card", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_declined_card_says_why_and_another_card_pays_the_same_order(
    shop: Shop, card: str, decline_code: str
) -> None:
    order = await shop.ordered()
    assert (await shop.pay(order, card)).status_code == 402

    async def says_why() -> bool:
        return (await shop.get(order)).payment.decline_code == decline_code

    await eventually(says_why)
    seen = await shop.get(order)
    assert seen.state == order_pb2.ORDER_STATE_PENDING
    assert seen.payment.state == order_pb2.PAYMENT_STATE_REQUIRES_ACTION
    assert (await shop.pay(seen)).status_code == 200
    paid = await shop.becomes(order, "PAID")
    assert paid.payment.decline_code == ""


async def test_customer_who_passes_authentication_has_paid(shop: Shop) -> None:
    order = await shop.ordered()
    answer = await shop.pay(order, "pm_card_authenticationRequired")
    assert answer.json()["status"] == "requires_action"
    await shop.sandbox.ask(
        f"/payment_intents/{intent_id(order)}/authentication", outcome="succeeded"
    )
    await shop.becomes(order, "PAID")


async def test_customer_who_fails_authentication_may_try_again(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order, "pm_card_authenticationRequired")
    await shop.sandbox.ask(f"/payment_intents/{intent_id(order)}/authentication", outcome="failed")

    async def is_known() -> bool:
        return bool((await shop.get(order)).payment.decline_code)

    await eventually(is_known)
    await shop.pay(order)
    await shop.becomes(order, "PAID")


async def test_payment_that_is_charged_at_once_is_paid_without_a_capture(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.charges_at_once(order)
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    assert await shop.calls(f"{intent_id(order)}/capture") == 0


async def test_bank_that_takes_days_is_waited_for(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.charges_at_once(order)
    answer = await shop.pay(order, "pm_sepa_debit")
    assert answer.json()["status"] == "processing"
    await shop.reach_deadline(order)
    looked_at = f"/v1/payment_intents/{intent_id(order)}"

    async def looked() -> bool:
        return await shop.calls(looked_at) >= 1

    await eventually(looked)
    assert (await shop.get(order)).state == order_pb2.ORDER_STATE_PENDING
    await shop.sandbox.ask("/settle", object=intent_id(order))
    await shop.becomes(order, "PAID")


async def test_debit_that_fails_after_the_deadline_expires_the_order(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.charges_at_once(order)
    await shop.pay(order, "pm_failed_de")
    await shop.reach_deadline(order)
    await shop.sandbox.ask("/settle", object=intent_id(order))
    await shop.attempt_now(order)
    await shop.becomes(order, "EXPIRED")
    await shop.settled()
    assert (await shop.intent(order)).status == "canceled"


async def test_authorisation_that_lapses_before_its_capture_cancels_the_order(shop: Shop) -> None:
    order = await shop.ordered()
    path = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(path, action="error", status=503, times=100)
    await shop.pay(order)

    async def was_tried() -> bool:
        return await shop.calls(path) > 0

    await eventually(was_tried)
    await shop.sandbox.ask(f"/payment_intents/{intent_id(order)}/lapse")
    cancelled = await shop.becomes(order, "CANCELLED")
    await shop.settled()
    assert cancelled.cancel_reason == "PAYMENT_FAILED"
    assert (await shop.get(order)).payment.state == order_pb2.PAYMENT_STATE_FAILED
    assert {ticket.state for ticket in await shop.issued(order)} == {2}
