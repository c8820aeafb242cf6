"""What Stripe's reports make of a payment, in whatever order they come."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.orders.domain import ForbiddenTransition
from payment_service.payments.domain import (
    MAX_OPEN_PAYMENTS,
    MAX_PAYMENTS,
    TRANSITIONS,
    Intent,
    Payment,
    PaymentState,
    TooManyOpenPayments,
    TooManyPayments,
    latest_untried,
    move,
    observe,
    shown,
    taker,
)
from payment_service.payments.domain import hear as hear_intent
from tests.unit.payment_service.build import payment

# https://docs.stripe.com/payments/paymentintents/lifecycle: what really happens, in order.
HISTORIES = [
    ["requires_payment_method"],
    ["requires_payment_method", "requires_action"],
    ["requires_payment_method", "requires_capture", "succeeded"],
    ["requires_payment_method", "requires_action", "requires_capture", "succeeded"],
    ["requires_payment_method", "requires_payment_method", "requires_capture", "canceled"],
    ["requires_payment_method", "requires_action", "requires_payment_method", "canceled"],
    ["requires_payment_method", "processing", "succeeded"],
    ["requires_payment_method", "processing", "requires_payment_method", "requires_capture"],
]
CLOSED = ("SUCCEEDED", "FAILED", "CANCELLED")


def hear(paying: Payment, statuses: list[str]) -> Payment:
    for status in statuses:
        known, state = observe(paying, status)
        paying = replace(paying, provider_status=known, state=state)
    return paying


@given(st.sampled_from(HISTORIES), st.data())
def test_reports_end_the_same_however_often_and_in_whatever_order_they_come(
    history: list[str], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(history), max_size=6))
    heard = data.draw(st.permutations(history + again))
    ended, expected = hear(payment(), heard), hear(payment(), history)
    if expected.provider_status in ("requires_capture", "succeeded", "canceled"):
        assert ended.provider_status == expected.provider_status
    if expected.provider_status != "canceled":  # which leaves the state as it was, to be closed
        assert ended.state is expected.state


@given(st.lists(st.sampled_from(sorted({word for words in HISTORIES for word in words}))))
def test_no_report_takes_a_payment_back(statuses: list[str]) -> None:
    ranks = {"requires_capture": 1, "succeeded": 2, "canceled": 2}
    paying, rank = payment(), 0
    for status in statuses:
        known = paying.provider_status
        paying = hear(paying, [status])
        assert ranks.get(paying.provider_status, 0) >= rank
        rank = ranks.get(paying.provider_status, 0)
        if known in ("succeeded", "canceled"):
            assert paying.provider_status == known


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("requires_payment_method", "REQUIRES_ACTION"),
        ("requires_confirmation", "REQUIRES_ACTION"),
        ("requires_action", "REQUIRES_ACTION"),
        ("processing", "REQUIRES_ACTION"),
        ("requires_capture", "AUTHORIZED"),
        ("succeeded", "AUTHORIZED"),
        ("a word of a later version", "REQUIRES_ACTION"),
    ],
)
def test_reports_say_where_the_payment_is(status: str, state: str) -> None:
    assert observe(payment(), status) == (status, PaymentState(state))


@pytest.mark.parametrize("state", ["CREATED", "REQUIRES_ACTION", "AUTHORIZED"])
def test_cancellation_is_noted_and_closing_is_a_step_of_its_own(state: str) -> None:
    known = "requires_capture" if state == "AUTHORIZED" else "requires_payment_method"
    assert observe(payment(known, state), "canceled") == ("canceled", PaymentState(state))


@pytest.mark.parametrize("state", CLOSED)
@pytest.mark.parametrize("status", ["requires_action", "requires_capture", "succeeded", "canceled"])
def test_closed_payment_hears_nothing_more(state: str, status: str) -> None:
    assert observe(payment("succeeded", state), status) == ("succeeded", PaymentState(state))


MOVES = {
    ("CREATED", after) for after in PaymentState if after is not PaymentState.CREATED
} | {
    ("REQUIRES_ACTION", after) for after in PaymentState if after is not PaymentState.CREATED
} | {
    ("AUTHORIZED", "SUCCEEDED"),
    ("AUTHORIZED", "FAILED"),
    ("AUTHORIZED", "CANCELLED"),
}  # fmt: skip


@pytest.mark.parametrize("before", PaymentState)
@pytest.mark.parametrize("after", PaymentState)
def test_payment_makes_only_the_moves_of_its_table(
    before: PaymentState, after: PaymentState
) -> None:
    if (before, after) in MOVES:
        assert move(payment(state=before), after) is after
    else:
        with pytest.raises(ForbiddenTransition):
            move(payment(state=before), after)


def test_payment_is_open_until_its_table_has_no_more_moves() -> None:
    assert {state for state in PaymentState if payment(state=state).is_open} == {
        "CREATED",
        "REQUIRES_ACTION",
        "AUTHORIZED",
    }
    assert set(TRANSITIONS) == set(PaymentState)


def test_each_attempt_has_an_idempotency_key_of_its_own() -> None:
    keys = {payment(key_number=number).idempotency_key for number in (1, 2)}
    assert len(keys) == 2


def intent(status: str, provider_id: str = "pi_1", *, decline_code: str = "") -> Intent:
    return Intent(provider_id, "pay_1", status, decline_code=decline_code)


def test_first_report_tells_what_stripe_calls_the_payment() -> None:
    heard = hear_intent(payment(provider_id=None, client_secret=""), intent("requires_action"))
    assert (heard.provider_id, heard.state) == ("pi_1", PaymentState.REQUIRES_ACTION)


def test_report_of_another_intent_changes_nothing() -> None:
    """An attempt whose answer was lost may have left one behind."""
    known = payment("requires_payment_method", "REQUIRES_ACTION")
    assert hear_intent(known, intent("succeeded", "pi_2")) == known


def test_reason_of_a_decline_stays_until_there_is_news() -> None:
    known = payment("requires_payment_method", "REQUIRES_ACTION")
    declined = hear_intent(known, intent("requires_payment_method", decline_code="expired_card"))
    assert declined.decline_code == "expired_card"
    assert hear_intent(declined, intent("requires_capture")).decline_code == ""


def test_payment_has_money_from_its_authorisation_until_it_is_closed() -> None:
    assert payment("requires_capture", "AUTHORIZED").has_money
    assert payment("succeeded", "AUTHORIZED").has_money
    assert not payment("succeeded", "SUCCEEDED").has_money
    assert not payment("processing", "REQUIRES_ACTION").has_money
    assert payment("processing", "REQUIRES_ACTION").is_under_way


UNTRIED = payment("requires_payment_method", "REQUIRES_ACTION")
UNPREPARED = payment(provider_id=None)
DECLINED = replace(UNTRIED, decline_code="expired_card")
AT_BANK = payment("requires_action", "REQUIRES_ACTION")
VOIDED = payment("canceled", "REQUIRES_ACTION")
OVER = [payment(state=state, provider_id=None) for state in CLOSED]


@pytest.mark.parametrize("untried", [UNTRIED, UNPREPARED])
def test_another_attempt_is_the_latest_while_nobody_has_tried_it(untried: Payment) -> None:
    assert latest_untried([untried]) is untried
    assert latest_untried([DECLINED, AT_BANK, untried]) is untried
    assert latest_untried([*[DECLINED] * (MAX_PAYMENTS - 1), untried]) is untried


@pytest.mark.parametrize("latest", [DECLINED, AT_BANK, VOIDED, *OVER])
def test_another_attempt_is_a_new_one_once_the_latest_was_tried_or_is_over(
    latest: Payment,
) -> None:
    assert latest_untried([latest]) is None
    assert latest_untried([UNTRIED, latest]) is None


def test_few_attempts_are_begun_at_a_time_and_a_limited_number_in_all() -> None:
    begun = [AT_BANK] * (MAX_OPEN_PAYMENTS - 1)
    assert latest_untried([DECLINED, *begun, *OVER, VOIDED, DECLINED]) is None
    with pytest.raises(TooManyOpenPayments):
        latest_untried([*begun, DECLINED, AT_BANK])
    with pytest.raises(TooManyPayments):
        latest_untried([DECLINED] * MAX_PAYMENTS)


def test_payment_that_takes_an_order_is_the_first_with_money_one_that_is_charged_rather() -> None:
    first = payment("requires_capture", "AUTHORIZED", id="pay_1")
    second = payment("requires_capture", "AUTHORIZED", id="pay_2")
    charged = payment("succeeded", "AUTHORIZED", id="pay_3")
    assert taker([]) is None
    assert taker([payment("requires_action")]) is None
    assert taker([second, first]) == first
    assert taker([first, second, charged]) == charged


def test_customer_sees_the_payment_that_is_kept_or_else_the_latest_that_is_open() -> None:
    first, failed = payment(id="pay_1"), payment("canceled", "FAILED", id="pay_2")
    later = payment(id="pay_3")
    assert shown([], None) is None
    assert shown([first, failed], None) == first
    assert shown([first, failed, later], None) == later
    assert shown([failed], None) == failed
    assert shown([first, failed, later], "pay_2") == failed
