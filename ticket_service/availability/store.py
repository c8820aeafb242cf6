"""The two statements that read what can be had, each for any number of events."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import (
    DateTime,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.availability.domain import (
    MAX_CHANGED_SEATS,
    Availability,
    SeatChange,
    SeatChanges,
    SeatStates,
)
from ticket_service.catalog.domain import EventState
from ticket_service.tables import (
    event_seats,
    events,
    quota_ticket_types,
    quotas,
    seat_maps,
    ticket_types,
)

_IDS = bindparam("ids", type_=ARRAY(Text))


async def read_availability(tx: Transaction, event_ids: Collection[str]) -> dict[str, Availability]:
    """What can be had of those of the events that exist."""
    found: dict[str, Availability] = {}
    remaining: defaultdict[str, dict[str, int]] = defaultdict(dict)
    hidden: defaultdict[str, set[str]] = defaultdict(set)
    for row in await tx.execute(_AVAILABILITY, {"ids": list(event_ids)}):
        if row.id not in found:
            found[row.id] = Availability(
                event_id=row.id,
                organizer_id=row.organizer_id,
                event_state=EventState(row.state),
                remaining=remaining[row.id],
                seats=SeatStates(row.seated_at, row.seats_version) if row.seated_at else None,
                hidden=hidden[row.id],
            )
        if row.ticket_type_id is not None:
            remaining[row.id][row.ticket_type_id] = row.remaining
        if row.is_hidden:
            hidden[row.id].add(row.ticket_type_id)
    return found


async def read_seat_changes(
    tx: Transaction, since: Mapping[str, SeatStates]
) -> dict[str, SeatChanges]:
    """The seats that changed since these states, by event; not of events that are seated anew.

    Of each event one more than MAX_CHANGED_SEATS at most.
    """
    values = {
        "ids": list(since),
        "seated_at": [states.seated_at for states in since.values()],
        "versions": [states.version for states in since.values()],
    }
    until: dict[str, SeatStates] = {}
    changed: defaultdict[str, list[SeatChange]] = defaultdict(list)
    for row in await tx.execute(_SEAT_CHANGES, values):
        until[row.event_id] = SeatStates(row.created_at, row.version)
        if row.position is not None:
            changed[row.event_id].append(SeatChange(row.position, row.letter))
    return {
        event_id: SeatChanges(states, tuple(changed[event_id]))
        for event_id, states in until.items()
    }


def _availability() -> Select[Any]:
    quota = (
        select(quota_ticket_types.c.ticket_type_id, func.min(quotas.c.remaining).label("remaining"))
        .select_from(quotas.join(quota_ticket_types))
        .where(quotas.c.event_id == func.any(_IDS))
        .group_by(quota_ticket_types.c.ticket_type_id)
        .subquery("quota")
    )
    return (
        select(
            events.c.id,
            events.c.organizer_id,
            events.c.state,
            ticket_types.c.id.label("ticket_type_id"),
            func.least(ticket_types.c.remaining, quota.c.remaining).label("remaining"),
            ticket_types.c.is_hidden,
            seat_maps.c.created_at.label("seated_at"),
            seat_maps.c.version.label("seats_version"),
        )
        .select_from(
            events.outerjoin(ticket_types, ticket_types.c.event_id == events.c.id)
            .outerjoin(quota, quota.c.ticket_type_id == ticket_types.c.id)
            .outerjoin(seat_maps, seat_maps.c.event_id == events.c.id)
        )
        .where(events.c.id == func.any(_IDS))
        .order_by(ticket_types.c.id)
    )


def _seat_changes() -> Select[Any]:
    """One statement, so that the version and the changes are of the same moment."""
    given = (
        func.unnest(
            _IDS,
            bindparam("seated_at", type_=ARRAY(DateTime(timezone=True))),
            bindparam("versions", type_=ARRAY(Integer)),
        )
        .table_valued("event_id", "seated_at", "version")
        .render_derived(name="given")
    )
    changed = (
        select(event_seats.c.position, func.left(event_seats.c.state, 1).label("letter"))
        .where(
            event_seats.c.event_id == seat_maps.c.event_id,
            event_seats.c.version > given.c.version,
        )
        .limit(MAX_CHANGED_SEATS + 1)
        .lateral("changed")
    )
    same_map = and_(
        seat_maps.c.event_id == given.c.event_id, seat_maps.c.created_at == given.c.seated_at
    )
    return (
        select(seat_maps.c.event_id, seat_maps.c.created_at, seat_maps.c.version, changed)
        .select_from(given.join(seat_maps, same_map).outerjoin(changed, true()))
        .order_by(changed.c.position)
    )


_AVAILABILITY = _availability()
_SEAT_CHANGES = _seat_changes()
