"""Every SQL statement about notifications."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, case, func, select, update
from sqlalchemy.dialects.postgresql import insert

from kit.database import Transaction, signal
from notification_service.notifications.domain import Kind, Notification, State
from notification_service.tables import notifications

DUE = "notifications"  # the signal that a notification may be due

_columns = notifications.c


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification to deliver now, which is nobody else's until the lease ends."""

    id: str
    notification: Notification
    age: timedelta  # since it was queued, by the database's clock
    lapses: int  # claims before this one, in a row, that nobody finished


async def insert_notification(tx: Transaction, values: Mapping[str, Any]) -> bool:
    """A notification that is due at once; False when there is one of this kind about the same."""
    made = (
        insert(notifications)
        .values(**values, state=State.PENDING, next_attempt_at=func.now())
        .on_conflict_do_nothing()
        .returning(_columns.id)
    )
    signal(tx, DUE)
    return (await tx.execute(made)).first() is not None


async def lock_notification(tx: Transaction, notification_id: str) -> Notification | None:
    """One notification, for a change of it."""
    query = select(notifications).where(_columns.id == notification_id).with_for_update()
    row = (await tx.execute(query)).first()
    return _notification(row) if row else None


async def list_notifications(
    tx: Transaction,
    *,
    organizer_id: str,
    order_id: str,
    waitlist_entry_id: str,
    state: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Notification]:
    """Notifications that the filters admit, newest first; empty filters admit all."""
    query = select(notifications).order_by(_columns.id.desc()).limit(limit)
    if organizer_id:
        query = query.where(_columns.organizer_id == organizer_id)
    if order_id:
        query = query.where(_columns.order_id == order_id)
    if waitlist_entry_id:
        query = query.where(_columns.waitlist_entry_id == waitlist_entry_id)
    if state:
        query = query.where(_columns.state == state)
    if before:
        query = query.where(_columns.id < before[0])
    return [_notification(row) for row in await tx.execute(query)]


async def queue_again(tx: Transaction, notification_id: str) -> Notification:
    """Have a locked notification sent again, as if for the first time."""
    queued = (
        update(notifications)
        .where(_columns.id == notification_id)
        .values(
            state=State.PENDING,
            attempts=0,
            resends=_columns.resends + 1,
            last_error="",
            waits_for_server=False,
            lapses=0,
            queued_at=func.now(),
            next_attempt_at=func.now(),
        )
        .returning(notifications)
    )
    signal(tx, DUE)
    return _notification((await tx.execute(queued)).one())


async def claim_due(tx: Transaction, claim_id: str, limit: int, lease: timedelta) -> list[Claim]:
    """Notifications that are due, longest waiting first, past those others are just taking."""
    due = (
        select(_columns.id)
        .where(_columns.next_attempt_at <= func.now())
        .order_by(_columns.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(notifications)
        .where(_columns.id == due.c.id)
        .values(
            claim_id=claim_id,
            lapses=case((_columns.claim_id.is_(None), 0), else_=_columns.lapses + 1),
            attempts=_columns.attempts + 1,
            next_attempt_at=func.now() + lease,
        )
        .returning(notifications, (func.now() - _columns.queued_at).label("age"))
    )
    return [
        Claim(claim_id, _notification(row), row.age, row.lapses)
        for row in await tx.execute(claimed)
    ]


async def renew(tx: Transaction, claim: Claim, lease: timedelta) -> None:
    """Keep a claim for another `lease`, unless somebody else has it by now."""
    await tx.execute(
        update(notifications).where(_held(claim)).values(next_attempt_at=func.now() + lease)
    )


async def settle(tx: Transaction, claim: Claim, values: Mapping[str, Any]) -> None:
    """Write down how an attempt went and end the claim, unless somebody else has it by now."""
    await tx.execute(update(notifications).where(_held(claim)).values(**values, claim_id=None))
    signal(tx, DUE)


async def hurry(tx: Transaction) -> None:
    """Make due what waits for the mail server."""
    waiting = (
        select(_columns.id)
        .where(
            _columns.next_attempt_at > func.now(),
            _columns.waits_for_server,
            _columns.claim_id.is_(None),
        )
        .with_for_update(skip_locked=True)  # another replica may be doing the same
    )
    await tx.execute(
        update(notifications)
        .where(_columns.id.in_(waiting))
        .values(waits_for_server=False, next_attempt_at=func.now())
    )
    signal(tx, DUE)


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until a notification is due, by the database's clock; None: none will be."""
    query = select(func.extract("epoch", func.min(_columns.next_attempt_at) - func.now()))
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


def _held(claim: Claim) -> Any:
    return (_columns.id == claim.notification.id) & (_columns.claim_id == claim.id)


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        id=row.id,
        organizer_id=row.organizer_id,
        event_id=row.event_id,
        order_id=row.order_id or "",
        waitlist_entry_id=row.waitlist_entry_id or "",
        kind=Kind(row.kind),
        state=State(row.state),
        recipient=row.recipient,
        subject=row.subject,
        attempts=row.attempts,
        resends=row.resends,
        last_error=row.last_error,
        created_at=row.created_at,
        queued_at=row.queued_at,
        next_attempt_at=row.next_attempt_at,
        sent_at=row.sent_at,
    )
