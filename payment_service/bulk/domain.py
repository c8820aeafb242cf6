"""What a background operation is: it takes up an event's orders page by page, and counts them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from kit.errors import FailedPrecondition, NotFound
from payment_service.orders.domain import ForbiddenTransition


class OperationNotFound(NotFound):
    """There is no such operation."""


class OperationRunning(FailedPrecondition):
    """The operation is still running; try again once it has finished."""


class OperationKind(StrEnum):
    """What is done with the orders."""

    REFUND_EVENT = "REFUND_EVENT"
    ANNOUNCE_CHANGE = "ANNOUNCE_CHANGE"


class OperationState(StrEnum):
    """Where an operation is in its life."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


# A bank may send a refund back long after all was done; and what failed can be tried again.
TRANSITIONS: Mapping[OperationState, frozenset[OperationState]] = {
    OperationState.RUNNING: frozenset({OperationState.SUCCEEDED, OperationState.FAILED}),
    OperationState.SUCCEEDED: frozenset({OperationState.FAILED, OperationState.RUNNING}),
    OperationState.FAILED: frozenset({OperationState.SUCCEEDED, OperationState.RUNNING}),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. All orders of the event up to the cursor were looked at.

    The total is of those that were taken up; a few that could not be are skipped.
    """

    id: str
    kind: OperationKind
    state: OperationState
    event_id: str
    organizer_id: str
    details: Mapping[str, Any] = field(default_factory=dict)
    cursor: str = ""
    total: int = 0
    all_found: bool = False
    created_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def is_retry(self) -> bool:
        """Whether it goes through the orders to try again what failed."""
        return bool(self.details.get("retry"))

    @property
    def skipped(self) -> frozenset[str]:
        """The orders that could not be taken up."""
        return frozenset(self.details.get("skipped", ()))


@dataclass(frozen=True, slots=True)
class Progress:
    """An operation and where its orders are: those neither under way nor failed are done."""

    operation: Operation
    under_way: int = 0
    refused: int = 0

    @property
    def failed(self) -> int:
        return self.refused + len(self.operation.skipped)

    @property
    def total(self) -> int:
        return self.operation.total + len(self.operation.skipped)

    @property
    def done(self) -> int:
        return max(self.total - self.under_way - self.failed, 0)


def state_of(progress: Progress) -> OperationState:
    """Where the operation is, by its orders."""
    if not progress.operation.all_found or progress.under_way:
        return OperationState.RUNNING
    return OperationState.FAILED if progress.failed else OperationState.SUCCEEDED


def move(operation: Operation, state: OperationState) -> OperationState:
    """The state, if the operation may take it."""
    if state not in TRANSITIONS[operation.state]:
        raise ForbiddenTransition(f"operation {operation.id}: {operation.state} → {state}")
    return state


def check_retry(progress: Progress) -> bool:
    """Whether there is anything to try again, or to find that there is not.

    Raises:
        OperationRunning: it is being tried.
    """
    if progress.operation.state is OperationState.RUNNING:
        raise OperationRunning
    return progress.failed > 0 or progress.operation.state is OperationState.FAILED
