"""Every SQL statement about notifications."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Boolean,
    Interval,
    Row,
    SmallInteger,
    Text,
    bindparam,
    case,
    cast,
    column,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from kit.database import Transaction, signal
from kit.ids import new_id
from notification_service.notifications.domain import Kind, Notification, Occasion, State
from notification_service.tables import notifications

DUE = "notifications"  # the signal that a notification may be due

_columns = notifications.c


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attempt changes about a notification. A recipient and a subject of None stay."""

    state: State
    recipient: str | None
    subject: str | None
    error: str  # empty: there was none
    waits_for_server: bool
    retry_in: timedelta | None  # None: nothing more is planned


@dataclass(frozen=True, slots=True)
class Claim:
    """A notification to deliver now, which is nobody else's until the lease ends."""

    id: str
    notification: Notification
    age: timedelta  # since it was queued, by the database's clock
    lapses: int  # claims before this one, in a row, that nobody finished


async def insert_notifications(tx: Transaction, occasions: Sequence[Occasion]) -> None:
    """Notifications that are due at once, less those of a kind about what has one of that kind."""
    # In order: replicas that are told the same at the same time do not wait for each other.
    ordered = sorted(occasions, key=lambda each: (each.kind, each.subject_id, each.order_id))
    await tx.execute(
        _INSERT,
        {
            "ids": sorted(new_id("ntf") for _ in ordered),
            "kinds": [each.kind for each in ordered],
            "priorities": [each.kind.priority for each in ordered],
            "organizer_ids": [each.organizer_id for each in ordered],
            "event_ids": [each.event_id for each in ordered],
            "order_ids": [each.order_id or None for each in ordered],
            "waitlist_entry_ids": [each.waitlist_entry_id or None for each in ordered],
            "subject_ids": [each.subject_id or None for each in ordered],
            "details": [json.dumps(dict(each.details)) for each in ordered],
        },
    )
    signal(tx, DUE)


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
    """Notifications that are due, past those others are just taking.

    First those whose kind goes first, and of them those that wait longest.
    """
    due = (
        select(_columns.id)
        .where(_columns.next_attempt_at <= func.now())
        .order_by(_columns.priority, _columns.next_attempt_at)
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
    rows = sorted((await tx.execute(claimed)).all(), key=lambda row: (row.priority, -row.age))
    return [Claim(claim_id, _notification(row), row.age, row.lapses) for row in rows]


async def renew(tx: Transaction, claims: Collection[Claim], lease: timedelta) -> None:
    """Keep claims for another `lease`, unless somebody else has them by now."""
    await tx.execute(
        update(notifications).where(_HELD).values(next_attempt_at=func.now() + lease),
        {
            "ids": [claim.notification.id for claim in claims],
            "claim_ids": [claim.id for claim in claims],
        },
    )


async def settle(tx: Transaction, outcomes: Sequence[tuple[Claim, Outcome]]) -> None:
    """Write down how attempts went and end the claims, unless somebody else has them by now."""
    await tx.execute(
        _SETTLE,
        {
            "ids": [claim.notification.id for claim, _ in outcomes],
            "claim_ids": [claim.id for claim, _ in outcomes],
            "states": [outcome.state for _, outcome in outcomes],
            "recipients": [outcome.recipient for _, outcome in outcomes],
            "subjects": [outcome.subject for _, outcome in outcomes],
            "errors": [outcome.error for _, outcome in outcomes],
            "waiting": [outcome.waits_for_server for _, outcome in outcomes],
            "delays": [outcome.retry_in for _, outcome in outcomes],
        },
    )
    if any(outcome.retry_in is not None for _, outcome in outcomes):
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


_IDS = bindparam("ids", type_=ARRAY(Text))
_CLAIM_IDS = bindparam("claim_ids", type_=ARRAY(Text))
_HELD = (_columns.id == func.any(_IDS)) & (_columns.claim_id == func.any(_CLAIM_IDS))

_NEW = (
    func.unnest(
        _IDS,
        bindparam("kinds", type_=ARRAY(Text)),
        bindparam("priorities", type_=ARRAY(SmallInteger)),
        bindparam("organizer_ids", type_=ARRAY(Text)),
        bindparam("event_ids", type_=ARRAY(Text)),
        bindparam("order_ids", type_=ARRAY(Text)),
        bindparam("waitlist_entry_ids", type_=ARRAY(Text)),
        bindparam("subject_ids", type_=ARRAY(Text)),
        bindparam("details", type_=ARRAY(Text)),
    )
    .table_valued(
        "id",
        "kind",
        "priority",
        "organizer_id",
        "event_id",
        "order_id",
        "waitlist_entry_id",
        "subject_id",
        "details",
    )
    .render_derived(name="new")
)
_INSERT = (
    insert(notifications)
    .from_select(
        [*_NEW.c.keys(), "state", "next_attempt_at"],
        select(
            *[each for each in _NEW.c if each.name != "details"],
            cast(_NEW.c.details, JSONB),
            literal(State.PENDING.value, Text),
            func.now(),
        ),
    )
    .on_conflict_do_nothing()
)

_ENDED = (
    func.unnest(
        _IDS,
        _CLAIM_IDS,
        bindparam("states", type_=ARRAY(Text)),
        bindparam("recipients", type_=ARRAY(Text)),
        bindparam("subjects", type_=ARRAY(Text)),
        bindparam("errors", type_=ARRAY(Text)),
        bindparam("waiting", type_=ARRAY(Boolean)),
        bindparam("delays", type_=ARRAY(Interval)),
    )
    .table_valued(
        "id",
        "claim_id",
        "state",
        "recipient",
        "subject",
        "error",
        column("waits", Boolean),
        column("delay", Interval),
    )
    .render_derived(name="ended")
)
_SETTLE = (
    update(notifications)
    .where(_columns.id == _ENDED.c.id, _columns.claim_id == _ENDED.c.claim_id)
    .values(
        state=_ENDED.c.state,
        recipient=func.coalesce(_ENDED.c.recipient, _columns.recipient),
        subject=func.coalesce(_ENDED.c.subject, _columns.subject),
        last_error=_ENDED.c.error,
        waits_for_server=_ENDED.c.waits,
        next_attempt_at=func.now() + _ENDED.c.delay,
        sent_at=case((_ENDED.c.state == State.SENT.value, func.now()), else_=_columns.sent_at),
        claim_id=None,
    )
)


def _notification(row: Row[Any]) -> Notification:
    return Notification(
        id=row.id,
        organizer_id=row.organizer_id,
        event_id=row.event_id,
        order_id=row.order_id or "",
        waitlist_entry_id=row.waitlist_entry_id or "",
        subject_id=row.subject_id or "",
        details=row.details,
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
