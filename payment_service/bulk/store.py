"""Every SQL statement about background operations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import distinct_on

from kit.database import Transaction, signal
from payment_service.bulk.domain import Operation, OperationKind, OperationState, Progress
from payment_service.orders.domain import OrderState
from payment_service.refunds.domain import RefundState
from payment_service.refunds.store import LEFT
from payment_service.tables import operations, orders, payments, refunds

DUE = "operations"  # the signal that an operation goes on


async def insert_operation(tx: Transaction, operation: Operation) -> None:
    """A new operation, which begins once this transaction has committed."""
    await tx.execute(
        insert(operations).values(
            id=operation.id,
            kind=operation.kind,
            state=operation.state,
            event_id=operation.event_id,
            organizer_id=operation.organizer_id,
            details=dict(operation.details),
            next_attempt_at=func.now(),
        )
    )
    signal(tx, DUE)


async def get_operation(
    tx: Transaction, operation_id: str, *, lock: bool = False
) -> Operation | None:
    """One operation; locked if asked."""
    query = select(operations).where(operations.c.id == operation_id)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return _operation(row) if row else None


async def list_operations(
    tx: Transaction,
    *,
    organizer_id: str,
    event_id: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Operation]:
    """Operations that the filters admit, newest first; empty filters admit all."""
    query = select(operations).order_by(operations.c.id.desc()).limit(limit)
    if organizer_id:
        query = query.where(operations.c.organizer_id == organizer_id)
    if event_id:
        query = query.where(operations.c.event_id == event_id)
    if before:
        query = query.where(operations.c.id < before[0])
    return [_operation(row) for row in await tx.execute(query)]


async def update_operation(tx: Transaction, operation_id: str, **values: Any) -> None:
    """Change columns of an operation."""
    changed = update(operations).where(operations.c.id == operation_id).values(values)
    await tx.execute(changed)


async def finish(tx: Transaction, operation_id: str, state: OperationState) -> None:
    """Store how an operation ended."""
    at = func.coalesce(operations.c.finished_at, func.now())
    await update_operation(tx, operation_id, state=state, finished_at=at)


async def begin_again(tx: Transaction, operation_id: str, details: Mapping[str, Any]) -> None:
    """Have a finished operation go through its orders again."""
    await update_operation(
        tx,
        operation_id,
        state=OperationState.RUNNING,
        details=dict(details),
        cursor="",
        all_found=False,
        finished_at=None,
        next_attempt_at=func.now(),
        attempts=0,
    )
    signal(tx, DUE)


async def wake(tx: Transaction, operation_id: str) -> None:
    """Have an operation's orders counted again: one of its refunds was sent back.

    Whoever works on it holds its row and waits for orders such as the one that is locked here; it
    counts them anyway.
    """
    query = select(operations.c.id).where(operations.c.id == operation_id)
    if (await tx.execute(query.with_for_update(skip_locked=True))).first():
        await update_operation(tx, operation_id, next_attempt_at=func.now())
        signal(tx, DUE)


async def progress(tx: Transaction, found: Sequence[Operation]) -> list[Progress]:
    """Operations with what their orders' latest refunds say.

    One failed needs nobody any more once the rest of the payment went back otherwise.
    """
    latest = (
        select(
            refunds.c.operation_id,
            refunds.c.state,
            LEFT > 0,
        )
        .ext(distinct_on(refunds.c.operation_id, refunds.c.order_id))
        .outerjoin(payments, payments.c.id == refunds.c.payment_id)
        .where(refunds.c.operation_id.in_([operation.id for operation in found]))
        .order_by(refunds.c.operation_id, refunds.c.order_id, refunds.c.id.desc())
    ).subquery("latest")
    operation_id, state, has_left = latest.c
    is_failed = (state == RefundState.FAILED) & has_left
    query = select(
        operation_id,
        func.count().filter(state == RefundState.CREATED),
        func.count().filter(is_failed),
    ).group_by(operation_id)
    counts = {row[0]: (row[1], row[2]) for row in await tx.execute(query)} if found else {}
    return [Progress(each, *counts.get(each.id, (0, 0))) for each in found]


async def failed_order_ids(
    tx: Transaction, operation_id: str, order_ids: Sequence[str]
) -> set[str]:
    """Those of the orders whose latest refund for an operation has failed."""
    latest = (
        select(refunds.c.order_id, refunds.c.state)
        .ext(distinct_on(refunds.c.order_id))
        .where(refunds.c.operation_id == operation_id, refunds.c.order_id.in_(order_ids))
        .order_by(refunds.c.order_id, refunds.c.id.desc())
    ).subquery("latest")
    query = select(latest.c.order_id).where(latest.c.state == RefundState.FAILED)
    return {row[0] for row in await tx.execute(query)}


async def page_of_orders(tx: Transaction, event_id: str, after: str, limit: int) -> list[str]:
    """The ids of an event's orders that follow `after`, in any state."""
    query = (
        select(orders.c.id)
        .where(orders.c.event_id == event_id, orders.c.id > after)
        .order_by(orders.c.id)
        .limit(limit)
    )
    return [row[0] for row in await tx.execute(query)]


