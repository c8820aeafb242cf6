"""What an order may do."""

import pytest

from kit.errors import TesseraError
from payment_service.orders.domain import (
    TRANSITIONS,
    ForbiddenTransition,
    OrderAlreadyPaid,
    OrderCancelled,
    OrderExpired,
    OrderState,
    cancellation_fee,
    check_move,
    check_payable,
)
from tests.unit.payment_service.build import order

MOVES = {
    ("PENDING", "PAID"),
    ("PENDING", "EXPIRED"),
    ("PENDING", "CANCELLED"),
    ("PAID", "CANCELLED"),
}


@pytest.mark.parametrize("before", OrderState)
@pytest.mark.parametrize("after", OrderState)
def test_order_makes_only_the_moves_of_its_table(before: OrderState, after: OrderState) -> None:
    if (before, after) in MOVES:
        check_move(order(before), after)
    else:
        with pytest.raises(ForbiddenTransition):
            check_move(order(before), after)


def test_every_state_has_its_moves() -> None:
    assert set(TRANSITIONS) == set(OrderState)


def test_order_that_waits_may_be_paid_until_its_deadline() -> None:
    check_payable(order("PENDING"), overdue=False)
    with pytest.raises(OrderExpired):
        check_payable(order("PENDING"), overdue=True)


@pytest.mark.parametrize(
    ("state", "error"),
    [("PAID", OrderAlreadyPaid), ("EXPIRED", OrderExpired), ("CANCELLED", OrderCancelled)],
)
def test_order_that_does_not_wait_says_why(state: str, error: type[TesseraError]) -> None:
    with pytest.raises(error):
        check_payable(order(state), overdue=False)


def test_cancelled_order_says_why_it_was() -> None:
    with pytest.raises(OrderCancelled) as refused:
        check_payable(order("CANCELLED", cancel_reason="SOLD_OUT"), overdue=False)
    assert refused.value.metadata == {"cancel_reason": "SOLD_OUT"}


@pytest.mark.parametrize(
    ("fixed", "ppm", "kept"), [(0, 0, 0), (500, 0, 500), (500, 100_000, 1_500), (20_000, 0, 10_000)]
)
def test_cancellation_fee_is_at_most_what_was_paid(fixed: int, ppm: int, kept: int) -> None:
    terms = {"cancellation_fee_minor": fixed, "cancellation_fee_ppm": ppm}
    assert cancellation_fee(order("PAID", "ISSUED", **terms)) == kept


def test_cancellation_fee_is_a_part_of_what_did_not_go_back_before() -> None:
    terms = {"cancellation_fee_ppm": 100_000, "refunded_minor": 5_000}
    assert cancellation_fee(order("PAID", "ISSUED", **terms)) == 500


def test_order_of_nothing_but_free_tickets_is_free() -> None:
    assert order(total_minor=0).is_free
    assert not order(total_minor=1).is_free
