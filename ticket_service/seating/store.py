"""Every SQL statement about seat maps and the states of their seats.

The order and strength of locks: see catalog/store.py. Whoever changes the state of a seat locks the
seat map's row first, and gives what it changes the map's next version. Seats travel as arrays, one
for each column: a map has thousands, and a row of a result costs more than what is in it.
"""

from collections.abc import Mapping, Sequence
from itertools import starmap
from typing import Any

from sqlalchemy import (
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction, signal
from ticket_service.seating.domain import AssignedSeat, Change, SeatState
from ticket_service.seating.maps import (
    BlockedSeat,
    Drawing,
    DrawnSeat,
    SeatMap,
    ZoneRequest,
    ZoneSize,
    ZoneTicketType,
)
from ticket_service.seating.plan import PlannedSeat, SeatPlan
from ticket_service.stock.domain import CHANGED
from ticket_service.tables import (
    event_seats,
    seat_map_zones,
    seat_maps,
    seat_rows,
    seats,
    sections,
    ticket_types,
    zones,
)
from ticket_service.venues.domain import BlockReason

_EVENT_ID = bindparam("event_id_", type_=Text)
_VERSION = bindparam("version_", type_=Integer)


async def lock_seat_map(tx: Transaction, event_id: str) -> SeatMap | None:
    """An event's seat map, for a change of its seats."""
    row = (await tx.execute(_LOCK, {"event_id_": event_id})).first()
    return SeatMap(*row) if row else None


async def get_seat_map(tx: Transaction, event_id: str) -> SeatMap | None:
    """An event's seat map."""
    row = (await tx.execute(_MAP, {"event_id_": event_id})).first()
    return SeatMap(*row) if row else None


async def draw(tx: Transaction, event_id: str) -> Drawing | None:
    """An event's seat map with all that it shows."""
    row = (await tx.execute(_DRAWING, {"event_id_": event_id})).first()
    if row is None:
        return None
    seat_map, in_seats, in_zones = row[:4], row[4:-3], row[-3:]
    return Drawing(
        SeatMap(*seat_map),
        list(starmap(ZoneTicketType, zip(*in_zones, strict=True))),
        list(starmap(DrawnSeat, zip(*in_seats, strict=True))),
    )


async def read_seats(tx: Transaction, event_id: str) -> tuple[SeatMap, SeatPlan, bytes] | None:
    """An event's seats and one letter for the state of each, all of the same version."""
    row = (await tx.execute(_SEATS, {"event_id_": event_id})).first()
    if row is None:
        return None
    seat_map, in_seats, states = SeatMap(*row[:4]), row[4:-1], row[-1]
    planned = list(starmap(PlannedSeat, zip(*in_seats, strict=True)))
    plan = SeatPlan(event_id, seat_map.created_at, planned)
    return seat_map, plan, "".join(state[0] for state in states).encode()


async def read_changes(
    tx: Transaction, event_id: str, since: int, limit: int | None = None
) -> tuple[SeatMap, dict[int, SeatState]] | None:
    """The seats that changed since a version, by position, and the version that they are at."""
    values = {"event_id_": event_id, "version_": since, "limit_": limit}
    rows = (await tx.execute(_CHANGES, values)).all()
    if not rows:
        return None
    changed = {row.position: SeatState(row.state) for row in rows if row.position is not None}
    return SeatMap(*rows[0][:4]), changed


async def has_unchanged(tx: Transaction, event_id: str, since: int) -> bool:
    """Whether a seat has not changed since a version: all have when the event was seated anew."""
    of_event, old = event_seats.c.event_id == event_id, event_seats.c.version <= since
    return bool((await tx.execute(select(exists().where(of_event, old)))).scalar_one())


async def list_blocked(
    tx: Transaction, event_id: str, *, after: int, limit: int
) -> list[BlockedSeat]:
    """Blocked seats whose positions come after one, in the order of the map."""
    query = (
        select(event_seats)
        .where(
            event_seats.c.event_id == event_id,
            event_seats.c.position > after,
            event_seats.c.state == SeatState.BLOCKED,
        )
        .order_by(event_seats.c.position)
        .limit(limit)
    )
    return [
        BlockedSeat(
            row.position,
            AssignedSeat(row.seat_id, row.section, row.row, row.number),
            BlockReason(row.block_reason),
            row.block_note,
        )
        for row in await tx.execute(query)
    ]


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
    signal(tx, CHANGED)
    return (await tx.execute(_SAVE, values)).scalar_one_or_none() == len(changes)


async def size_zones(tx: Transaction, hall_id: str) -> dict[str, ZoneSize]:
    """All zones of a hall by name, and how many seats they have."""
    query = (
        select(
            zones.c.name,
            func.count(seats.c.id).label("seats"),
            func.count(seats.c.id).filter(seats.c.block_reason.is_(None)).label("for_sale"),
        )
        .select_from(
            zones.outerjoin(
                sections.join(seat_rows).join(seats),
                and_(sections.c.hall_id == zones.c.hall_id, zones.c.name == _ZONE),
            )
        )
        .where(zones.c.hall_id == hall_id)
        .group_by(zones.c.name, zones.c.position)
        .order_by(zones.c.position)
    )
    return {row.name: ZoneSize(row.seats, row.for_sale) for row in await tx.execute(query)}


async def seat_event(
    tx: Transaction, event_id: str, hall_id: str, requests: Sequence[ZoneRequest]
) -> None:
    """Give an event the seats of a hall, instead of those that it has."""
    replaced = {
        "hall_id": hall_id,
        "version": seat_maps.c.version + 1,
        # By the clock, since two transactions may have begun at the same moment.
        "created_at": func.clock_timestamp(),
    }
    seat_map = upsert(seat_maps).values(event_id=event_id, hall_id=hall_id)
    await tx.execute(seat_map.on_conflict_do_update(index_elements=["event_id"], set_=replaced))
    for table in (event_seats, seat_map_zones):
        await tx.execute(delete(table).where(table.c.event_id == event_id))
    given = (
        func.unnest(
            cast([request.zone for request in requests], ARRAY(Text)),
            cast([request.ticket_type_id for request in requests], ARRAY(Text)),
        )
        .table_valued("zone", "ticket_type_id")
        .render_derived(name="given")
    )
    in_hall = (
        select(literal(event_id), zones.c.name, zones.c.position, zones.c.color)
        .add_columns(given.c.ticket_type_id)
        .join(given, given.c.zone == zones.c.name)
        .where(zones.c.hall_id == hall_id)
    )
    columns = ["event_id", "zone", "position", "color", "ticket_type_id"]
    await tx.execute(insert(seat_map_zones).from_select(columns, in_hall))
    await tx.execute(_COPY_SEATS, {"event_id_": event_id, "hall_id_": hall_id})
    signal(tx, CHANGED)


async def delete_seat_map(tx: Transaction, event_id: str) -> None:
    """Take an event's seats away."""
    for table in (event_seats, seat_map_zones, seat_maps):
        await tx.execute(delete(table).where(table.c.event_id == event_id))
    signal(tx, CHANGED)


async def set_stock(tx: Transaction, event_id: str, stock: Mapping[str, int]) -> None:
    """Make so many seats the stock of each ticket type.

    Those that had seats and are not named lose them, and with them their stock.
    """
    unseated = (
        update(ticket_types)
        .where(
            ticket_types.c.event_id == event_id,
            ticket_types.c.is_seated,
            ticket_types.c.id.not_in(list(stock)),
        )
        .values(is_seated=False, total_stock=0, remaining=0, **_CHANGED_BY_ADMIN)
    )
    await tx.execute(unseated)
    await tx.execute(_SET_STOCK, {"ids": list(stock), "counts": list(stock.values())})
    signal(tx, CHANGED)


async def unseat(tx: Transaction, event_id: str) -> None:
    """Make an event's ticket types ones without seats, whose stock stays what it is."""
    seated = and_(ticket_types.c.event_id == event_id, ticket_types.c.is_seated)
    await tx.execute(
        update(ticket_types).where(seated).values(is_seated=False, **_CHANGED_BY_ADMIN)
    )
    signal(tx, CHANGED)


async def add_stock(tx: Transaction, seats_more: Mapping[str, int]) -> None:
    """Add seats that are for sale to the stock of ticket types; negative: take them away."""
    values = {"ids": list(seats_more), "counts": list(seats_more.values())}
    await tx.execute(_ADD_STOCK, values)
    signal(tx, CHANGED)


def _lists(table: Table, *columns: str) -> Any:
    """Each column as one array, in the order of the positions; for each seat map."""
    listed = (
        func.array_agg(aggregate_order_by(table.c[column], table.c.position)).label(column)
        for column in columns
    )
    return select(*listed).where(table.c.event_id == seat_maps.c.event_id).lateral()


_MAP = select(seat_maps).where(seat_maps.c.event_id == _EVENT_ID)
_LOCK = _MAP.with_for_update(key_share=True)
# One statement each, so that all they find is of the same moment.
_planned = _lists(
    event_seats,
    *("seat_id", "section", "row", "number", "rank", "aisle", "ticket_type_id", "state"),
)
_SEATS = _MAP.add_columns(*_planned.c).select_from(seat_maps.join(_planned, true()))
_drawn = _lists(event_seats, "section", "row", "seat_id", "number", "x", "y", "zone", "aisle")
_sold_as = _lists(seat_map_zones, "zone", "ticket_type_id", "color")
_DRAWING = _MAP.add_columns(*_drawn.c, *_sold_as.c).select_from(
    seat_maps.join(_drawn, true()).join(_sold_as, true())
)
_CHANGES = (
    _MAP.add_columns(event_seats.c.position, event_seats.c.state)
    .outerjoin(
        event_seats,
        and_(event_seats.c.event_id == seat_maps.c.event_id, event_seats.c.version > _VERSION),
    )
    .order_by(event_seats.c.position)
    .limit(bindparam("limit_", type_=Integer))
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

_ZONE = func.coalesce(func.nullif(seats.c.zone, ""), seat_rows.c.zone)
_in_order = (sections.c.position, seat_rows.c.position, seats.c.position)
_COPY_SEATS = insert(event_seats).from_select(
    [
        "event_id",
        "position",
        "seat_id",
        "section",
        "row",
        "number",
        "rank",
        "x",
        "y",
        "zone",
        "aisle",
        "ticket_type_id",
        "state",
        "block_reason",
        "version",
    ],
    select(
        seat_maps.c.event_id,
        func.row_number().over(order_by=_in_order) - 1,
        seats.c.id,
        sections.c.name,
        seat_rows.c.name,
        seats.c.number,
        seat_rows.c.rank,
        seats.c.x,
        seats.c.y,
        seat_map_zones.c.zone,
        seats.c.aisle,
        seat_map_zones.c.ticket_type_id,
        case((seats.c.block_reason.is_(None), "AVAILABLE"), else_="BLOCKED"),
        seats.c.block_reason,
        seat_maps.c.version,
    )
    .select_from(sections.join(seat_rows).join(seats))
    .join(seat_map_zones, seat_map_zones.c.zone == _ZONE)
    .join(seat_maps, seat_maps.c.event_id == seat_map_zones.c.event_id)
    .where(
        sections.c.hall_id == bindparam("hall_id_", type_=Text), seat_maps.c.event_id == _EVENT_ID
    ),
)

_CHANGED_BY_ADMIN = {"version": ticket_types.c.version + 1, "updated_at": func.now()}
_counted = (
    func.unnest(bindparam("ids", type_=ARRAY(Text)), bindparam("counts", type_=ARRAY(Integer)))
    .table_valued("id", "count")
    .render_derived(name="counted")
)
_OF_TYPES = (
    update(ticket_types).where(ticket_types.c.id == _counted.c.id).values(**_CHANGED_BY_ADMIN)
)
_SET_STOCK = _OF_TYPES.values(
    is_seated=True, total_stock=_counted.c.count, remaining=_counted.c.count
)
_ADD_STOCK = _OF_TYPES.values(
    total_stock=ticket_types.c.total_stock + _counted.c.count,
    remaining=ticket_types.c.remaining + _counted.c.count,
)
