"""Every SQL statement about venues, halls and their layouts.

Locks are taken in one order: the venue, then the hall. Whoever changes a layout locks the hall;
whoever reads one shares it, since that takes several statements. Seats travel as arrays, one for
each column: a hall has thousands, and a row of a result costs more than what is in it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Table,
    cast,
    delete,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from kit.database import Transaction
from kit.ids import new_id
from ticket_service.tables import halls, seat_rows, seats, sections, venues, zones
from ticket_service.venues import domain
from ticket_service.venues.domain import (
    BlockReason,
    Hall,
    Layout,
    Rest,
    Seat,
    Section,
    Size,
    Venue,
    Zone,
)

_SEAT = ("id", "number", "x", "y", "zone", "aisle", "block_reason")  # as domain.Seat has them
_BLOCK_REASONS: Mapping[str | None, BlockReason | None] = {
    None: None,
    **{reason.value: reason for reason in BlockReason},
}


async def insert_venue(tx: Transaction, values: Mapping[str, Any]) -> Venue:
    """A new venue, at version 1."""
    return _venue((await tx.execute(insert(venues).values(values).returning(venues))).one())


async def count_venues(tx: Transaction, organizer_id: str) -> int:
    """How many venues an organizer has; nobody else adds one before the transaction ends."""
    lock = func.pg_advisory_xact_lock(func.hashtextextended(f"venues of {organizer_id}", 0))
    await tx.execute(select(lock))
    query = select(func.count()).where(venues.c.organizer_id == organizer_id)
    return int((await tx.execute(query)).scalar_one())


async def get_venue(tx: Transaction, organizer_id: str, venue_id: str) -> Venue | None:
    """One venue of an organizer."""
    row = (await tx.execute(_venue_of(organizer_id, venue_id))).first()
    return _venue(row) if row else None


async def lock_venue(tx: Transaction, organizer_id: str, venue_id: str) -> Venue | None:
    """One venue of an organizer, for a change of it or of which halls it has."""
    query = _venue_of(organizer_id, venue_id).with_for_update(key_share=True)
    row = (await tx.execute(query)).first()
    return _venue(row) if row else None


async def list_venues(tx: Transaction, organizer_id: str, after: str, limit: int) -> list[Venue]:
    """An organizer's venues whose ids come after one, oldest first."""
    query = (
        select(venues)
        .where(venues.c.organizer_id == organizer_id, venues.c.id > after)
        .order_by(venues.c.id)
        .limit(limit)
    )
    return [_venue(row) for row in await tx.execute(query)]


async def update_venue(tx: Transaction, venue: Venue) -> Venue:
    """Store a changed venue as its next version."""
    changed = (
        update(venues)
        .where(venues.c.id == venue.id)
        .values(
            name=venue.name,
            address=venue.address,
            version=venues.c.version + 1,
            updated_at=func.now(),
        )
    )
    return _venue((await tx.execute(changed.returning(venues))).one())


async def delete_venue(tx: Transaction, venue_id: str) -> None:
    """Remove a venue without halls."""
    await tx.execute(delete(venues).where(venues.c.id == venue_id))


async def insert_hall(tx: Transaction, values: Mapping[str, Any]) -> Hall:
    """A new hall without seats, at version 1."""
    return _hall((await tx.execute(insert(halls).values(values).returning(halls))).one())


async def get_hall(tx: Transaction, organizer_id: str, hall_id: str) -> Hall | None:
    """One hall of an organizer."""
    row = (await tx.execute(_hall_of(organizer_id, hall_id))).first()
    return _hall(row) if row else None


async def share_hall(tx: Transaction, organizer_id: str, hall_id: str) -> Hall | None:
    """One hall of an organizer, whose layout nobody changes before the transaction ends."""
    query = _hall_of(organizer_id, hall_id).with_for_update(of=halls, read=True)
    row = (await tx.execute(query)).first()
    return _hall(row) if row else None


async def lock_hall(tx: Transaction, organizer_id: str, hall_id: str) -> Hall | None:
    """One hall of an organizer, for a change of it or its layout."""
    query = _hall_of(organizer_id, hall_id).with_for_update(of=halls, key_share=True)
    row = (await tx.execute(query)).first()
    return _hall(row) if row else None


