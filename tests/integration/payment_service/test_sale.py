"""Paying: what cards, banks and Stripe make of an order."""

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2
from tessera.ticket.v1 import ticket_pb2

from tests.integration.payment_service.support import Shop, intent_id, state_of
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
    assert await shop.booked(order) == {"charge": 10_000, "fee": -175}
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
    await shop.pay(order, card)  # which is told once
    seen = await shop.get(order)
    assert seen.state == order_pb2.ORDER_STATE_PENDING
    assert seen.payment.state == order_pb2.PAYMENT_STATE_REQUIRES_ACTION
    assert (await shop.pay(seen)).status_code == 200
    paid = await shop.becomes(order, "PAID")
    assert paid.payment.decline_code == ""
    await shop.settled()
    assert [
        message.decline_code
        for message in shop.announced.that(messages_pb2.PaymentFailed, order.id)
    ] == [decline_code]


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


async def test_bank_that_cannot_reserve_charges_at_once_and_is_paid_without_a_capture(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    answer = await shop.pay(order, "pm_ideal", return_url="https://shop.example")
    assert answer.json()["status"] == "requires_action"
    await shop.sandbox.ask(f"/payment_intents/{intent_id(order)}/authentication")
    await shop.becomes(order, "PAID")
    assert await shop.calls(f"{intent_id(order)}/capture") == 0
    await shop.settled()
    assert await shop.booked(order) == {"charge": 5000, "fee": -100}


async def test_bank_that_takes_days_is_waited_for(shop: Shop) -> None:
    order = await shop.ordered()
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
    await shop.pay(order, "pm_failed_de")
    await shop.reach_deadline(order)
    await shop.sandbox.ask("/settle", object=intent_id(order))
    await shop.attempt_now(order)
    await shop.becomes(order, "EXPIRED")
    await shop.settled()
    assert (await shop.intent(order)).status == "canceled"


async def test_authorisation_that_lapses_before_its_capture_leaves_the_order_open(
    shop: Shop,
) -> None:
    order = await authorised_and_lapsed(shop)
    waiting = await shop.get(order)
    assert state_of(waiting) == "PENDING"
    assert waiting.payment.state == order_pb2.PAYMENT_STATE_FAILED
    again = await shop.attempt(order)
    await shop.pay(again)
    paid = await shop.becomes(order, "PAID")
    await shop.settled()
    assert paid.payment.id == again.payment.id
    assert len(await shop.issued(order)) == 1
    assert len(shop.announced.that(messages_pb2.PaymentFailed, order.id)) == 1


async def test_authorisation_that_lapses_and_is_not_replaced_in_time_costs_nobody_a_ticket(
    shop: Shop,
) -> None:
    order = await authorised_and_lapsed(shop)
    await shop.reach_deadline(order)
    await shop.becomes(order, "EXPIRED")
    await shop.settled()
    assert {ticket.state for ticket in await shop.issued(order)} == {
        ticket_pb2.TICKET_STATE_CANCELLED
    }


async def test_capture_that_stripe_refuses_voids_the_payment_and_leaves_the_order_open(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    path = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(path, action="error", status=402, code="card_declined")
    await shop.pay(order)
    assert (await failed(shop, order)).state == order_pb2.ORDER_STATE_PENDING
    assert (await shop.intent(order)).status == "canceled"
    await shop.pay(await shop.attempt(order))
    await shop.becomes(order, "PAID")


async def authorised_and_lapsed(shop: Shop) -> order_pb2.Order:
    """An order whose tickets were issued, and whose money went back before it was taken."""
    order = await shop.ordered()
    path = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(path, action="error", status=503, times=100)
    await shop.pay(order)

    async def was_tried() -> bool:
        return await shop.calls(path) > 0

    await eventually(was_tried)
    await shop.sandbox.ask(f"/payment_intents/{intent_id(order)}/lapse")
    await shop.sandbox.clear_faults()
    await failed(shop, order)
    return order


async def failed(shop: Shop, order: order_pb2.Order) -> order_pb2.Order:
    """The order, once its payment has failed."""

    async def look() -> bool:
        return (await shop.get(order)).payment.state == order_pb2.PAYMENT_STATE_FAILED

    await eventually(look)
    return await shop.get(order)
