"""Seating events, showing who may still sit where, and blocking seats."""

import re
from collections.abc import Collection, Sequence

from kit import paging
from kit.auth import Caller
from kit.database import Database, Transaction
from kit.idempotency import Once
from ticket_service.catalog import domain as catalog
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import EventNotFound, TicketType
from ticket_service.catalog.operations import list_hidden, visible_event
from ticket_service.seating import maps, store
from ticket_service.seating.domain import Seating
from ticket_service.seating.drawings import Drawings, Picture
from ticket_service.seating.maps import (
    BlockedSeat,
    Drawing,
    SeatMapNotFound,
    SeatStates,
    ZoneRequest,
)
from ticket_service.seating.seatings import Seatings
from ticket_service.stock import store as stock_store
from ticket_service.venues import store as venues_store
from ticket_service.venues.domain import BlockReason, HallNotFound
from ticket_service.waitlist.offers import Offers

MAX_CHANGES = 1000  # in one answer: all states are shorter, even in a large hall


async def create_seat_map(
    database: Database,
    offers: Offers,
    organizer_id: str,
    event_id: str,
    hall_id: str,
    requests: Sequence[ZoneRequest],
    once: Once[Drawing],
) -> Drawing:
    """Give an event the seats of a hall, instead of those that it has.

    Raises:
        HallNotFound: the organizer has no such hall.
        or one of the errors of `maps.seat`.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        ticket_types = await _lock(tx, organizer_id, event_id)
        if await venues_store.share_hall(tx, organizer_id, hall_id) is None:
            raise HallNotFound("There is no such hall.")
        zones = await store.size_zones(tx, hall_id)
        stock = maps.seat(zones, requests, ticket_types)
        await store.seat_event(tx, event_id, hall_id, requests)
        await store.set_stock(tx, event_id, stock)
        await offers.offer(tx, stock)
        drawing = await store.draw(tx, event_id)
        assert drawing is not None, event_id
        return await once.record(tx, drawing)


async def get_seat_map(
    database: Database, drawings: Drawings[Picture], caller: Caller, event_id: str
) -> tuple[Picture, Collection[str]]:
    """The seats of an event that the caller may see, and the ticket types that they may not.

    Raises:
        EventNotFound, SeatMapNotFound: there is nothing to see.
    """
    async with database.begin() as tx:
        event = await visible_event(tx, caller, event_id)
        hidden = await list_hidden(tx, caller, event)
        picture = await drawings.get(tx, event_id)
    if picture is None:
        raise SeatMapNotFound
    return picture, hidden


async def delete_seat_map(
    database: Database, offers: Offers, organizer_id: str, event_id: str
) -> None:
    """Sell the same stock without seats."""
    async with database.begin() as tx:
        ticket_types = await _lock(tx, organizer_id, event_id)
        if await store.lock_seat_map(tx, event_id) is None:
            raise SeatMapNotFound
        maps.check_unused(each for each in ticket_types.values() if each.is_seated)
        await store.delete_seat_map(tx, event_id)
        await store.unseat(tx, event_id)
        await offers.offer(tx, ticket_types)


async def get_seat_states(
    database: Database, seatings: Seatings, caller: Caller, event_id: str, since: int
) -> SeatStates:
    """What has changed since a version of the states; all states if that is not worth telling.

    Raises:
        EventNotFound, SeatMapNotFound: there is nothing to see.
    """
    async with database.begin() as tx:
        await visible_event(tx, caller, event_id)
        if since and (changed := await _changed(tx, event_id, since)):
            return changed
        seating = await seatings.read(tx, event_id)
    if seating is None:
        raise SeatMapNotFound
    return SeatStates(event_id, seating.version, seating.plan.created_at, seating.letters)


async def block_seats(
    database: Database,
    seatings: Seatings,
    organizer_id: str,
    event_id: str,
    seat_ids: Sequence[str],
    reason: BlockReason,
    note: str,
    once: Once[SeatStates],
) -> SeatStates:
    """Take seats off sale that nobody holds: all of them, or none. Answers what has changed.

    Raises:
        SeatMapNotFound: the event has no seats.
        SeatNotFound, SeatTaken: one of the seats cannot be blocked.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        seating = await _lock_seats(tx, seatings, organizer_id, event_id)
        since = seating.version
        blocked = seating.block(seat_ids, reason, note)
        await seatings.save(tx, seating)
        await store.add_stock(tx, {key: -count for key, count in blocked.items()})
        return await once.record(tx, await _changes(tx, event_id, since))


