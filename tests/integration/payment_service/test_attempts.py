"""Several attempts to pay one order: each by itself, and one of them is kept."""

import asyncio

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2, order_service_pb2

from kit.rpc_errors import RemoteError
from payment_service.payments.operations import MAX_PAYMENTS
from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    opened_by,
    state_of,
)
from tests.integration.payment_service.till import through
from tests.integration.ticket_service.support import eventually, new_key, refused
from tests.support.tokens import Metadata

SUCCEEDED = order_pb2.PAYMENT_STATE_SUCCEEDED
CANCELLED = order_pb2.PAYMENT_STATE_CANCELLED


async def attempts(
    shop: Shop, order: order_pb2.Order, by: Metadata | None = None
) -> list[order_pb2.Payment]:
    request = order_service_pb2.ListPaymentsRequest(order_id=order.id)
    found = await shop.payments.orders.ListPayments(request, metadata=by or opened_by(order))
    return list(found.payments)


async def declined(shop: Shop, order: order_pb2.Order) -> None:
    """Wait until it is known that the bank declined the order's payment."""

    async def is_known() -> bool:
        found = {each.id: each for each in await attempts(shop, order)}
        return bool(found[order.payment.id].decline_code)

    await eventually(is_known)


async def states(shop: Shop, order: order_pb2.Order) -> list[int]:
    return [payment.state for payment in await attempts(shop, order)]


