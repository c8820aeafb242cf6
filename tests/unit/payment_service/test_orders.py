"""What an order may do."""

import pytest

from kit.errors import TesseraError
from payment_service.orders.domain import (
    TRANSITIONS,
    ForbiddenTransition,
    OrderAlreadyPaid,
    OrderExpired,
    OrderState,
    PaymentInProgress,
    check_cancellable,
    check_move,
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


def test_pending_order_may_be_given_up() -> None:
    assert check_cancellable(order("PENDING"))


def test_cancelled_order_has_nothing_left_to_give_up() -> None:
    assert not check_cancellable(order("CANCELLED", "TAKEN_BACK"))


@pytest.mark.parametrize(
    ("state", "fulfilment", "error"),
    [
        ("PAID", "ISSUED", OrderAlreadyPaid),
        ("EXPIRED", "NONE", OrderExpired),
        ("PENDING", "ISSUING", PaymentInProgress),
        ("PENDING", "ISSUED", PaymentInProgress),
    ],
)
def test_order_that_is_beyond_giving_up_says_why(
    state: str, fulfilment: str, error: type[TesseraError]
) -> None:
    with pytest.raises(error):
        check_cancellable(order(state, fulfilment))


def test_order_of_nothing_but_free_tickets_is_free() -> None:
    assert order(total_minor=0).is_free
    assert not order(total_minor=1).is_free
    assert order().lines[0].amount_minor == 10_000
