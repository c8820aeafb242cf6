"""Several attempts to pay one order: each by itself, and one of them is kept."""

import asyncio

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2, order_service_pb2

from kit.rpc_errors import RemoteError
from payment_service.payments.domain import MAX_OPEN_PAYMENTS, MAX_PAYMENTS
from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    opened_by,
    state_of,
)
from tests.integration.payment_service.till import through
from tests.integration.ticket_service.support import eventually, new_key, refused

SUCCEEDED = order_pb2.PAYMENT_STATE_SUCCEEDED
FAILED = order_pb2.PAYMENT_STATE_FAILED
REQUIRES_ACTION = order_pb2.PAYMENT_STATE_REQUIRES_ACTION
CANCELLED = order_pb2.PAYMENT_STATE_CANCELLED


async def states(shop: Shop, order: order_pb2.Order) -> list[int]:
    return [payment.state for payment in await shop.attempts(order)]


async def test_each_attempt_has_a_payment_of_its_own_and_the_first_that_succeeds_is_kept(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    second = await shop.another(order)
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
    second = await shop.another(order)
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
    second = await shop.another(order)
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
    second = await shop.another(order)
    for each in (order, second):
        await shop.charges_at_once(each)
    await at_once(shop.pay(order), shop.pay(second))
    paid = await shop.becomes(order, "PAID")
    (returned,) = await through(shop, order, "SUCCEEDED")
    await shop.settled()
    found = await shop.attempts(order)
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
    slow = await shop.another(order)
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
    latest = order = await shop.ordered()
    for _ in range(MAX_PAYMENTS - 1):
        latest = await shop.another(latest)
    assert (await shop.attempt(order)).payment.id == latest.payment.id
    await shop.decline(latest)
    with refused("TOO_MANY_PAYMENTS"):
        await shop.attempt(order)
    await shop.cancel(order)
    await shop.settled()
    assert await states(shop, order) == [CANCELLED] * MAX_PAYMENTS


async def test_who_asks_for_another_attempt_that_nobody_tried_gets_the_latest(shop: Shop) -> None:
    """In two tabs, or to have Stripe called: one call at the start, and one at the end."""
    order = await shop.ordered()
    made, given_up = [await shop.calls(path) for path in ("/v1/payment_intents", "/cancel")]
    answers = await at_once(*(shop.attempt(order) for _ in range(25)))
    assert [answer.payment for answer in answers] == [order.payment] * 25
    second = await shop.another(order)
    answers = await at_once(*(shop.attempt(order) for _ in range(25)))
    assert [answer.payment for answer in answers] == [second.payment] * 25
    assert await shop.calls("/v1/payment_intents") == made + 1
    await shop.reach_deadline(order)
    await shop.becomes(order, "EXPIRED")
    await shop.settled()
    assert await shop.calls("/cancel") == given_up + 2


async def test_attempts_that_are_begun_are_few_at_a_time(shop: Shop) -> None:
    """Who leaves the bank's page may begin anew, and so on; but what was declined is not begun."""
    declined = await shop.ordered()
    begun = [await shop.another(declined)]
    for _ in range(MAX_OPEN_PAYMENTS - 1):
        await leave(shop, begun[-1])
        begun.append(await shop.attempt(declined))
    await leave(shop, begun[-1])
    with refused("TOO_MANY_OPEN_PAYMENTS"):
        await shop.attempt(declined)
    assert (await shop.get(declined)).payment == begun[-1].payment
    await shop.sandbox.ask(
        f"/payment_intents/{intent_id(begun[0])}/authentication", outcome="failed"
    )

    async def is_known() -> bool:
        return bool((await shop.attempts(declined))[1].decline_code)

    await eventually(is_known)
    last = await shop.attempt(declined)
    assert last.payment.id not in {each.payment.id for each in begun}
    await shop.sandbox.ask(
        f"/payment_intents/{intent_id(begun[1])}/authentication", outcome="succeeded"
    )
    paid = await shop.becomes(declined, "PAID")
    await shop.settled()
    assert paid.payment.id == begun[1].payment.id


async def leave(shop: Shop, order: order_pb2.Order) -> None:
    """Be sent to the bank to authenticate, and do not."""
    assert (await shop.pay(order, "pm_card_authenticationRequired")).status_code == 200
    is_at_bank = "SELECT 1 FROM payments WHERE id = :id AND provider_status = 'requires_action'"

    async def is_known() -> bool:
        return bool(await shop.installation.execute("payment", is_at_bank, id=order.payment.id))

    await eventually(is_known)


async def test_attempt_that_is_not_prepared_yet_is_gone_on_with(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.decline(order)
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=503, times=2)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.attempt(order)
    again = await shop.attempt(order)
    assert intent_id(again)
    assert len(await shop.attempts(order)) == 2
    await shop.pay(again)
    await shop.becomes(order, "PAID")


async def test_attempt_that_stripe_refuses_for_good_has_failed_and_the_next_is_another(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    await shop.decline(order)
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=400, times=1)
    with refused("PAYMENT_REFUSED"):
        await shop.attempt(order)
    assert await states(shop, order) == [REQUIRES_ACTION, FAILED]
    await shop.pay(await shop.attempt(order))
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await states(shop, order) == [CANCELLED, FAILED, SUCCEEDED]


async def test_first_attempt_that_stripe_refuses_for_good_does_not_lock_its_customer_out(
    shop: Shop,
) -> None:
    held = await shop.hold(await shop.event())
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=400, times=1)
    with refused("PAYMENT_REFUSED"):
        await shop.order(held)
    order = await shop.order(held)
    assert order.payment.state == FAILED
    assert not order.payment.client_secret
    await shop.pay(await shop.attempt(order))
    await shop.becomes(order, "PAID")


