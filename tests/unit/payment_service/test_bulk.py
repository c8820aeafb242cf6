"""How a background operation counts its orders, and what becomes of it."""

from typing import Any

import pytest

from payment_service.bulk import domain
from payment_service.bulk.domain import (
    TRANSITIONS,
    Operation,
    OperationKind,
    OperationRunning,
    OperationState,
    Progress,
    check_retry,
    state_of,
)
from payment_service.orders.domain import ForbiddenTransition


def operation(state: str = "RUNNING", **fields: Any) -> Operation:
    kind = OperationKind.REFUND_EVENT
    return Operation("op_1", kind, OperationState(state), "evt_1", "org_1", **fields)


def progress(
    state: str = "RUNNING", *, under_way: int = 0, refused: int = 0, **fields: Any
) -> Progress:
    return Progress(operation(state, **fields), under_way, refused)


def test_orders_that_are_neither_under_way_nor_failed_are_done() -> None:
    found = progress(total=10, under_way=3, refused=1, details={"skipped": ["ord_1", "ord_2"]})
    assert (found.total, found.done, found.failed) == (12, 6, 3)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (progress(), "RUNNING"),
        (progress(all_found=True), "SUCCEEDED"),
        (progress(all_found=True, total=2, under_way=1), "RUNNING"),
        (progress(all_found=True, total=2, under_way=1, refused=1), "RUNNING"),
        (progress(all_found=True, total=2, refused=1), "FAILED"),
        (progress(all_found=True, details={"skipped": ["ord_1"]}), "FAILED"),
        (progress(total=2, refused=1), "RUNNING"),
    ],
)
def test_operation_ends_when_every_order_was_found_and_none_is_under_way(
    found: Progress, state: str
) -> None:
    assert state_of(found) == state


MOVES = {
    ("RUNNING", "SUCCEEDED"),
    ("RUNNING", "FAILED"),
    ("SUCCEEDED", "FAILED"),
    ("SUCCEEDED", "RUNNING"),
    ("FAILED", "SUCCEEDED"),
    ("FAILED", "RUNNING"),
}


@pytest.mark.parametrize("before", OperationState)
@pytest.mark.parametrize("after", OperationState)
def test_operation_makes_only_the_moves_of_its_table(
    before: OperationState, after: OperationState
) -> None:
    if (before, after) in MOVES:
        assert domain.move(operation(before), after) is after
    else:
        with pytest.raises(ForbiddenTransition):
            domain.move(operation(before), after)
    assert set(TRANSITIONS) == set(OperationState)


def test_operation_is_tried_again_once_it_has_failed() -> None:
    assert check_retry(progress("FAILED"))
    assert check_retry(progress("SUCCEEDED", refused=1))
    assert not check_retry(progress("SUCCEEDED"))
    with pytest.raises(OperationRunning):
        check_retry(progress("RUNNING", refused=1))