async def unblock_seats(
    database: Database,
    seatings: Seatings,
    offers: Offers,
    organizer_id: str,
    event_id: str,
    seat_ids: Sequence[str],
    once: Once[SeatStates],
) -> SeatStates:
    """Put blocked seats on sale, for those who wait first. Answers what has changed.

    Raises:
        SeatMapNotFound: the event has no seats.
        SeatNotFound: it has not all of these.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        seating = await _lock_seats(tx, seatings, organizer_id, event_id)
        since = seating.version
        unblocked = seating.unblock(seat_ids)
        await seatings.save(tx, seating)
        await store.add_stock(tx, unblocked)
        await offers.offer(tx, unblocked)
        return await once.record(tx, await _changes(tx, event_id, since))


async def list_blocked_seats(
    database: Database, organizer_id: str, event_id: str, *, page_size: int, page_token: str
) -> tuple[Sequence[BlockedSeat], str]:
    """A page of an event's blocked seats, in the order of the map, and the next page's token."""
    size = paging.page_size(page_size)
    last = paging.decode(page_token, event_id, 1)
    after = _position(last[0]) if last else -1
    async with database.begin() as tx:
        event = await catalog_store.get_event(tx, event_id)
        if event is None or event.organizer_id != organizer_id:
            raise EventNotFound
        if await store.get_seat_map(tx, event_id) is None:
            raise SeatMapNotFound
        found = await store.list_blocked(tx, event_id, after=after, limit=size + 1)
    return paging.cut(found, size, event_id, lambda blocked: (blocked.position,))


async def _lock(tx: Transaction, organizer_id: str, event_id: str) -> dict[str, TicketType]:
    """An event's ticket types by id, of which nothing is taken before the transaction ends."""
    event = await catalog_store.lock_event(tx, event_id)
    if event is None or event.organizer_id != organizer_id:
        raise EventNotFound
    catalog.check_changeable(event)
    ticket_types = await catalog_store.lock_ticket_types(tx, event_id)
    found = {ticket_type.id: ticket_type for ticket_type in ticket_types}
    # With their quotas, which an offer needs, and which come before the seat map.
    await stock_store.lock_shelf(tx, event_id, found)
    return found


async def _lock_seats(
    tx: Transaction, seatings: Seatings, organizer_id: str, event_id: str
) -> Seating:
    await _lock(tx, organizer_id, event_id)
    seating = await seatings.lock(tx, event_id)
    if seating is None:
        raise SeatMapNotFound
    return seating


def _position(part: str) -> int:
    """The position in a page token, which may be anybody's making."""
    if not re.fullmatch("[0-9]{1,9}", part):
        raise paging.InvalidPageToken.of("page_token")
    return int(part)


async def _changes(tx: Transaction, event_id: str, since: int) -> SeatStates:
    """What this transaction has changed: the seats are locked."""
    found = await store.read_changes(tx, event_id, since)
    assert found is not None, event_id
    seat_map, changes = found
    return SeatStates(event_id, seat_map.version, seat_map.created_at, changes=changes)


async def _changed(tx: Transaction, event_id: str, since: int) -> SeatStates | None:
    """What changed since a version that was seen before; None if it is all, or too much."""
    found = await store.read_changes(tx, event_id, since, MAX_CHANGES + 1)
    if found is None:
        raise SeatMapNotFound
    seat_map, changes = found
    if since > seat_map.version or len(changes) > MAX_CHANGES:
        return None
    if changes and not await store.has_unchanged(tx, event_id, since):
        return None
    return SeatStates(event_id, seat_map.version, seat_map.created_at, changes=changes)
