"""Every SQL statement about seat maps and the states of their seats.

The order and strength of locks: see catalog/store.py. Whoever changes the state of a seat locks the
seat map's row first, and gives what it changes the map's next version.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Integer, Row, Text, and_, bindparam, case, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.seating.domain import Change, SeatMap, SeatState
from ticket_service.seating.plan import PlannedSeat, SeatPlan
from ticket_service.tables import event_seats, seat_maps

_EVENT_ID = bindparam("event_id_", type_=Text)
_VERSION = bindparam("version_", type_=Integer)


async def lock_seat_map(tx: Transaction, event_id: str) -> SeatMap | None:
    """An event's seat map, for a change of its seats."""
    row = (await tx.execute(_LOCK, {"event_id_": event_id})).first()
    return _seat_map(row) if row else None


async def read_seats(tx: Transaction, event_id: str) -> tuple[SeatMap, SeatPlan, bytes] | None:
    """An event's seats and one letter for the state of each, all of the same version."""
    rows = (await tx.execute(_SEATS, {"event_id_": event_id})).all()
    if not rows:
        return None
    seats = [
        PlannedSeat(
            seat_id=row.seat_id,
            section=row.section,
            row=row.row,
            number=row.number,
            rank=row.rank,
            aisle=row.aisle,
            ticket_type_id=row.ticket_type_id,
        )
        for row in rows
    ]
    seat_map = _seat_map(rows[0])
    letters = "".join(row.letter for row in rows).encode()
    return seat_map, SeatPlan(event_id, seat_map.created_at, seats), letters


async def read_changes(
    tx: Transaction, event_id: str, since: int
) -> tuple[SeatMap, dict[int, SeatState]] | None:
    """The seats that changed since a version, by position, and the version that they are at."""
    rows = (await tx.execute(_CHANGES, {"event_id_": event_id, "version_": since})).all()
    if not rows:
        return None
    changed = {row.position: SeatState(row.state) for row in rows if row.position is not None}
    return _seat_map(rows[0]), changed


async def save_changes(
    tx: Transaction, event_id: str, version: int, changes: Mapping[int, Change]
) -> bool:
    """Store changes of seats as the map's next version after this one, whose row is locked.

    False if the map or one of the seats is not what the changes start from: then the transaction
    must not commit.
    """
    values = {
        "event_id_": event_id,
        "version_": version,
        "positions": list(changes),
        "befores": [change.before.value for change in changes.values()],
        "states": [change.state.value for change in changes.values()],
        "hold_ids": [change.hold_id for change in changes.values()],
        "reasons": [change.reason for change in changes.values()],
        "notes": [change.note for change in changes.values()],
    }
    return (await tx.execute(_SAVE, values)).scalar_one_or_none() == len(changes)


_LOCK = select(seat_maps).where(seat_maps.c.event_id == _EVENT_ID).with_for_update(key_share=True)
_SEATS = (
    select(
        seat_maps,
        event_seats.c.seat_id,
        event_seats.c.section,
        event_seats.c.row,
        event_seats.c.number,
        event_seats.c.rank,
        event_seats.c.aisle,
        event_seats.c.ticket_type_id,
        func.left(event_seats.c.state, 1).label("letter"),
    )
    .join(event_seats)
    .where(seat_maps.c.event_id == _EVENT_ID)
    .order_by(event_seats.c.position)
)
# One statement, so that the version and the changes are of the same moment.
_CHANGES = (
    select(seat_maps, event_seats.c.position, event_seats.c.state)
    .outerjoin(
        event_seats,
        and_(
            event_seats.c.event_id == seat_maps.c.event_id,
            event_seats.c.version > _VERSION,
        ),
    )
    .where(seat_maps.c.event_id == _EVENT_ID)
    .order_by(event_seats.c.position)
)


def _saving() -> Any:
    given = (
        func.unnest(
            bindparam("positions", type_=ARRAY(Integer)),
            *(
                bindparam(name, type_=ARRAY(Text))
                for name in ("befores", "states", "hold_ids", "reasons", "notes")
            ),
        )
        .table_valued("position", "before", "state", "hold_id", "reason", "note")
        .render_derived(name="given")
    )
    owner = func.coalesce(given.c.hold_id, event_seats.c.hold_id)
    changed = (
        update(event_seats)
        .where(
            event_seats.c.event_id == _EVENT_ID,
            event_seats.c.position == given.c.position,
            # The database's own guard: what memory says the seat was before must be true.
            event_seats.c.state == given.c.before,
        )
        .values(
            state=given.c.state,
            hold_id=case((given.c.state.in_(["HELD", "SOLD"]), owner)),
            block_reason=given.c.reason,
            block_note=given.c.note,
            version=_VERSION + 1,
        )
        .returning(event_seats.c.position)
        .cte("changed")
    )
    count = select(func.count()).select_from(changed).scalar_subquery()
    return (
        update(seat_maps)
        .where(seat_maps.c.event_id == _EVENT_ID, seat_maps.c.version == _VERSION)
        .values(version=_VERSION + 1)
        .returning(count)
    )


_SAVE = _saving()


def _seat_map(row: Row[Any]) -> SeatMap:
    return SeatMap(row.event_id, row.hall_id, row.version, row.created_at)