async def list_halls(tx: Transaction, venue_id: str) -> list[Hall]:
    """A venue's halls, oldest first."""
    query = select(halls).where(halls.c.venue_id == venue_id).order_by(halls.c.id)
    return [_hall(row) for row in await tx.execute(query)]


async def update_hall(tx: Transaction, hall: Hall) -> Hall:
    """Store a changed hall, or one whose layout changed, as its next version."""
    changed = (
        update(halls)
        .where(halls.c.id == hall.id)
        .values(
            name=hall.name,
            seat_count=hall.seat_count,
            version=halls.c.version + 1,
            updated_at=func.now(),
        )
    )
    return _hall((await tx.execute(changed.returning(halls))).one())


async def delete_hall(tx: Transaction, hall_id: str) -> None:
    """Remove a hall with its seats."""
    await tx.execute(delete(halls).where(halls.c.id == hall_id))


async def read_layout(tx: Transaction, hall_id: str) -> Layout:
    """A hall's zones and seats."""
    query = select(zones).where(zones.c.hall_id == hall_id).order_by(zones.c.position)
    found = [Zone(row.name, row.color) for row in await tx.execute(query)]
    return Layout(found, await _read_sections(tx, sections.c.hall_id == hall_id))


async def replace_layout(tx: Transaction, hall_id: str, layout: Layout) -> None:
    """Put other zones and seats into a hall."""
    await tx.execute(delete(zones).where(zones.c.hall_id == hall_id))
    await tx.execute(delete(sections).where(sections.c.hall_id == hall_id))
    zone_columns = {
        "hall_id": [hall_id] * len(layout.zones),
        "name": [zone.name for zone in layout.zones],
        "position": range(len(layout.zones)),
        "color": [zone.color for zone in layout.zones],
    }
    await _insert_columns(tx, zones, zone_columns)
    section_columns = {
        "id": [section.id for section in layout.sections],
        "hall_id": [hall_id] * len(layout.sections),
        "position": range(len(layout.sections)),
        "name": [section.name for section in layout.sections],
    }
    await _insert_columns(tx, sections, section_columns)
    await _insert_rows(tx, layout.sections)


async def read_section(tx: Transaction, hall_id: str, section_id: str) -> Section | None:
    """One section of a hall with its seats."""
    which = (sections.c.hall_id == hall_id) & (sections.c.id == section_id)
    return next(iter(await _read_sections(tx, which)), None)


async def read_rest(tx: Transaction, hall_id: str, section_id: str = "") -> Rest:
    """What a hall has beside one section, or all it has."""
    in_row = (
        select(
            func.count().label("seats"),
            func.sum(func.octet_length(seats.c.number + seats.c.zone)).label("text_bytes"),
        )
        .where(seats.c.row_id == seat_rows.c.id)
        .lateral("in_row")
    )
    text_bytes = func.octet_length(seat_rows.c.name + seat_rows.c.zone) + func.coalesce(
        in_row.c.text_bytes, 0
    )
    query = (
        select(
            sections.c.name,
            func.count(seat_rows.c.id).label("rows"),
            func.coalesce(func.sum(in_row.c.seats), 0).label("seats"),
            func.coalesce(func.sum(text_bytes), 0).label("text_bytes"),
        )
        .select_from(sections.outerjoin(seat_rows).outerjoin(in_row, true()))
        .where(sections.c.hall_id == hall_id, sections.c.id != section_id)
        .group_by(sections.c.id)
    )
    others = (await tx.execute(query)).all()
    size = sum(
        (Size(row.rows, int(row.seats), int(row.text_bytes)) for row in others), Size(0, 0, 0)
    )
    names = select(zones.c.name).where(zones.c.hall_id == hall_id)
    found = frozenset((await tx.execute(names)).scalars())
    return Rest(found, frozenset(row.name for row in others), size)


async def insert_section(tx: Transaction, hall_id: str, section: Section) -> None:
    """A new section, after those that the hall has."""
    last = select(func.coalesce(func.max(sections.c.position), -1)).where(
        sections.c.hall_id == hall_id
    )
    values = {
        "id": section.id,
        "hall_id": hall_id,
        "position": last.scalar_subquery() + 1,
        "name": section.name,
    }
    await tx.execute(insert(sections).values(values))
    await _insert_rows(tx, [section])


