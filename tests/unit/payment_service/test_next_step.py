"""What an order needs next, for every state it can be in: the table that settling follows."""

from itertools import product

import pytest

from payment_service.orders.domain import Fulfilment, OrderState
from payment_service.payments.domain import PaymentState, Step, next_step
from tests.unit.payment_service.build import order, payment

UNDECIDED = ("", "requires_payment_method", "requires_confirmation", "requires_action")
STATUSES = (*UNDECIDED, "processing", "requires_capture", "succeeded", "canceled")
GIVEN_UP = ("EXPIRED", "CANCELLED")
CLOSED = ("SUCCEEDED", "FAILED", "CANCELLED")
BOTH = (False, True)
MOMENTS = tuple(product(BOTH, BOTH))


def step(
    state: str, fulfilment: str, status: str | None, *, overdue: bool = False, looked: bool = False
) -> Step:
    """`status` None: a free order."""
    paying = None if status is None else payment(status)
    return next_step(order(state, fulfilment), paying, overdue=overdue, looked=looked)


@pytest.mark.parametrize(("overdue", "looked"), MOMENTS)
@pytest.mark.parametrize("status", ["requires_capture", "succeeded", None])
@pytest.mark.parametrize("fulfilment", ["NONE", "ISSUING"])
def test_tickets_are_issued_once_the_money_is_there(
    fulfilment: str, status: str | None, overdue: bool, looked: bool
) -> None:
    assert step("PENDING", fulfilment, status, overdue=overdue, looked=looked) is Step.ISSUE


@pytest.mark.parametrize(("overdue", "looked"), MOMENTS)
@pytest.mark.parametrize(
    ("status", "expected"),
    [("requires_capture", Step.CAPTURE), ("succeeded", Step.FINISH), (None, Step.FINISH)],
)
def test_money_is_taken_only_for_issued_tickets(
    status: str | None, expected: Step, overdue: bool, looked: bool
) -> None:
    assert step("PENDING", "ISSUED", status, overdue=overdue, looked=looked) is expected


@pytest.mark.parametrize(("overdue", "looked"), MOMENTS)
@pytest.mark.parametrize("fulfilment", ["NONE", "ISSUING", "ISSUED"])
def test_payment_that_stripe_cancelled_is_closed(
    fulfilment: str, overdue: bool, looked: bool
) -> None:
    assert step("PENDING", fulfilment, "canceled", overdue=overdue, looked=looked) is Step.CLOSE


@pytest.mark.parametrize("looked", BOTH)
@pytest.mark.parametrize("status", [*UNDECIDED, "processing"])
def test_customer_has_until_the_deadline(status: str, looked: bool) -> None:
    assert step("PENDING", "NONE", status, looked=looked) is Step.NOTHING


@pytest.mark.parametrize("status", [*UNDECIDED, "processing"])
def test_stripe_is_asked_before_an_overdue_order_is_given_up(status: str) -> None:
    assert step("PENDING", "NONE", status, overdue=True) is Step.LOOK


@pytest.mark.parametrize("status", UNDECIDED)
def test_overdue_order_expires_if_stripe_knows_no_better(status: str) -> None:
    assert step("PENDING", "NONE", status, overdue=True, looked=True) is Step.EXPIRE


def test_overdue_order_waits_for_a_bank_that_is_at_it() -> None:
    assert step("PENDING", "NONE", "processing", overdue=True, looked=True) is Step.NOTHING


@pytest.mark.parametrize("status", [*STATUSES, None])
@pytest.mark.parametrize("fulfilment", ["ISSUING", "ISSUED"])
@pytest.mark.parametrize("state", GIVEN_UP)
def test_order_that_was_given_up_keeps_no_tickets(
    state: str, fulfilment: str, status: str | None
) -> None:
    assert step(state, fulfilment, status) is Step.TAKE_BACK


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Step.VOID) for status in UNDECIDED),
        ("requires_capture", Step.VOID),
        ("processing", Step.LOOK),
        ("succeeded", Step.REFUND),
        ("canceled", Step.CLOSE),
        (None, Step.NOTHING),
    ],
)
@pytest.mark.parametrize("fulfilment", ["NONE", "TAKEN_BACK"])
@pytest.mark.parametrize("state", GIVEN_UP)
def test_order_that_was_given_up_keeps_no_money(
    state: str, fulfilment: str, status: str | None, expected: Step
) -> None:
    assert step(state, fulfilment, status) is expected


@pytest.mark.parametrize("state", GIVEN_UP)
def test_payment_that_is_under_way_is_waited_for_before_it_is_given_back(state: str) -> None:
    assert step(state, "NONE", "processing", looked=True) is Step.NOTHING


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("state", "fulfilment"),
    [("EXPIRED", "NONE"), ("EXPIRED", "TAKEN_BACK"), ("CANCELLED", "NONE"), ("PAID", "ISSUED")],
)
def test_what_is_closed_needs_nothing(
    state: str, fulfilment: str, status: str, closed: str
) -> None:
    found = next_step(order(state, fulfilment), payment(status, closed), overdue=True, looked=False)
    assert found is Step.NOTHING


@pytest.mark.parametrize(("overdue", "looked"), MOMENTS)
@pytest.mark.parametrize("status", [*STATUSES, None])
def test_paid_order_is_never_touched(status: str | None, overdue: bool, looked: bool) -> None:
    assert step("PAID", "ISSUED", status, overdue=overdue, looked=looked) is Step.NOTHING


def test_money_moves_only_in_states_that_allow_it() -> None:
    """Over everything an order can be: captured with tickets only, given back without only."""
    for state, fulfilment, paid, status, overdue, looked in product(
        OrderState, Fulfilment, PaymentState, STATUSES, BOTH, BOTH
    ):
        found = next_step(
            order(state, fulfilment), payment(status, paid), overdue=overdue, looked=looked
        )
        if found in (Step.CAPTURE, Step.FINISH):
            assert (state, fulfilment) == ("PENDING", "ISSUED")
        if found in (Step.VOID, Step.REFUND):
            assert state in GIVEN_UP
            assert fulfilment in ("NONE", "TAKEN_BACK")
        if found is Step.EXPIRE:
            assert overdue
            assert status in UNDECIDED
