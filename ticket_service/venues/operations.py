"""Creating, changing and finding venues and halls, and what is in the halls."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kit import paging
from kit.database import Database, Transaction
from kit.errors import check_version
from kit.idempotency import Once
from kit.ids import new_id
from ticket_service.venues import domain, store
from ticket_service.venues.domain import Hall, Layout, Section, Size, Venue

LayoutVersion = tuple[Layout, int]
"""A layout, and its hall's version."""

SectionVersion = tuple[Section, int]
"""A section, and its hall's version."""


async def create_venue(
    database: Database, organizer_id: str, values: Mapping[str, Any], once: Once[Venue]
) -> Venue:
    """Create a venue without halls."""
    async with database.begin() as tx:
        await once.claim(tx)
        if await store.count_venues(tx, organizer_id) >= domain.MAX_VENUES:
            raise domain.TooManyVenues
        columns = {"id": new_id("ven"), "organizer_id": organizer_id, **values}
        return await once.record(tx, await store.insert_venue(tx, columns))


async def get_venue(database: Database, organizer_id: str, venue_id: str) -> Venue:
    """One venue of the organizer."""
    async with database.begin() as tx:
        return await _venue(tx, organizer_id, venue_id)


async def list_venues(
    database: Database, organizer_id: str, *, page_size: int, page_token: str
) -> tuple[Sequence[Venue], str]:
    """A page of the organizer's venues, and the next page's token."""
    size = paging.page_size(page_size)
    last = paging.decode(page_token, organizer_id, 1)
    async with database.begin() as tx:
        found = await store.list_venues(tx, organizer_id, last[0] if last else "", size + 1)
    return paging.cut(found, size, organizer_id, lambda venue: (venue.id,))


async def update_venue(
    database: Database, organizer_id: str, venue_id: str, if_match: str, changes: Mapping[str, Any]
) -> Venue:
    """Change some fields of a venue."""
    async with database.begin() as tx:
        venue = await _lock_venue(tx, organizer_id, venue_id)
        check_version(if_match, venue.version)
        return await store.update_venue(tx, replace(venue, **changes))


async def delete_venue(database: Database, organizer_id: str, venue_id: str, if_match: str) -> None:
    """Delete a venue that has no halls."""
    async with database.begin() as tx:
        venue = await _lock_venue(tx, organizer_id, venue_id)
        check_version(if_match, venue.version)
        if await store.list_halls(tx, venue_id):
            raise domain.VenueNotEmpty
        await store.delete_venue(tx, venue_id)


async def create_hall(
    database: Database, organizer_id: str, venue_id: str, name: str, once: Once[Hall]
) -> Hall:
    """Add a hall without seats."""
    async with database.begin() as tx:
        await once.claim(tx)
        await _lock_venue(tx, organizer_id, venue_id)
        if len(await store.list_halls(tx, venue_id)) >= domain.MAX_HALLS:
            raise domain.TooManyHalls
        hall = await store.insert_hall(
            tx, {"id": new_id("hall"), "venue_id": venue_id, "name": name}
        )
        return await once.record(tx, hall)


async def get_hall(database: Database, organizer_id: str, venue_id: str, hall_id: str) -> Hall:
    """One hall of the organizer's venue."""
    async with database.begin() as tx:
        return _in_venue(await store.get_hall(tx, organizer_id, hall_id), venue_id)


async def list_halls(database: Database, organizer_id: str, venue_id: str) -> list[Hall]:
    """All halls of the organizer's venue."""
    async with database.begin() as tx:
        await _venue(tx, organizer_id, venue_id)
        return await store.list_halls(tx, venue_id)


async def update_hall(
    database: Database,
    organizer_id: str,
    venue_id: str,
    hall_id: str,
    if_match: str,
    changes: Mapping[str, Any],
) -> Hall:
    """Change some fields of a hall."""
    async with database.begin() as tx:
        hall = await _lock_hall(tx, organizer_id, venue_id, hall_id, if_match)
        return await store.update_hall(tx, replace(hall, **changes))


async def delete_hall(
    database: Database, organizer_id: str, venue_id: str, hall_id: str, if_match: str
) -> None:
    """Delete a hall with its seats; events have copies of theirs."""
    async with database.begin() as tx:
        await _lock_hall(tx, organizer_id, venue_id, hall_id, if_match)
        await store.delete_hall(tx, hall_id)


async def get_layout(
    database: Database, organizer_id: str, venue_id: str, hall_id: str
) -> LayoutVersion:
    """All seats of a hall."""
    async with database.begin() as tx:
        hall = _in_venue(await store.share_hall(tx, organizer_id, hall_id), venue_id)
        return await store.read_layout(tx, hall_id), hall.version