async def test_each_attempt_has_a_payment_of_its_own_and_the_first_that_succeeds_is_kept(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    assert (await shop.pay(order, "pm_card_visa_chargeDeclined")).status_code == 402
    second = await shop.attempt(order)
    assert second.payment.client_secret
    assert second.payment.amount == order.total
    assert intent_id(second) != intent_id(order)
    assert (await shop.get(order)).payment == second.payment
    await shop.pay(second)
    paid = await shop.becomes(order, "PAID")
    await shop.settled()
    assert paid.payment.id == second.payment.id
    assert await states(shop, order) == [CANCELLED, SUCCEEDED]
    assert (await shop.intent(order)).status == "canceled"
    (announced,) = shop.announced.of(order.id)
    assert announced.payment_id == second.payment.id


async def test_attempt_that_the_customer_left_stays_good_until_another_succeeds(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    second = await shop.attempt(order)
    await shop.pay(order)
    paid = await shop.becomes(order, "PAID")
    await shop.settled()
    assert paid.payment.id == order.payment.id
    assert await states(shop, order) == [SUCCEEDED, CANCELLED]
    assert (await shop.pay(second)).status_code == 400


async def test_two_attempts_that_are_authorised_at_once_charge_one_and_void_the_other(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    second = await shop.attempt(order)
    await at_once(shop.pay(order), shop.pay(second))
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert sorted(await states(shop, order)) == [SUCCEEDED, CANCELLED]
    assert len(await shop.issued(order)) == 1
    assert len(shop.announced.of(order.id)) == 1


async def test_two_attempts_that_are_both_charged_keep_one_and_give_the_other_back(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    second = await shop.attempt(order)
    for each in (order, second):
        await shop.charges_at_once(each)
    await at_once(shop.pay(order), shop.pay(second))
    paid = await shop.becomes(order, "PAID")
    (returned,) = await through(shop, order, "SUCCEEDED")
    await shop.settled()
    found = await attempts(shop, order)
    assert [payment.state for payment in found] == [SUCCEEDED, SUCCEEDED]
    (other,) = [payment for payment in found if payment.id != paid.payment.id]
    assert (returned.payment_id, returned.amount.amount) == (other.id, "50.00")
    assert (other.refunded.amount, paid.payment.refunded.amount) == ("50.00", "0.00")
    assert paid.refunded.amount == "0.00"
    assert await shop.booked(order) == {"charge": 10_000, "fee": -200, "refund": -5000}


async def test_charge_that_is_heard_of_days_after_the_order_was_paid_goes_back(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    slow = await shop.attempt(order)
    await shop.pay(slow, "pm_sepa_debit")
    await shop.pay(order)
    paid = await shop.becomes(order, "PAID")
    assert paid.payment.id == order.payment.id
    await shop.sandbox.ask("/settle", object=intent_id(slow))
    await through(shop, order, "PENDING")  # debits go back as slowly as they come
    await shop.sandbox.ask("/settle")
    await through(shop, order, "SUCCEEDED")
    await shop.settled()
    assert (await shop.charge(slow)).amount_refunded == 5000


async def test_customer_whose_bank_is_at_it_is_told_to_wait(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order, "pm_sepa_debit")

    async def is_known() -> bool:
        query = "SELECT 1 FROM payments WHERE order_id = :id AND provider_status = 'processing'"
        return bool(await shop.installation.execute("payment", query, id=order.id))

    await eventually(is_known)
    with refused("PAYMENT_IN_PROGRESS"):
        await shop.attempt(order)
    await shop.sandbox.ask("/settle", object=intent_id(order))
    await shop.becomes(order, "PAID")


async def test_order_that_needs_no_payment_says_why(shop: Shop) -> None:
    cancelled, overdue, paid = [await shop.ordered() for _ in range(3)]
    await shop.cancel(cancelled)
    with refused("ORDER_CANCELLED"):
        await shop.attempt(cancelled)
    await shop.reach_deadline(overdue)
    with refused("ORDER_EXPIRED"):
        await shop.attempt(overdue)
    await shop.becomes(overdue, "EXPIRED")
    with refused("ORDER_EXPIRED"):
        await shop.attempt(overdue)
    await shop.pay(paid)
    await shop.becomes(paid, "PAID")
    with refused("ORDER_ALREADY_PAID"):
        await shop.attempt(paid)
    with refused("ORDER_ALREADY_PAID"):
        await shop.attempt(await shop.ordered(price="0.00"))


async def test_order_whose_payment_goes_through_needs_no_other(shop: Shop) -> None:
    order = await shop.ordered()
    capture = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(capture, action="delay", seconds=20)
    await shop.pay(order)
    await shop.sandbox.held_back(capture)
    with refused("PAYMENT_IN_PROGRESS"):
        await shop.attempt(order)
    await shop.sandbox.clear_faults()
    await shop.becomes(order, "PAID")


async def test_order_has_a_limited_number_of_attempts(shop: Shop) -> None:
    order = await shop.ordered()
    for _ in range(MAX_PAYMENTS - 1):
        await shop.attempt(order)
    with refused("TOO_MANY_PAYMENTS"):
        await shop.attempt(order)
    await shop.cancel(order)
    await shop.settled()
    assert await states(shop, order) == [CANCELLED] * MAX_PAYMENTS


async def test_same_key_begins_one_attempt(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    answers = await at_once(*(shop.attempt(order, key) for _ in range(5)))
    made = [answer for answer in answers if isinstance(answer, order_pb2.Order)]
    refusals = {answer.reason for answer in answers if isinstance(answer, RemoteError)}
    assert refusals <= {"IDEMPOTENCY_KEY_IN_USE"}
    assert len({answer.payment.id for answer in made}) == 1
    assert await shop.attempt(order, key) == made[0]
    assert made[0].payment.client_secret
    assert len(await attempts(shop, order)) == 2


async def test_key_of_another_orders_attempt_is_refused(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    await shop.cancel(order, key=key)
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.attempt(order, key)


async def test_attempt_that_stripe_did_not_answer_goes_on_with_the_same_key(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=503, times=2)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.attempt(order, key)
    again = await shop.attempt(order, key)
    assert again.payment.client_secret
    assert len(await attempts(shop, order)) == 2
    await shop.pay(again)
    await shop.becomes(order, "PAID")


async def test_admins_see_attempts_but_nothing_to_pay_with(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order, "pm_card_visa_chargeDeclinedInsufficientFunds")

    async def is_declined() -> bool:
        (seen,) = await attempts(shop, order, shop.admin)
        assert not seen.client_secret
        assert not seen.publishable_key
        return seen.decline_code == "insufficient_funds"

    await eventually(is_declined)
    with refused("ORDER_NOT_FOUND"):
        await attempts(shop, order, opened_by(await shop.ordered()))
    with refused("ROLE_NOT_ALLOWED"):
        request = order_service_pb2.CreatePaymentRequest(order_id=order.id)
        await shop.payments.orders.CreatePayment(request, metadata=shop.admin)


@pytest.mark.parametrize("delay_s", [0, 0.02, 0.05, 0.1])
async def test_paying_one_attempt_and_beginning_another_at_once_pays_once(
    shop: Shop, delay_s: float
) -> None:
    order = await shop.ordered()

    async def begin_and_pay() -> None:
        await asyncio.sleep(delay_s)
        await shop.pay(await shop.attempt(order))

    _, second = await at_once(shop.pay(order), begin_and_pay())
    assert second is None or second.reason in {"PAYMENT_IN_PROGRESS", "ORDER_ALREADY_PAID"}
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert (await states(shop, order)).count(SUCCEEDED) == 1
    assert len(await shop.issued(order)) == 1


async def test_of_failures_one_in_a_quarter_of_an_hour_is_announced_and_each_once(
    shop: Shop,
) -> None:
    """Whoever orders may name anybody its customer, who gets a mail of each."""
    order = await shop.ordered()

    async def fail(attempt: order_pb2.Order) -> None:
        assert (await shop.pay(attempt, "pm_card_chargeDeclinedExpiredCard")).status_code == 402
        await declined(shop, attempt)

    async def told() -> list[str]:
        await shop.settled()
        said = shop.announced.that(messages_pb2.PaymentFailed, order.id)
        return [message.payment_id for message in said]

    async def minutes_pass(minutes: int) -> None:
        past = """
            UPDATE payments SET failure_announced_at = failure_announced_at
                - make_interval(mins => :minutes)
            WHERE order_id = :id
        """
        await shop.installation.execute("payment", past, id=order.id, minutes=minutes)

    await fail(order)
    await fail(order)
    second = await shop.attempt(order)
    await fail(second)
    assert await told() == [order.payment.id]
    await minutes_pass(14)
    third = await shop.attempt(order)
    await fail(third)
    assert await told() == [order.payment.id]
    await minutes_pass(1)
    await fail(await shop.attempt(order))
    *_, last = await attempts(shop, order)
    assert await told() == [order.payment.id, last.id]
    await minutes_pass(15)
    await fail(order)  # which was told of
    assert await told() == [order.payment.id, last.id]
    assert state_of(await shop.get(order)) == "PENDING"


async def test_many_payments_of_one_order_at_once_charge_it_once(shop: Shop) -> None:
    order = await shop.ordered()
    tries = [order, *[await shop.attempt(order) for _ in range(5)]]
    outcomes = await at_once(*(shop.pay(each) for each in tries))
    assert not any(isinstance(outcome, RemoteError) for outcome in outcomes)
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert (await states(shop, order)).count(SUCCEEDED) == 1
