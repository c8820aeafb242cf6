"""Every SQL statement about events and ticket types.

Locks are taken in one order everywhere: the event, then holds by id, tickets by id, ticket types by
id, quotas by id, the event's seat map, and waitlist entries by id. They are `FOR NO KEY UPDATE` and
weaker, since rows that refer to these (new holds, new tickets) may come meanwhile: a foreign key's
check would wait for `FOR UPDATE`, in an order of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction, signal
from kit.money import Money
from ticket_service.catalog.domain import (
    BookingFee,
    CancellationPolicy,
    Event,
    EventState,
    TicketType,
    minor,
)
from ticket_service.stock.domain import CHANGED
from ticket_service.stock.store import QUOTA_REMAINING
from ticket_service.tables import (
    event_seats,
    events,
    hold_items,
    holds,
    quota_ticket_types,
    quotas,
    seat_map_zones,
    seat_maps,
    ticket_types,
    tickets,
    waitlist_entries,
)

ENDING_BATCH = 1000


async def insert_event(tx: Transaction, event: Event) -> Event:
    """A new event, at version 1."""
    values = {"id": event.id, "organizer_id": event.organizer_id, **_columns(event)}
    return _event((await tx.execute(insert(events).values(values).returning(events))).one())


async def get_event(tx: Transaction, event_id: str) -> Event | None:
    """One event."""
    row = (await tx.execute(select(events).where(events.c.id == event_id))).first()
    return _event(row) if row else None


async def get_held(
    tx: Transaction, event_id: str, ticket_type_ids: Collection[str]
) -> tuple[Event, list[TicketType]] | None:
    """An event with those of its ticket types that a hold names, in one go."""
    rows = (await tx.execute(_HELD, {"event_id": event_id, "ids": list(ticket_type_ids)})).all()
    if not rows:  # the draft that it became is deleted, and the hold with it
        return None
    split = len(events.c)
    names = (*ticket_types.c.keys(), "quota_remaining")
    return _event(rows[0]), [
        TicketType(
            **dict(zip(names, row[split:], strict=True)), currency_code=rows[0].currency_code
        )
        for row in rows
    ]


async def lock_event(tx: Transaction, event_id: str) -> Event | None:
    """One event, for a change of it."""
    query = select(events).where(events.c.id == event_id).with_for_update(key_share=True)
    row = (await tx.execute(query)).first()
    return _event(row) if row else None


_SHARE = (
    select(events)
    .where(events.c.id == func.any(bindparam("ids", type_=ARRAY(Text))))
    .order_by(events.c.id)
    .with_for_update(read=True)
)


async def share_events(tx: Transaction, event_ids: Collection[str]) -> dict[str, Event]:
    """Some events, by id, which nobody changes before the transaction ends."""
    found = await tx.execute(_SHARE, {"ids": list(event_ids)})
    return {row.id: _event(row) for row in found}


async def list_events(
    tx: Transaction,
    *,
    words: Sequence[str],
    starts_after: datetime | None,
    starts_before: datetime | None,
    state: str,
    organizer_id: str,
    viewer_organizer_id: str,
    sees_all: bool,
    after: tuple[datetime, str] | None,
    limit: int,
) -> list[Event]:
    """What the viewer may see and the filters admit, soonest first."""
    query = select(events).order_by(events.c.starts_at, events.c.id).limit(limit)
    for word in words:
        text = events.c.title + " " + events.c.description + " " + events.c.location
        query = query.where(text.icontains(word, autoescape=True))
    if starts_after:
        query = query.where(events.c.starts_at >= starts_after)
    if starts_before:
        query = query.where(events.c.starts_at < starts_before)
    if organizer_id:
        query = query.where(events.c.organizer_id == organizer_id)
    if state:
        query = query.where(events.c.state == state)
    if not sees_all:
        public = events.c.state != "DRAFT" if state else events.c.state == "PUBLISHED"
        query = query.where(or_(public, events.c.organizer_id == viewer_organizer_id))
    if after:
        query = query.where(tuple_(events.c.starts_at, events.c.id) > after)
    return [_event(row) for row in await tx.execute(query)]


async def update_event(tx: Transaction, event: Event) -> Event:
    """Store a changed event as its next version."""
    changed = (
        update(events)
        .where(events.c.id == event.id)
        .values(**_columns(event), version=events.c.version + 1, updated_at=func.now())
    )
    signal(tx, CHANGED)
    return _event((await tx.execute(changed.returning(events))).one())


async def delete_event(tx: Transaction, event_id: str) -> None:
    """Remove a draft with all that belongs to it, and the holds that came to nothing."""
    types = select(ticket_types.c.id).where(ticket_types.c.event_id == event_id)
    for uses in (hold_items, quota_ticket_types):
        await tx.execute(delete(uses).where(uses.c.ticket_type_id.in_(types)))
    # In the order of their foreign keys.
    belongings = (
        waitlist_entries,
        holds,
        quotas,
        event_seats,
        seat_map_zones,
        seat_maps,
        ticket_types,
    )
    for table in belongings:
        await tx.execute(delete(table).where(table.c.event_id == event_id))
    await tx.execute(delete(events).where(events.c.id == event_id))


async def is_in_use(tx: Transaction, event_id: str) -> bool:
    """Whether tickets of the event are held or sold.

    Locks the ticket types, as a new hold does before it looks at the event's state: so no hold
    slips in between this answer and the change that depends on it.
    """
    await lock_ticket_types(tx, event_id)
    held = and_(holds.c.event_id == event_id, holds.c.state == "ACTIVE")
    sold = and_(tickets.c.event_id == event_id, tickets.c.state == "ISSUED")
    return await _any(tx, held, sold)


async def was_sold(tx: Transaction, event_id: str) -> bool:
    """Whether the event ever had a ticket, even one that was taken back."""
    return await _any(tx, tickets.c.event_id == event_id)


async def end_events(tx: Transaction) -> int:
    """Move published events whose end has passed to ENDED; answers how many."""
    over = (
        select(events.c.id)
        .where(events.c.state == "PUBLISHED", events.c.ends_at <= func.now())
        .order_by(events.c.ends_at)
        .limit(ENDING_BATCH)
        .with_for_update(key_share=True, skip_locked=True)
    )
    ended = (
        update(events)
        .where(events.c.id.in_(over))
        .values(state="ENDED", version=events.c.version + 1, updated_at=func.now())
    )
    count = (await tx.execute(ended)).rowcount
    if count:
        signal(tx, CHANGED)
    return count


async def insert_ticket_type(
    tx: Transaction, event: Event, values: Mapping[str, Any]
) -> TicketType:
    """A new ticket type, at version 1."""
    row = (await tx.execute(insert(ticket_types).values(values).returning(ticket_types))).one()
    signal(tx, CHANGED)
    return TicketType(**row._asdict(), currency_code=event.currency_code)


async def lock_ticket_types(tx: Transaction, event_id: str) -> list[TicketType]:
    """An event's ticket types, locked in id order."""
    lock = (
        select(ticket_types.c.id)
        .where(ticket_types.c.event_id == event_id)
        .order_by(ticket_types.c.id)
        .with_for_update(key_share=True)
    )
    await tx.execute(lock)
    # Asked again, since the lock may have been waited for: meanwhile what quotas leave has changed.
    return (await list_ticket_types(tx, [event_id]))[event_id]


