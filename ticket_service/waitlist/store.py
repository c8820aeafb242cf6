"""Every SQL statement about waiting lists.

Who moves an entry that waits has its ticket type locked; who moves one that has an offer, its hold.
So what was read under these locks stays true, and entries need none of their own.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    DateTime,
    Integer,
    Row,
    Text,
    Update,
    bindparam,
    column,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from kit.database import Transaction
from ticket_service.catalog.domain import EventState
from ticket_service.tables import events, quota_ticket_types, ticket_types, waitlist_entries
from ticket_service.waitlist.domain import Offer, WaitlistEntry, WaitlistState, sources

CLOSING_BATCH = 2  # lines, of 10,000 entries at most: half a second
REOPENED_WITHIN = timedelta(minutes=1)
REOPENING_BATCH = 100
MOST_TICKETS = 100  # that one entry may ask for: the contract's limit

_columns = waitlist_entries.c
_ENTRY = select(waitlist_entries, events.c.organizer_id).join(events)
_IDS = bindparam("ids", type_=ARRAY(Text))


async def insert_entry(tx: Transaction, values: Mapping[str, Any]) -> WaitlistEntry | None:
    """A new entry; None when the address has one that is live for the same ticket type."""
    made = (
        insert(waitlist_entries)
        .values(**values, state=WaitlistState.WAITING)
        .on_conflict_do_nothing()
        .returning(_columns.id)
    )
    if (await tx.execute(made)).first() is None:
        return None
    return await get_entry(tx, values["id"])


async def count_waiting(tx: Transaction, ticket_type_id: str) -> int:
    """How many wait for a ticket type."""
    query = select(func.count()).where(_columns.ticket_type_id == ticket_type_id, _WAITING)
    return int((await tx.execute(query)).scalar_one())


async def get_entry(tx: Transaction, entry_id: str) -> WaitlistEntry | None:
    """One entry."""
    row = (await tx.execute(_ENTRY.where(_columns.id == entry_id))).first()
    return _entry(row) if row else None


async def list_entries(
    tx: Transaction, event_id: str, *, ticket_type_id: str, state: str, after: str, limit: int
) -> list[WaitlistEntry]:
    """An event's entries that the filters admit, oldest first; empty filters admit all."""
    query = _ENTRY.where(_columns.event_id == event_id, _columns.id > after)
    if ticket_type_id:
        query = query.where(_columns.ticket_type_id == ticket_type_id)
    if state:
        query = query.where(_columns.state == state)
    return [_entry(row) for row in await tx.execute(query.order_by(_columns.id).limit(limit))]


async def find_tied(tx: Transaction, ticket_type_ids: Collection[str]) -> set[str]:
    """The ticket types, and those that share a quota with one of them."""
    mine, theirs = quota_ticket_types.alias("mine"), quota_ticket_types.alias("theirs")
    query = (
        select(theirs.c.ticket_type_id)
        .join(mine, mine.c.quota_id == theirs.c.quota_id)
        .where(mine.c.ticket_type_id == func.any(_IDS))
    )
    found = await tx.execute(query, {"ids": list(ticket_type_ids)})
    return {*ticket_type_ids, *found.scalars()}


async def find_lines(tx: Transaction, ticket_type_ids: Collection[str]) -> list[str]:
    """Those of the ticket types that somebody waits for."""
    found = await tx.execute(_LINES, {"ids": list(ticket_type_ids)})
    return list(found.scalars())


async def find_reopened(tx: Transaction) -> list[str]:
    """The ticket types whose sales began lately, and that somebody waits for."""
    began = ticket_types.c.sales_start.between(func.now() - REOPENED_WITHIN, func.now())
    waited_for = select(_columns.id).where(_columns.ticket_type_id == ticket_types.c.id, _WAITING)
    query = select(ticket_types.c.id).where(
        began, ticket_types.c.remaining > 0, waited_for.exists()
    )
    return list((await tx.execute(query.limit(REOPENING_BATCH))).scalars())


async def next_in_line(tx: Transaction, available: Mapping[str, int]) -> list[WaitlistEntry]:
    """Who may be served with so many of each ticket type: oldest first, and not all of them fit.

    However long the line is, these are few: of those who want two tickets, at most half as many as
    there are tickets, and so on.
    """
    given = {key: count for key, count in available.items() if count > 0}
    values = {"ids": list(given), "counts": list(given.values())}
    return [_entry(row) for row in await tx.execute(_NEXT, values)] if given else []


