"""Reading what can be had."""

from collections.abc import Mapping
from dataclasses import replace

from kit.auth import Caller
from kit.database import Database
from ticket_service.availability import domain, store
from ticket_service.availability.domain import Availability, Update
from ticket_service.catalog.domain import EventNotFound
from ticket_service.catalog.operations import may_see


async def get_availability(database: Database, caller: Caller, event_id: str) -> Update:
    """What can be had of an event now, as far as the caller may know.

    Raises:
        EventNotFound: there is none, or it is somebody else's draft.
    """
    found = (await look(database, {event_id: None})).get(event_id)
    if found is None or not sees(caller, found.now):
        raise EventNotFound
    return found if sees_hidden(caller, found.now) else for_public(found)


async def look(database: Database, known: Mapping[str, Availability | None]) -> dict[str, Update]:
    """What can be had of events now, and how their seats differ from what is known of them.

    Events that do not exist are left out.
    """
    async with database.begin() as tx:
        found = await store.read_availability(tx, known)
        since = {
            event_id: states
            for event_id, now in found.items()
            if (states := domain.moved(known[event_id], now))
        }
        changes = await store.read_seat_changes(tx, since) if since else {}
    return {
        event_id: domain.update(known[event_id], now, changes.get(event_id))
        for event_id, now in found.items()
    }


def for_public(update: Update) -> Update:
    """The same without what is hidden."""
    return replace(update, now=domain.for_public(update.now))


def sees(caller: Caller, availability: Availability) -> bool:
    """Whether the caller may know of the event."""
    return may_see(caller, availability.event_state, availability.organizer_id)


def sees_hidden(caller: Caller, availability: Availability) -> bool:
    """Whether the caller may know of its hidden ticket types."""
    return caller.works_for(availability.organizer_id)