async def page_of_paid_orders(tx: Transaction, event_id: str, after: str, limit: int) -> list[str]:
    """The ids of an event's paid orders that follow `after`."""
    query = (
        select(orders.c.id)
        .where(
            orders.c.event_id == event_id, orders.c.id > after, orders.c.state == OrderState.PAID
        )
        .order_by(orders.c.id)
        .limit(limit)
    )
    return [row[0] for row in await tx.execute(query)]


async def has_live_orders(tx: Transaction, event_id: str, but: Sequence[str]) -> bool:
    """Whether an event has orders that are paid or may be, but for some."""
    live = exists().where(
        orders.c.event_id == event_id,
        orders.c.state.in_([OrderState.PENDING, OrderState.PAID]),
        orders.c.id.not_in(but),
    )
    return bool((await tx.execute(select(live))).scalar_one())


@dataclass(frozen=True, slots=True)
class Claim:
    """An operation to go on with. `attempts` counts the failures since the last page."""

    operation_id: str
    attempts: int
    until: datetime  # nobody else goes on with it before; after a crash it comes up again then


async def claim_due(tx: Transaction, lease: timedelta) -> Claim | None:
    """The operation that waits longest."""
    due = (
        select(operations.c.id)
        .where(operations.c.next_attempt_at <= func.now())
        .order_by(operations.c.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(operations)
        .where(operations.c.id == due.c.id)
        .values(next_attempt_at=func.now() + lease, attempts=operations.c.attempts + 1)
        .returning(operations.c.id, operations.c.attempts, operations.c.next_attempt_at)
    )
    row = (await tx.execute(claimed)).first()
    return Claim(*row) if row else None


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until an operation goes on, by the database's clock; None: none does."""
    query = select(func.extract("epoch", func.min(operations.c.next_attempt_at) - func.now()))
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


async def release(
    tx: Transaction, claim: Claim, delay: timedelta | None, *, failed: bool = False
) -> None:
    """Go on with a claimed operation later (None: never), unless it was made due meanwhile."""
    values: dict[str, Any] = {
        "next_attempt_at": None if delay is None else func.now() + delay,
        **({} if failed else {"attempts": 0}),
    }
    claimed = (operations.c.id == claim.operation_id, operations.c.next_attempt_at == claim.until)
    await tx.execute(update(operations).where(*claimed).values(values))


def _operation(row: Row[Any]) -> Operation:
    return Operation(
        id=row.id,
        kind=OperationKind(row.kind),
        state=OperationState(row.state),
        event_id=row.event_id,
        organizer_id=row.organizer_id,
        details=row.details,
        cursor=row.cursor,
        total=row.total,
        all_found=row.all_found,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