async def offer(tx: Transaction, offers: Sequence[Offer]) -> None:
    """Note who is offered which hold."""
    values = {
        "ids": [each.entry_id for each in offers],
        "hold_ids": [each.hold_id for each in offers],
        "deadlines": [each.expires_at for each in offers],
    }
    await tx.execute(_OFFER, values)


async def settle(tx: Transaction, hold_ids: Collection[str], state: WaitlistState) -> None:
    """Move the entries that some holds were offered to."""
    await tx.execute(_settling(state), {"ids": list(hold_ids)})


@cache
def _settling(state: WaitlistState) -> Update:
    return (
        update(waitlist_entries)
        .where(_columns.hold_id == func.any(_IDS), _columns.state.in_(sources(state)))
        .values(state=state, updated_at=func.now())
    )


async def stop_waiting(tx: Transaction, entry_id: str) -> None:
    """Cancel an entry that waits, whose ticket type is locked."""
    await tx.execute(
        update(waitlist_entries)
        .where(_columns.id == entry_id, _WAITING)
        .values(state=WaitlistState.CANCELLED, updated_at=func.now())
    )


async def close_lines(tx: Transaction) -> int:
    """Cancel some of those who wait for what is over or called off; answers how many."""
    lines = select(_columns.ticket_type_id).where(_WAITING).distinct().subquery("lines")
    closed = (
        select(ticket_types.c.id)
        .join(lines, lines.c.ticket_type_id == ticket_types.c.id)
        .join(events)
        .where(events.c.state.in_((EventState.CANCELLED, EventState.ENDED)))
        .order_by(ticket_types.c.id)
        .limit(CLOSING_BATCH)
        .with_for_update(of=ticket_types, key_share=True, skip_locked=True)
    )
    cancelled = (
        update(waitlist_entries)
        .where(_columns.ticket_type_id.in_(closed), _WAITING)
        .values(state=WaitlistState.CANCELLED, updated_at=func.now())
    )
    return (await tx.execute(cancelled)).rowcount


# A constant: of a parameter PostgreSQL cannot tell that the partial index has it.
_WAITING = _columns.state == literal_column("'WAITING'")

# Probes an index once for each ticket type: this is asked whenever stock returns.
_LINES = select(ticket_types.c.id).where(
    ticket_types.c.id == func.any(_IDS),
    select(_columns.id).where(_columns.ticket_type_id == ticket_types.c.id, _WAITING).exists(),
)

_AVAILABLE = (
    func.unnest(_IDS, bindparam("counts", type_=ARRAY(Integer)))
    .table_valued("ticket_type_id", "count")
    .render_derived(name="available")
)
_WANTED = (
    func.generate_series(1, func.least(_AVAILABLE.c.count, MOST_TICKETS))
    .table_valued(column("quantity", Integer))
    .render_derived(name="wanted")
    .lateral("wanted")
)
_FIRST = (
    select(waitlist_entries)
    .where(
        _columns.ticket_type_id == _AVAILABLE.c.ticket_type_id,
        _columns.quantity == _WANTED.c.quantity,
        _WAITING,
    )
    .order_by(_columns.id)
    .limit(_AVAILABLE.c.count.op("/")(_WANTED.c.quantity))
    .lateral("first")
)
_ORGANIZER = select(events.c.organizer_id).where(events.c.id == _FIRST.c.event_id).scalar_subquery()
_NEXT = (
    select(_FIRST, _ORGANIZER.label("organizer_id"))
    .select_from(_AVAILABLE.join(_WANTED, true()).join(_FIRST, true()))
    .order_by(_FIRST.c.id)
)

_GIVEN = (
    func.unnest(
        _IDS,
        bindparam("hold_ids", type_=ARRAY(Text)),
        bindparam("deadlines", type_=ARRAY(DateTime(timezone=True))),
    )
    .table_valued("id", "hold_id", "expires_at")
    .render_derived(name="given")
)
_OFFER = (
    update(waitlist_entries)
    .where(_columns.id == _GIVEN.c.id, _WAITING)
    .values(
        state=WaitlistState.OFFERED,
        hold_id=_GIVEN.c.hold_id,
        offer_expires_at=_GIVEN.c.expires_at,
        updated_at=func.now(),
    )
)


def _entry(row: Row[Any]) -> WaitlistEntry:
    return WaitlistEntry(**{**row._asdict(), "state": WaitlistState(row.state)})