async def list_ticket_types(
    tx: Transaction, event_ids: Sequence[str]
) -> dict[str, list[TicketType]]:
    """The ticket types of some events, oldest first."""
    query = (
        select(*ticket_types.c, events.c.currency_code, QUOTA_REMAINING)
        .join(events)
        .where(ticket_types.c.event_id.in_(event_ids))
        .order_by(ticket_types.c.id)
    )
    found: dict[str, list[TicketType]] = {event_id: [] for event_id in event_ids}
    for row in await tx.execute(query):
        found[row.event_id].append(TicketType(**row._asdict()))
    return found


async def list_hidden(tx: Transaction, event_id: str) -> list[str]:
    """The ids of an event's hidden ticket types."""
    hidden = ticket_types.c.event_id == event_id, ticket_types.c.is_hidden
    return list((await tx.execute(select(ticket_types.c.id).where(*hidden))).scalars())


async def update_ticket_type(tx: Transaction, ticket_type: TicketType) -> None:
    """Store a changed ticket type, whose row is locked, as its next version."""
    values = {
        name: getattr(ticket_type, name)
        for name in (
            "name",
            "price_minor",
            "total_stock",
            "remaining",
            "sales_start",
            "sales_end",
            "max_per_order",
            "tax_ppm",
            "tax_included",
            "is_hidden",
        )
    }
    changed = (
        update(ticket_types)
        .where(ticket_types.c.id == ticket_type.id)
        .values(**values, version=ticket_types.c.version + 1, updated_at=func.now())
    )
    await tx.execute(changed)
    signal(tx, CHANGED)