async def import_layout(
    database: Database,
    organizer_id: str,
    venue_id: str,
    hall_id: str,
    if_match: str,
    given: Layout,
) -> LayoutVersion:
    """Replace all seats of a hall. A seat that is where one was keeps its id.

    Raises:
        InvalidLayout: with the places of what is wrong.
    """
    size = domain.check_layout(given)
    async with database.begin() as tx:
        hall = await _lock_hall(tx, organizer_id, venue_id, hall_id, if_match)
        if hall.seat_count and not size.seats:
            raise domain.InvalidLayout.of(
                "sections", "Nothing would be left; delete the sections, or the hall."
            )
        layout = domain.settle(given, await store.read_layout(tx, hall_id))
        await store.replace_layout(tx, hall_id, layout)
        changed = await store.update_hall(tx, replace(hall, seat_count=size.seats))
        return layout, changed.version


async def create_section(
    database: Database,
    organizer_id: str,
    venue_id: str,
    hall_id: str,
    given: Section,
    once: Once[SectionVersion],
) -> SectionVersion:
    """Add a section to a hall, after those it has.

    Raises:
        InvalidLayout: with the places of what is wrong.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        hall = await _lock_hall(tx, organizer_id, venue_id, hall_id)
        size = domain.check_section(given, await store.read_rest(tx, hall_id))
        section = domain.settle_section(given, None)
        await store.insert_section(tx, hall_id, section)
        changed = await store.update_hall(tx, replace(hall, seat_count=size.seats))
        return await once.record(tx, (section, changed.version))


async def get_section(
    database: Database, organizer_id: str, venue_id: str, hall_id: str, section_id: str
) -> SectionVersion:
    """One section of a hall."""
    async with database.begin() as tx:
        hall = _in_venue(await store.share_hall(tx, organizer_id, hall_id), venue_id)
        return await _section(tx, hall_id, section_id), hall.version


async def update_section(
    database: Database,
    organizer_id: str,
    venue_id: str,
    hall_id: str,
    section_id: str,
    if_match: str,
    changes: Mapping[str, Any],
) -> SectionVersion:
    """Change a section's name, or replace its rows. A seat that is where one was keeps its id.

    Raises:
        InvalidLayout: with the places of what is wrong.
    """
    async with database.begin() as tx:
        hall = await _lock_hall(tx, organizer_id, venue_id, hall_id, if_match)
        section = await _section(tx, hall_id, section_id)
        given = replace(section, **changes)
        size = domain.check_section(given, await store.read_rest(tx, hall_id, section_id))
        settled = domain.settle_section(given, section)
        await store.update_section(tx, settled)
        changed = await store.update_hall(tx, replace(hall, seat_count=size.seats))
        return settled, changed.version


async def delete_section(
    database: Database,
    organizer_id: str,
    venue_id: str,
    hall_id: str,
    section_id: str,
    if_match: str,
) -> None:
    """Delete a section with its seats."""
    async with database.begin() as tx:
        hall = await _lock_hall(tx, organizer_id, venue_id, hall_id, if_match)
        section = await _section(tx, hall_id, section_id)
        await store.delete_section(tx, section_id)
        left = hall.seat_count - Size.of([section]).seats
        await store.update_hall(tx, replace(hall, seat_count=left))


async def _venue(tx: Transaction, organizer_id: str, venue_id: str) -> Venue:
    venue = await store.get_venue(tx, organizer_id, venue_id)
    if venue is None:
        raise domain.VenueNotFound
    return venue


async def _lock_venue(tx: Transaction, organizer_id: str, venue_id: str) -> Venue:
    venue = await store.lock_venue(tx, organizer_id, venue_id)
    if venue is None:
        raise domain.VenueNotFound
    return venue


async def _lock_hall(
    tx: Transaction, organizer_id: str, venue_id: str, hall_id: str, if_match: str = ""
) -> Hall:
    hall = _in_venue(await store.lock_hall(tx, organizer_id, hall_id), venue_id)
    check_version(if_match, hall.version)
    return hall


def _in_venue(hall: Hall | None, venue_id: str) -> Hall:
    if hall is None or hall.venue_id != venue_id:
        raise domain.HallNotFound
    return hall


async def _section(tx: Transaction, hall_id: str, section_id: str) -> Section:
    section = await store.read_section(tx, hall_id, section_id)
    if section is None:
        raise domain.SectionNotFound
    return section