async def update_section(tx: Transaction, section: Section) -> None:
    """Store a changed section with its seats, in its old place."""
    await tx.execute(update(sections).where(sections.c.id == section.id).values(name=section.name))
    await tx.execute(delete(seat_rows).where(seat_rows.c.section_id == section.id))
    await _insert_rows(tx, [section])


async def delete_section(tx: Transaction, section_id: str) -> None:
    """Remove a section with its seats."""
    await tx.execute(delete(sections).where(sections.c.id == section_id))


async def _read_sections(tx: Transaction, which: ColumnElement[bool]) -> list[Section]:
    """Sections with their rows and seats, in the layout's order."""

    def listed(name: str) -> ColumnElement[Any]:
        return func.array_agg(aggregate_order_by(seats.c[name], seats.c.position)).label(name)

    columns = ("id", "number", "x", "y", "zone", "aisle", "block_reason")
    in_row = select(*map(listed, columns)).where(seats.c.row_id == seat_rows.c.id).lateral("in_row")
    query = (
        select(
            sections.c.id.label("section_id"),
            sections.c.name.label("section_name"),
            seat_rows.c.name,
            seat_rows.c.rank,
            seat_rows.c.zone.label("row_zone"),
            *in_row.c,
        )
        .select_from(sections.outerjoin(seat_rows).outerjoin(in_row, true()))
        .where(which)
        .order_by(sections.c.position, seat_rows.c.position)
    )
    found: dict[str, Section] = {}
    rows: dict[str, list[domain.Row]] = {}
    for row in await tx.execute(query):
        in_section = rows.setdefault(row.section_id, [])
        if row.name is not None:
            in_section.append(_row(row))
        found[row.section_id] = Section(row.section_id, row.section_name, in_section)
    return list(found.values())


async def _insert_rows(tx: Transaction, of: Sequence[Section]) -> None:
    placed = [
        (new_id("row"), section.id, position, row)
        for section in of
        for position, row in enumerate(section.rows)
    ]
    row_ids, section_ids, positions, rows = zip(*placed, strict=True) if placed else ((),) * 4
    row_columns = {
        "id": row_ids,
        "section_id": section_ids,
        "position": positions,
        "name": [row.name for row in rows],
        "rank": [row.rank for row in rows],
        "zone": [row.zone for row in rows],
    }
    await _insert_columns(tx, seat_rows, row_columns)
    found = [seat for row in rows for seat in row.seats]
    seat_columns = {
        "row_id": [row_id for row_id, row in zip(row_ids, rows, strict=True) for _ in row.seats],
        "position": [position for row in rows for position in range(len(row.seats))],
        **{name: [getattr(seat, name) for seat in found] for name in _SEAT},
    }
    await _insert_columns(tx, seats, seat_columns)


async def _insert_columns(
    tx: Transaction, table: Table, columns: Mapping[str, Sequence[object]]
) -> None:
    """Many rows in one statement, which has one parameter for each column whatever their number."""
    given = [
        func.unnest(cast(list(values), ARRAY(table.c[name].type)))
        for name, values in columns.items()
    ]
    await tx.execute(insert(table).from_select(list(columns), select(*given)))


def _venue_of(organizer_id: str, venue_id: str) -> Select[Any]:
    return select(venues).where(venues.c.id == venue_id, venues.c.organizer_id == organizer_id)


def _hall_of(organizer_id: str, hall_id: str) -> Select[Any]:
    own = venues.c.organizer_id == organizer_id
    return select(halls).join(venues).where(halls.c.id == hall_id, own)


def _venue(row: Row[Any]) -> Venue:
    return Venue(**row._asdict())


def _hall(row: Row[Any]) -> Hall:
    return Hall(**row._asdict())


def _row(row: Row[Any]) -> domain.Row:
    """A row of seats; without seats, its arrays are null."""
    if row.id is None:
        return domain.Row(row.name, row.rank, row.row_zone, ())
    *columns, block_reasons = (getattr(row, name) for name in _SEAT)
    reasons = map(_BLOCK_REASONS.__getitem__, block_reasons)
    return domain.Row(row.name, row.rank, row.row_zone, tuple(map(Seat, *columns, reasons)))
