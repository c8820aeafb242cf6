"""Creating, changing, publishing and finding events."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tessera.ticket.v1 import messages_pb2

from kit import clock, outbox, paging
from kit.auth import Caller
from kit.database import Database, Transaction
from kit.errors import check_version
from kit.idempotency import Once
from kit.ids import new_id
from kit.money import Money
from ticket_service.catalog import domain, store
from ticket_service.catalog.domain import Event, EventState, TicketType
from ticket_service.waitlist.offers import Offers


@dataclass(frozen=True, slots=True)
class Listing:
    """An event as it is shown: with its ticket types."""

    event: Event
    ticket_types: Sequence[TicketType]


async def create_event(
    database: Database, organizer_id: str, values: Mapping[str, Any], once: Once[Listing]
) -> Listing:
    """Create a draft."""
    now = clock.now()
    draft = Event(
        id=new_id("evt"),
        organizer_id=organizer_id,
        state=EventState.DRAFT,
        version=1,
        created_at=now,
        updated_at=now,
        **values,
    )
    async with database.begin() as tx:
        await once.claim(tx)
        event = await store.insert_event(tx, draft)
        return await once.record(tx, Listing(event, ()))


async def get_event(database: Database, caller: Caller, event_id: str) -> Listing:
    """One event as the caller may see it.

    Raises:
        EventNotFound: there is none, or it is somebody else's draft.
    """
    async with database.begin() as tx:
        listing = await _listing(tx, await visible_event(tx, caller, event_id))
    return _seen_by(caller, listing)


async def list_events(
    database: Database,
    caller: Caller,
    *,
    query: str,
    starts_after: datetime | None,
    starts_before: datetime | None,
    state: str,
    organizer_id: str,
    page_size: int,
    page_token: str,
) -> tuple[list[Listing], str]:
    """A page of the events that the caller may see, and the next page's token."""
    size = paging.page_size(page_size)
    question = f"{query}|{starts_after}|{starts_before}|{state}|{organizer_id}"
    last = paging.decode(page_token, question, 2)
    async with database.begin() as tx:
        found = await store.list_events(
            tx,
            words=query.split(),
            starts_after=starts_after,
            starts_before=starts_before,
            state=state,
            organizer_id=organizer_id,
            viewer_organizer_id=caller.organizer_id,
            sees_all=caller.works_for(""),
            after=(paging.moment(last[0]), last[1]) if last else None,
            limit=size + 1,
        )
        events, token = paging.cut(found, size, question, lambda event: (event.starts_at, event.id))
        types = await store.list_ticket_types(tx, [event.id for event in events])
    return [_seen_by(caller, Listing(event, types[event.id])) for event in events], token


async def update_event(
    database: Database, organizer_id: str, event_id: str, if_match: str, changes: Mapping[str, Any]
) -> Listing:
    """Change some fields of an event. Another title, place or time is announced."""
    async with database.begin() as tx:
        event = await _own_event(tx, organizer_id, event_id)
        check_version(if_match, event.version)
        types = (await store.list_ticket_types(tx, [event_id]))[event_id]
        changed = domain.change(event, changes, has_ticket_types=bool(types))
        changed = await store.update_event(tx, changed)
        if before := domain.announced_before(event, changed):
            await outbox.add(tx, _updated(changed, before), version=changed.version)
        return Listing(changed, types)


async def delete_event(database: Database, organizer_id: str, event_id: str, if_match: str) -> None:
    """Delete a draft that has nothing sold or held."""
    async with database.begin() as tx:
        event = await _own_event(tx, organizer_id, event_id)
        check_version(if_match, event.version)
        if event.state is not EventState.DRAFT:
            raise domain.EventNotDraft
        if await store.is_in_use(tx, event_id) or await store.was_sold(tx, event_id):
            raise domain.EventInUse
        await store.delete_event(tx, event_id)


async def publish_event(
    database: Database, offers: Offers, organizer_id: str, event_id: str, once: Once[Listing]
) -> Listing:
    """Put an event on sale, to those first who waited for it before it was taken off."""
    async with database.begin() as tx:
        await once.claim(tx)
        event = await _own_event(tx, organizer_id, event_id)
        types = await store.lock_ticket_types(tx, event_id)
        published = domain.publish(event, has_ticket_types=bool(types), now=clock.now())
        event = await _store_move(tx, event, published)
        await offers.offer(tx, [ticket_type.id for ticket_type in types])
        return await once.record(tx, await _listing(tx, event))


async def unpublish_event(
    database: Database, organizer_id: str, event_id: str, once: Once[Listing]
) -> Listing:
    """Take an event off sale that nobody has a ticket or a hold for."""
    async with database.begin() as tx:
        await once.claim(tx)
        event = await _own_event(tx, organizer_id, event_id)
        draft = domain.unpublish(event, in_use=await store.is_in_use(tx, event_id))
        event = await _store_move(tx, event, draft)
        return await once.record(tx, await _listing(tx, event))


async def cancel_event(
    database: Database, organizer_id: str, event_id: str, once: Once[Listing]
) -> Listing:
    """Call an event off, and say so. Its live holds can no longer be converted."""
    async with database.begin() as tx:
        await once.claim(tx)
        event = await _own_event(tx, organizer_id, event_id)
        await store.lock_ticket_types(tx, event_id)
        cancelled = domain.move(event, EventState.CANCELLED)
        if cancelled is not event:
            event = await store.update_event(tx, cancelled)
            message = messages_pb2.EventCancelled(event_id=event_id, organizer_id=organizer_id)
            await outbox.add(tx, message, version=event.version)
        return await once.record(tx, await _listing(tx, event))


