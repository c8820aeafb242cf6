"""Joining a waiting list, leaving it, and seeing who is in it."""

from collections.abc import Sequence

from tessera.access.v1 import access_pb2

from kit import clock, paging
from kit.auth import Caller
from kit.database import Database
from kit.idempotency import Once
from kit.ids import new_id
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import EventNotFound
from ticket_service.holds import operations as holds
from ticket_service.stock import store as stock_store
from ticket_service.waitlist import domain, store
from ticket_service.waitlist.domain import WaitlistEntry, WaitlistState
from ticket_service.waitlist.offers import Offers


async def create_entry(
    database: Database,
    event_id: str,
    ticket_type_id: str,
    quantity: int,
    email: str,
    full_name: str,
    once: Once[WaitlistEntry],
) -> WaitlistEntry:
    """Join the line of a ticket type that is sold out; answers the entry as anyone sees it.

    Raises:
        EventNotFound: there is no such event.
        AlreadyWaiting: the address has an entry for the ticket type that waits or has an offer.
        WaitlistFull: too many wait.
        or one of the errors of `domain.check_joinable`.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        # Locked, nothing returns to sale without seeing who waits.
        shelf = await stock_store.lock_shelf(tx, event_id, [ticket_type_id])
        event = await catalog_store.get_event(tx, event_id)
        if event is None:
            raise EventNotFound
        domain.check_joinable(event, shelf, ticket_type_id, quantity, clock.now())
        if await store.count_waiting(tx, ticket_type_id) >= domain.MAX_WAITING:
            raise domain.WaitlistFull
        values = {
            "id": new_id("wle"),
            "event_id": event_id,
            "ticket_type_id": ticket_type_id,
            "quantity": quantity,
            "email": email,
            "full_name": full_name,
        }
        entry = await store.insert_entry(tx, values)
        if entry is None:
            raise domain.AlreadyWaiting
        return await once.record(tx, domain.anonymous(entry))


async def get_entry(database: Database, caller: Caller, entry_id: str) -> WaitlistEntry:
    """One entry, as the caller may see it."""
    async with database.begin() as tx:
        entry = await store.get_entry(tx, entry_id)
    if entry is None:
        raise domain.WaitlistEntryNotFound
    return entry if _sees_customer(caller, entry) else domain.anonymous(entry)


async def list_entries(
    database: Database,
    caller: Caller,
    event_id: str,
    *,
    ticket_type_id: str,
    state: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[WaitlistEntry], str]:
    """A page of an event's entries, first in line first, and the next page's token.

    Raises:
        EventNotFound: there is no such event, or it is somebody else's.
    """
    size = paging.page_size(page_size)
    question = f"{event_id}|{ticket_type_id}|{state}"
    last = paging.decode(page_token, question, 1)
    async with database.begin() as tx:
        event = await catalog_store.get_event(tx, event_id)
        if event is None or not caller.works_for(event.organizer_id):
            raise EventNotFound
        found = await store.list_entries(
            tx,
            event_id,
            ticket_type_id=ticket_type_id,
            state=state,
            after=last[0] if last else "",
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda entry: (entry.id,))


async def cancel_entry(
    database: Database, offers: Offers, caller: Caller, entry_id: str
) -> WaitlistEntry:
    """Leave the line; an offered hold is released. Leaving twice is the same as leaving once.

    Raises:
        WaitlistEntryNotFound: no entry has this id.
        WaitlistEntryConverted: the tickets are bought.
    """
    entry = await get_entry(database, caller, entry_id)
    if entry.state is WaitlistState.WAITING:
        async with database.begin() as tx:
            await stock_store.lock_shelf(tx, entry.event_id, [entry.ticket_type_id])
            await store.stop_waiting(tx, entry_id)
        entry = await get_entry(database, caller, entry_id)  # an offer may have been faster
    if entry.state is WaitlistState.OFFERED and entry.hold_id:
        await holds.release_holds(database, offers, [entry.hold_id])
        entry = await get_entry(database, caller, entry_id)
    return domain.left(entry)


async def open_lines(database: Database, offers: Offers) -> None:
    """Offer what returned while sales were paused, now that they have begun again."""
    async with database.begin() as tx:
        if reopened := await store.find_reopened(tx):
            await offers.offer(tx, reopened)


async def close_lines(database: Database) -> None:
    """Let nobody wait any longer for events that are over or called off."""
    closed = 1
    while closed:  # a few lines at a time, which may be long
        async with database.begin() as tx:
            closed = await store.close_lines(tx)


def _sees_customer(caller: Caller, entry: WaitlistEntry) -> bool:
    """The organizer's admins do, not those at the door; and so do services."""
    is_staff = caller.user is not None and caller.user.role == access_pb2.ROLE_STAFF
    return caller.works_for(entry.organizer_id) and not is_staff
