"""Waiting lists as customers and admins see them."""

import uuid
from collections.abc import Sequence
from typing import Any

from tessera.ticket.v1 import event_pb2, waitlist_entry_pb2, waitlist_service_pb2

from tests.integration.ticket_service.support import Organizer, Shop, TicketApi
from tests.support.tokens import Metadata

Entry = waitlist_entry_pb2.WaitlistEntry


def joining(
    of: event_pb2.Event, quantity: int = 1, *, number: int = 0, **fields: Any
) -> waitlist_service_pb2.CreateWaitlistEntryRequest:
    """Asks to wait for so many tickets of one of the event's types (default: the first)."""
    values = {
        "event_id": of.id,
        "ticket_type_id": of.ticket_types[number].id,
        "quantity": quantity,
        "customer": customer(),
        **fields,
    }
    return waitlist_service_pb2.CreateWaitlistEntryRequest(**values)


def customer(email: str = "") -> waitlist_service_pb2.CreateWaitlistCustomer:
    """Somebody whom nobody else is, unless an address is given."""
    return waitlist_service_pb2.CreateWaitlistCustomer(
        email=email or f"{uuid.uuid4().hex}@example.org", full_name="Grace Guest"
    )


async def join(shop: Shop, of: event_pb2.Event, quantity: int = 1, **fields: Any) -> Entry:
    """Wait for tickets of one of the event's types (default: one of the first)."""
    return await shop.public.waitlist.CreateWaitlistEntry(joining(of, quantity, **fields))


async def look(shop: Shop, entry_id: str, by: Metadata = (), api: TicketApi | None = None) -> Entry:
    """An entry as it is now."""
    request = waitlist_service_pb2.GetWaitlistEntryRequest(waitlist_entry_id=entry_id)
    return await (api or shop.public).waitlist.GetWaitlistEntry(request, metadata=by)


async def leave(shop: Shop, entry_id: str) -> Entry:
    """Wait no longer."""
    request = waitlist_service_pb2.CancelWaitlistEntryRequest(waitlist_entry_id=entry_id)
    return await shop.public.waitlist.CancelWaitlistEntry(request)


async def line(
    shop: Shop, organizer: Organizer, event_id: str, **fields: Any
) -> waitlist_service_pb2.ListWaitlistEntriesResponse:
    """Who waits for an event, as its admin sees it."""
    request = waitlist_service_pb2.ListWaitlistEntriesRequest(event_id=event_id, **fields)
    return await shop.public.waitlist.ListWaitlistEntries(request, metadata=organizer.admin)


async def states(shop: Shop, *entries: Entry) -> list[str]:
    """What has become of each of the entries."""
    return [state_of(await look(shop, entry.id)) for entry in entries]


def state_of(entry: Entry) -> str:
    """`WAITING`, or what became of the entry."""
    name = waitlist_entry_pb2.WaitlistEntryState.Name(entry.state)
    return name.removeprefix("WAITLIST_ENTRY_STATE_")


async def lapse(shop: Shop, *hold_ids: str) -> None:
    """Let the deadline of holds pass."""
    await shop.execute(
        "UPDATE holds SET expires_at = now() WHERE id = ANY(:ids)", ids=list(hold_ids)
    )


async def announced(shop: Shop, entries: Sequence[Entry]) -> int:
    """How many messages the outbox has about some entries."""
    bodies = await shop.execute("SELECT convert_from(body, 'UTF8') FROM outbox")
    ids = {entry.id for entry in entries}
    return sum(any(key in body for key in ids) for (body,) in bodies)