async def end_events(database: Database) -> None:
    """Move events whose end has passed out of the catalogue."""
    async with database.begin() as tx:
        await store.end_events(tx)


async def create_ticket_type(
    database: Database,
    organizer_id: str,
    event_id: str,
    price: Money,
    values: Mapping[str, Any],
    once: Once[TicketType],
) -> TicketType:
    """Add a ticket type, all of it in stock."""
    async with database.begin() as tx:
        await once.claim(tx)
        event = await _own_event(tx, organizer_id, event_id)
        domain.check_changeable(event)
        types = await store.lock_ticket_types(tx, event_id)
        if len(types) >= domain.MAX_TICKET_TYPES:
            raise domain.TooManyTicketTypes
        ticket_type = await store.insert_ticket_type(
            tx,
            event,
            {
                "id": new_id("tt"),
                "event_id": event_id,
                "price_minor": domain.minor_in(event.currency_code, price, field="price"),
                "remaining": values["total_stock"],
                **values,
            },
        )
        return await once.record(tx, ticket_type)


async def get_ticket_type(
    database: Database, caller: Caller, event_id: str, ticket_type_id: str
) -> TicketType:
    """One ticket type of an event that the caller may see."""
    listing = await get_event(database, caller, event_id)
    return _pick(listing.ticket_types, ticket_type_id)


async def update_ticket_type(
    database: Database,
    offers: Offers,
    organizer_id: str,
    event_id: str,
    ticket_type_id: str,
    if_match: str,
    price: Money | None,
    changes: Mapping[str, Any],
) -> TicketType:
    """Change some fields of a ticket type; None as price leaves it as it is.

    What the change puts on sale is offered to those who wait for it.
    """
    async with database.begin() as tx:
        event = await _own_event(tx, organizer_id, event_id)
        domain.check_changeable(event)
        ticket_type = _pick(await store.lock_ticket_types(tx, event_id), ticket_type_id)
        check_version(if_match, ticket_type.version)
        if price is not None:
            price_minor = domain.minor_in(event.currency_code, price, field="price")
            changes = {**changes, "price_minor": price_minor}
        await store.update_ticket_type(tx, domain.change_ticket_type(ticket_type, changes))
        await offers.offer(tx, [ticket_type_id])
        return _pick((await _listing(tx, event)).ticket_types, ticket_type_id)


async def delete_ticket_type(
    database: Database, organizer_id: str, event_id: str, ticket_type_id: str, if_match: str
) -> None:
    """Delete a ticket type that was never held and is not on the seat map."""
    async with database.begin() as tx:
        await _own_event(tx, organizer_id, event_id)
        ticket_type = _pick(await store.lock_ticket_types(tx, event_id), ticket_type_id)
        check_version(if_match, ticket_type.version)
        if await store.was_held(tx, ticket_type_id):
            raise domain.TicketTypeInUse
        if await store.is_on_seat_map(tx, ticket_type_id):
            raise domain.TicketTypeInUse("The event's seat map sells seats as this ticket type.")
        await store.delete_ticket_type(tx, ticket_type_id)


async def visible_event(tx: Transaction, caller: Caller, event_id: str) -> Event:
    """One event that the caller may see; EventNotFound otherwise."""
    event = await store.get_event(tx, event_id)
    if event is None or not may_see(caller, event.state, event.organizer_id):
        raise domain.EventNotFound
    return event


async def list_hidden(tx: Transaction, caller: Caller, event: Event) -> Collection[str]:
    """The ids of those of the event's ticket types that the caller may not know of."""
    if caller.works_for(event.organizer_id):
        return ()
    return await store.list_hidden(tx, event.id)


def may_see(caller: Caller, state: EventState, organizer_id: str) -> bool:
    """Whether the caller may know of an event: a draft is for its admins only."""
    return state is not EventState.DRAFT or caller.works_for(organizer_id)


async def _own_event(tx: Transaction, organizer_id: str, event_id: str) -> Event:
    event = await store.lock_event(tx, event_id)
    if event is None or event.organizer_id != organizer_id:
        raise domain.EventNotFound
    return event


async def _store_move(tx: Transaction, event: Event, moved: Event) -> Event:
    return event if moved is event else await store.update_event(tx, moved)


async def _listing(tx: Transaction, event: Event) -> Listing:
    return Listing(event, (await store.list_ticket_types(tx, [event.id]))[event.id])


def _seen_by(caller: Caller, listing: Listing) -> Listing:
    sees_hidden = caller.works_for(listing.event.organizer_id)
    seen = domain.visible(listing.ticket_types, sees_hidden=sees_hidden)
    return Listing(listing.event, seen)


def _updated(event: Event, before: Mapping[str, Any]) -> messages_pb2.EventUpdated:
    return messages_pb2.EventUpdated(
        event_id=event.id,
        organizer_id=event.organizer_id,
        version=event.version,
        previous_title=before.get("title", ""),
        previous_location=before.get("location", ""),
        previous_starts_at=clock.to_timestamp(before.get("starts_at")),
        previous_ends_at=clock.to_timestamp(before.get("ends_at")),
    )


def _pick(ticket_types: Sequence[TicketType], ticket_type_id: str) -> TicketType:
    for ticket_type in ticket_types:
        if ticket_type.id == ticket_type_id:
            return ticket_type
    raise domain.TicketTypeNotFound