async def was_held(tx: Transaction, ticket_type_id: str) -> bool:
    """Whether any hold, live or past, names the ticket type."""
    return await _any(tx, hold_items.c.ticket_type_id == ticket_type_id)


async def is_on_seat_map(tx: Transaction, ticket_type_id: str) -> bool:
    """Whether a zone or a seat is sold as the ticket type."""
    return await _any(
        tx,
        seat_map_zones.c.ticket_type_id == ticket_type_id,
        event_seats.c.ticket_type_id == ticket_type_id,
    )


async def delete_ticket_type(tx: Transaction, ticket_type_id: str) -> None:
    """Remove a ticket type that was never held, also from its quotas."""
    uses = quota_ticket_types.c.ticket_type_id == ticket_type_id
    await tx.execute(delete(quota_ticket_types).where(uses))
    await tx.execute(delete(ticket_types).where(ticket_types.c.id == ticket_type_id))
    signal(tx, CHANGED)


async def _any(tx: Transaction, *conditions: ColumnElement[bool]) -> bool:
    """Whether there is a row, each condition asking one table."""
    found = or_(*(exists().where(condition) for condition in conditions))
    return bool((await tx.execute(select(found))).scalar_one())


# The columns of ticket types are told from those of events by where they stand.
_HELD = (
    select(
        events,
        *(column.label(f"ticket_type_{column.name}") for column in ticket_types.c),
        QUOTA_REMAINING,
    )
    .join(ticket_types, ticket_types.c.event_id == events.c.id)
    .where(
        events.c.id == bindparam("event_id"),
        ticket_types.c.id == func.any(bindparam("ids", type_=ARRAY(Text))),
    )
    .order_by(ticket_types.c.id)
)


def _columns(event: Event) -> dict[str, Any]:
    """What an admin decides about an event, as it is stored."""
    names = (
        "state",
        "title",
        "description",
        "location",
        "starts_at",
        "ends_at",
        "time_zone",
        "currency_code",
    )
    fee, policy = event.booking_fee or BookingFee(), event.cancellation_policy
    return {
        **{name: getattr(event, name) for name in names},
        "booking_fee_minor": minor(fee.per_ticket),
        "booking_fee_ppm": fee.ppm,
        "booking_fee_tax_ppm": fee.tax_ppm,
        "cancellable_until": policy.until if policy else None,
        "cancellation_fee_minor": minor(policy.fee) if policy else 0,
        "cancellation_fee_ppm": policy.fee_ppm if policy else 0,
    }


def _event(row: Row[Any]) -> Event:
    fee = BookingFee(
        _money(row, row.booking_fee_minor), row.booking_fee_ppm, row.booking_fee_tax_ppm
    )
    policy = None
    if row.cancellable_until is not None:
        kept = _money(row, row.cancellation_fee_minor)
        policy = CancellationPolicy(row.cancellable_until, kept, row.cancellation_fee_ppm)
    return Event(
        id=row.id,
        organizer_id=row.organizer_id,
        state=EventState(row.state),
        title=row.title,
        description=row.description,
        location=row.location,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        time_zone=row.time_zone,
        currency_code=row.currency_code,
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        booking_fee=None if fee.is_nothing else fee,
        cancellation_policy=policy,
    )


def _money(row: Row[Any], minor: int) -> Money | None:
    return Money(row.currency_code, minor) if minor else None