async def test_each_key_answers_the_attempt_that_it_answered_before(shop: Shop) -> None:
    order, keys = await shop.ordered(), [new_key() for _ in range(3)]
    same = [await shop.attempt(order, key) for key in keys[:2]]
    await shop.decline(order)
    second = await shop.attempt(order, keys[2])
    assert [each.payment.id for each in same] == [order.payment.id] * 2
    assert second.payment.id != order.payment.id
    for key, expected in zip(keys, [*same, second], strict=True):
        assert (await shop.attempt(order, key)).payment.id == expected.payment.id
    assert len(await shop.attempts(order)) == 2


async def test_same_key_begins_one_attempt(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    await shop.decline(order)
    answers = await at_once(*(shop.attempt(order, key) for _ in range(5)))
    made = [answer for answer in answers if isinstance(answer, order_pb2.Order)]
    refusals = {answer.reason for answer in answers if isinstance(answer, RemoteError)}
    assert refusals <= {"IDEMPOTENCY_KEY_IN_USE"}
    assert len({answer.payment.id for answer in made}) == 1
    assert await shop.attempt(order, key) == made[0]
    assert made[0].payment.client_secret
    assert len(await shop.attempts(order)) == 2


async def test_key_of_another_orders_attempt_is_refused(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    await shop.cancel(order, key=key)
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.attempt(order, key)


async def test_attempt_that_stripe_did_not_answer_goes_on_with_the_same_key(shop: Shop) -> None:
    order, key = await shop.ordered(), new_key()
    await shop.decline(order)
    await shop.spoil("/v1/payment_intents", method="POST", action="error", status=503, times=2)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.attempt(order, key)
    again = await shop.attempt(order, key)
    assert again.payment.client_secret
    assert len(await shop.attempts(order)) == 2
    await shop.pay(again)
    await shop.becomes(order, "PAID")


async def test_admins_see_attempts_but_nothing_to_pay_with(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order, "pm_card_visa_chargeDeclinedInsufficientFunds")

    async def is_declined() -> bool:
        (seen,) = await shop.attempts(order, shop.admin)
        assert not seen.client_secret
        assert not seen.publishable_key
        return seen.decline_code == "insufficient_funds"

    await eventually(is_declined)
    with refused("ORDER_NOT_FOUND"):
        await shop.attempts(order, opened_by(await shop.ordered()))
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

    await shop.decline(order)
    second = await shop.another(order)
    await shop.decline(second)
    assert await told() == [order.payment.id]
    await minutes_pass(14)
    third = await shop.attempt(order)
    await shop.decline(third)
    assert await told() == [order.payment.id]
    await minutes_pass(1)
    await shop.decline(await shop.attempt(order))
    *_, last = await shop.attempts(order)
    assert await told() == [order.payment.id, last.id]
    await minutes_pass(15)
    await shop.decline(order)  # which was told of
    assert await told() == [order.payment.id, last.id]
    assert state_of(await shop.get(order)) == "PENDING"


async def test_many_payments_of_one_order_at_once_charge_it_once(shop: Shop) -> None:
    order = await shop.ordered()
    tries = [order]
    for _ in range(5):
        tries.append(await shop.another(tries[-1]))
    outcomes = await at_once(*(shop.pay(each) for each in tries))
    assert not any(isinstance(outcome, RemoteError) for outcome in outcomes)
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert (await states(shop, order)).count(SUCCEEDED) == 1
