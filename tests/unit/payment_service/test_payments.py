"""What Stripe's reports make of a payment, in whatever order they come."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.orders.domain import ForbiddenTransition
from payment_service.payments.domain import (
    TRANSITIONS,
    Payment,
    PaymentState,
    move,
    observe,
)
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
