"""ticket_service as its callers know it, and the few things that nearly every test does."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc.aio
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from tessera.ticket.v1 import (
    availability_service_pb2_grpc,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    quota_pb2,
    quota_service_pb2,
    quota_service_pb2_grpc,
    seat_map_pb2,
    seat_map_service_pb2,
    seat_map_service_pb2_grpc,
    seat_pb2,
    ticket_pb2,
    ticket_service_pb2,
    ticket_service_pb2_grpc,
    ticket_type_pb2,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
    waitlist_service_pb2_grpc,
)
from tessera.type.v1 import money_pb2

from kit.database import Database
from kit.rpc_errors import RemoteError
from tests.integration.ticket_service.vouchers import Vouchers
from tests.support.tokens import Metadata, TokenIssuer
from ticket_service.seating.seatings import Seatings
from ticket_service.waitlist.offers import Offers

_NOW = datetime.now(UTC).replace(microsecond=0)


class TicketApi:
    """The RPCs of ticket_service, through one caller's channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.availability = availability_service_pb2_grpc.AvailabilityServiceStub(channel)
        self.events = event_service_pb2_grpc.EventServiceStub(channel)
        self.holds = hold_service_pb2_grpc.HoldServiceStub(channel)
        self.quotas = quota_service_pb2_grpc.QuotaServiceStub(channel)
        self.seat_maps = seat_map_service_pb2_grpc.SeatMapServiceStub(channel)
        self.tickets = ticket_service_pb2_grpc.TicketServiceStub(channel)
        self.venues = venue_service_pb2_grpc.VenueServiceStub(channel)
        self.waitlist = waitlist_service_pb2_grpc.WaitlistServiceStub(channel)


@dataclass(frozen=True, slots=True)
class Organizer:
    """Somebody with events, and what the RPCs of their people carry."""

    id: str
    admin: Metadata
    admin_id: str
    staff: Metadata


def another_replicas_offers() -> Offers:
    """How the process of the test, as one more replica, puts stock back on sale."""
    return Offers(Seatings(), timedelta(minutes=30))


@dataclass(frozen=True, slots=True)
class Shop:
    """Three replicas of ticket_service on one database.

    `public` is the gateway at the first, `twin` at the second, and `hasty` at the third, which
    holds tickets for one second instead of 15 minutes; `internal` is payment_service at the first.
    """

    public: TicketApi
    twin: TicketApi
    hasty: TicketApi
    internal: TicketApi
    issuer: TokenIssuer
    vouchers: Vouchers
    database: Database
    database_url: str

    @property
    def offers(self) -> Offers:
        """How this process, as one more replica, puts stock back on sale."""
        return another_replicas_offers()

    def organizer(self) -> Organizer:
        """A new organizer with an admin and door staff."""
        organizer_id, admin_id = f"org_{uuid.uuid4().hex}", f"usr_{uuid.uuid4().hex}"
        return Organizer(
            organizer_id,
            self.issuer.metadata(organizer_id, user_id=admin_id),
            admin_id,
            self.issuer.metadata(organizer_id, "STAFF"),
        )

    async def draft(self, organizer: Organizer, **fields: Any) -> event_pb2.Event:
        """A new draft without ticket types."""
        return await self.public.events.CreateEvent(event(**fields), metadata=organizer.admin)

    async def add_type(
        self, organizer: Organizer, event_id: str, **fields: Any
    ) -> ticket_type_pb2.TicketType:
        """A ticket type: ten tickets at 50 euros, if nothing else is said."""
        request = ticket_type(event_id, **fields)
        return await self.public.events.CreateTicketType(request, metadata=organizer.admin)

    async def add_quota(
        self, organizer: Organizer, size: int, *types: ticket_type_pb2.TicketType, **fields: Any
    ) -> quota_pb2.Quota:
        """A quota over these ticket types, which are of one event."""
        request = quota(size, *types, **fields)
        return await self.public.quotas.CreateQuota(request, metadata=organizer.admin)

    async def quota(self, organizer: Organizer, of: quota_pb2.Quota) -> quota_pb2.Quota:
        """A quota as it is now."""
        request = quota_service_pb2.GetQuotaRequest(event_id=of.event_id, quota_id=of.id)
        return await self.public.quotas.GetQuota(request, metadata=organizer.admin)

    async def quotas(self, organizer: Organizer, event_id: str) -> list[quota_pb2.Quota]:
        """An event's quotas."""
        request = quota_service_pb2.ListQuotasRequest(event_id=event_id)
        found = await self.public.quotas.ListQuotas(request, metadata=organizer.admin)
        return list(found.quotas)

    async def change_quota(
        self, organizer: Organizer, of: quota_pb2.Quota, **fields: Any
    ) -> quota_pb2.Quota:
        """A quota with these fields changed."""
        request = patch(
            quota_service_pb2.UpdateQuotaRequest, event_id=of.event_id, quota_id=of.id, **fields
        )
        return await self.public.quotas.UpdateQuota(request, metadata=organizer.admin)

    async def lift_quota(
        self, organizer: Organizer, of: quota_pb2.Quota, if_match: str = ""
    ) -> None:
        """Delete a quota."""
        request = quota_service_pb2.DeleteQuotaRequest(
            event_id=of.event_id, quota_id=of.id, if_match=if_match
        )
        await self.public.quotas.DeleteQuota(request, metadata=organizer.admin)

    async def on_sale(
        self, organizer: Organizer, *types: Mapping[str, Any], **fields: Any
    ) -> event_pb2.Event:
        """A published event with these ticket types (default: one)."""
        draft = await self.draft(organizer, **fields)
        for values in types or ({},):
            await self.add_type(organizer, draft.id, **values)
        return await self.publish(organizer, draft.id)

    async def publish(self, organizer: Organizer, event_id: str) -> event_pb2.Event:
        """Put a draft on sale."""
        request = event_service_pb2.PublishEventRequest(event_id=event_id)
        return await self.public.events.PublishEvent(request, metadata=organizer.admin)

    async def cancel(self, organizer: Organizer, event_id: str) -> event_pb2.Event:
        """Call an event off."""
        request = event_service_pb2.CancelEventRequest(event_id=event_id)
        return await self.public.events.CancelEvent(request, metadata=organizer.admin)

    async def see(self, event_id: str) -> event_pb2.Event:
        """A public event as anyone sees it."""
        return await self.public.events.GetEvent(
            event_service_pb2.GetEventRequest(event_id=event_id)
        )

    async def remaining(self, event_id: str) -> list[int]:
        """What remains of each ticket type of a public event."""
        return [found.remaining for found in (await self.see(event_id)).ticket_types]

    async def hold(
        self, of: event_pb2.Event, *quantities: int, hasty: bool = False
    ) -> hold_pb2.Hold:
        """Hold so many tickets of each type; one of the first where nothing is said."""
        api = self.hasty if hasty else self.public
        return await api.holds.CreateHold(hold(of, *(quantities or (1,))))

    async def hold_state(self, hold_id: str) -> str:
        """`ACTIVE`, or what became of the hold."""
        request = hold_service_pb2.GetHoldRequest(hold_id=hold_id)
        found = await self.public.holds.GetHold(request)
        return hold_pb2.HoldState.Name(found.state).removeprefix("HOLD_STATE_")

    async def release(self, hold_id: str) -> hold_pb2.Hold:
        """Give a hold's tickets back."""
        request = hold_service_pb2.ReleaseHoldRequest(hold_id=hold_id)
        return await self.public.holds.ReleaseHold(request)

    async def issue(self, hold_id: str, order_id: str = "") -> list[ticket_pb2.Ticket]:
        """Convert a hold into the tickets of an order (default: a new one)."""
        request = issue(hold_id, order_id)
        return list((await self.internal.tickets.IssueTickets(request)).tickets)

    async def take_back(
        self, order_id: str, hold_id: str = "hold_none", **fields: Any
    ) -> list[ticket_pb2.Ticket]:
        """Cancel an order's tickets, all of them and for others to buy, if nothing else is said."""
        request = ticket_service_pb2.CancelTicketsRequest(
            order_id=order_id, hold_id=hold_id, **fields
        )
        return list((await self.internal.tickets.CancelTickets(request)).tickets)

    async def tickets(self, order_id: str) -> list[ticket_pb2.Ticket]:
        """All tickets that an order has or had."""
        request = ticket_service_pb2.ListTicketsRequest(order_id=order_id)
        return list((await self.internal.tickets.ListTickets(request)).tickets)

    async def block_tickets(self, order_id: str, *, is_blocked: bool) -> list[ticket_pb2.Ticket]:
        """Keep an order's tickets out, or let them in again."""
        request = ticket_service_pb2.BlockTicketsRequest(order_id=order_id, is_blocked=is_blocked)
        return list((await self.internal.tickets.BlockTickets(request)).tickets)

    async def rename(
        self, ticket: ticket_pb2.Ticket, holder_name: str, *, by_organizer: bool = False
    ) -> ticket_pb2.Ticket:
        """Correct the name on a ticket."""
        request = ticket_service_pb2.RenameTicketRequest(
            order_id=ticket.order_id,
            ticket_id=ticket.id,
            holder_name=holder_name,
            by_organizer=by_organizer,
        )
        return await self.internal.tickets.RenameTicket(request)

    async def transfer(
        self,
        ticket: ticket_pb2.Ticket,
        holder_name: str = "Grace Guest",
        email: str = "g@h.org",
        *,
        by_organizer: bool = False,
    ) -> ticket_pb2.Ticket:
        """Give a ticket to somebody else."""
        request = ticket_service_pb2.TransferTicketRequest(
            order_id=ticket.order_id,
            ticket_id=ticket.id,
            holder_name=holder_name,
            holder_email=email,
            by_organizer=by_organizer,
        )
        return await self.internal.tickets.TransferTicket(request)

    async def scan(self, by: Metadata, code: str, **fields: Any) -> ticket_service_pb2.CheckIn:
        """Show a ticket at the door."""
        request = ticket_service_pb2.CreateCheckInRequest(ticket_code=code, **fields)
        return await self.public.tickets.CreateCheckIn(request, metadata=by)

    async def add_venue(self, organizer: Organizer, **fields: Any) -> venue_pb2.Venue:
        """A new venue without halls."""
        request = venue_service_pb2.CreateVenueRequest(**{"name": "Divadlo", **fields})
        return await self.public.venues.CreateVenue(request, metadata=organizer.admin)

    async def add_hall(
        self, organizer: Organizer, layout: venue_pb2.HallLayout | None = None, venue_id: str = ""
    ) -> venue_pb2.Hall:
        """A hall with these seats, or none, in a venue (default: a new one)."""
        request = venue_service_pb2.CreateHallRequest(
            venue_id=venue_id or (await self.add_venue(organizer)).id, name="Main Hall"
        )
        hall = await self.public.venues.CreateHall(request, metadata=organizer.admin)
        if layout is not None:
            await self.import_layout(organizer, hall, layout)
        return hall

    async def import_layout(
        self, organizer: Organizer, hall: venue_pb2.Hall, layout: venue_pb2.HallLayout, **rest: Any
    ) -> venue_pb2.HallLayout:
        """Replace a hall's seats, with all that is in a layout."""
        request = venue_service_pb2.ImportHallLayoutRequest(
            venue_id=hall.venue_id,
            hall_id=hall.id,
            zones=layout.zones,
            sections=layout.sections,
            version=layout.version,
            **rest,
        )
        return await self.public.venues.ImportHallLayout(request, metadata=organizer.admin)

    async def layout(self, organizer: Organizer, hall: venue_pb2.Hall) -> venue_pb2.HallLayout:
        """A hall's seats."""
        request = venue_service_pb2.GetHallLayoutRequest(venue_id=hall.venue_id, hall_id=hall.id)
        return await self.public.venues.GetHallLayout(request, metadata=organizer.admin)

    async def seat(self, of: ticket_type_pb2.TicketType) -> None:
        """Make each of these tickets, of which none is out, a seat in row A."""
        for statement in (
            "INSERT INTO seat_maps (event_id, hall_id) VALUES (:event, 'hall_gone')",
            """
            INSERT INTO seat_map_zones (event_id, zone, position, color, ticket_type_id)
            VALUES (:event, 'Standard', 0, '', :type)
            """,
            """
            INSERT INTO event_seats (event_id, position, seat_id, section, row, number, rank, x, y,
                                     zone, aisle, ticket_type_id, state)
            SELECT :event, n, :type || n, 'Stalls', 'A', n + 1, 1, n, 0, 'Standard', false, :type,
                   'AVAILABLE'
            FROM generate_series(0, :count - 1) n
            """,
            "UPDATE ticket_types SET is_seated = true WHERE id = :type",
        ):
            values = {"event": of.event_id, "type": of.id, "count": of.total_stock}
            named = {key: value for key, value in values.items() if f":{key}" in statement}
            await self.execute(statement, **named)

    async def theatre(
        self, organizer: Organizer, *rows: str, api: TicketApi | None = None, **fields: Any
    ) -> event_pb2.Event:
        """A published event with these rows (see `stalls`), and a ticket type for each zone."""
        hall = await self.add_hall(organizer, stalls(*rows))
        draft = await self.draft(organizer, **fields)
        for zone in sorted({letter.upper() for row in rows for letter in row if letter != "|"}):
            await self.add_type(organizer, draft.id, name=zone, max_per_order=100)
        await self.publish(organizer, draft.id)
        await self.seat_event(organizer, await self.see(draft.id), hall.id, api=api)
        return await self.see(draft.id)

    async def seat_event(
        self, organizer: Organizer, of: event_pb2.Event, hall_id: str, api: TicketApi | None = None
    ) -> seat_map_pb2.SeatMap:
        """Give an event a hall's seats; each ticket type sells the zone of its name."""
        request = seat_map_service_pb2.CreateSeatMapRequest(
            event_id=of.id, hall_id=hall_id, zones=zones_of(of)
        )
        return await (api or self.public).seat_maps.CreateSeatMap(request, metadata=organizer.admin)

    async def seat_map(self, event_id: str, by: Metadata = ()) -> seat_map_pb2.SeatMap:
        """An event's seats."""
        request = seat_map_service_pb2.GetSeatMapRequest(event_id=event_id)
        return await self.public.seat_maps.GetSeatMap(request, metadata=by)

    async def seat_states(
        self, event_id: str, since: int = 0, *, by: Metadata = (), api: TicketApi | None = None
    ) -> seat_map_pb2.SeatStates:
        """Who has an event's seats, or what changed since a version."""
        request = seat_map_service_pb2.GetSeatStatesRequest(event_id=event_id, since_version=since)
        return await (api or self.public).seat_maps.GetSeatStates(request, metadata=by)

    async def seats(self, event_id: str, *places: str) -> list[str]:
        """The ids of these seats, such as `1-3`: the third of the first row; default: of all."""
        seat_map = await self.seat_map(event_id)
        found = {
            f"{row.name}-{seat.number}": seat.id
            for section in seat_map.sections
            for row in section.rows
            for seat in row.seats
        }
        return [found[place] for place in places or found]

    async def block(
        self,
        organizer: Organizer,
        event_id: str,
        *seat_ids: str,
        api: TicketApi | None = None,
        **fields: Any,
    ) -> seat_map_pb2.SeatStates:
        """Take seats off sale, for the house if nothing else is said."""
        values = {"reason": seat_pb2.BLOCK_REASON_HOUSE, **fields}
        request = seat_map_service_pb2.BlockSeatsRequest(
            event_id=event_id, seat_ids=seat_ids, **values
        )
        return await (api or self.public).seat_maps.BlockSeats(request, metadata=organizer.admin)

    async def unblock(
        self,
        organizer: Organizer,
        event_id: str,
        *seat_ids: str,
        api: TicketApi | None = None,
        **fields: Any,
    ) -> seat_map_pb2.SeatStates:
        """Put blocked seats on sale."""
        request = seat_map_service_pb2.UnblockSeatsRequest(
            event_id=event_id, seat_ids=seat_ids, **fields
        )
        return await (api or self.public).seat_maps.UnblockSeats(request, metadata=organizer.admin)

    async def execute(self, sql: str, **values: Any) -> Any:
        """Run one statement in ticket_service's database; answers its rows, if it has any."""
        async with self.database.begin() as tx:
            result = await tx.execute(text(sql), values)
            return result.all() if result.returns_rows else []


def timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def days_ahead(days: float) -> Timestamp:
    """So many days after the tests began."""
    return timestamp(_NOW + timedelta(days=days))


def money(amount: str, currency_code: str = "EUR") -> money_pb2.Money:
    return money_pb2.Money(currency_code=currency_code, amount=amount)


def event(**fields: Any) -> event_service_pb2.CreateEventRequest:
    """A valid request for an event in a month, unless `fields` spoil it."""
    values = {
        "title": "A Night of Strings",
        "description": "Dvořák and Janáček",
        "location": "Main Hall, Brno",
        "starts_at": days_ahead(30),
        "ends_at": days_ahead(30.1),
        "time_zone": "Europe/Prague",
        "currency_code": "EUR",
        **fields,
    }
    return event_service_pb2.CreateEventRequest(**values)


def ticket_type(event_id: str, **fields: Any) -> event_service_pb2.CreateTicketTypeRequest:
    """A valid request for ten tickets at 50 euros, unless `fields` spoil it."""
    values = {"name": "Standard", "price": money("50.00"), "total_stock": 10, **fields}
    return event_service_pb2.CreateTicketTypeRequest(event_id=event_id, **values)


def quota(
    size: int, *types: ticket_type_pb2.TicketType, **fields: Any
) -> quota_service_pb2.CreateQuotaRequest:
    """Asks for a quota over these ticket types, unless `fields` spoil it."""
    values = {
        "event_id": types[0].event_id if types else "",
        "name": "Main hall",
        "size": size,
        "ticket_type_ids": [found.id for found in types],
        **fields,
    }
    return quota_service_pb2.CreateQuotaRequest(**values)


def hold(
    of: event_pb2.Event, *quantities: int, **fields: Any
) -> hold_service_pb2.CreateHoldRequest:
    """Asks for so many tickets of each of the event's types; of none where it is 0."""
    items = [
        hold_service_pb2.CreateHoldItem(ticket_type_id=found.id, quantity=quantity)
        for found, quantity in zip(of.ticket_types, quantities, strict=False)
        if quantity != 0
    ]
    return hold_service_pb2.CreateHoldRequest(event_id=of.id, items=items, **fields)


def issue(hold_id: str, order_id: str = "") -> ticket_service_pb2.IssueTicketsRequest:
    """Asks for the tickets of an order (default: a new one)."""
    return ticket_service_pb2.IssueTicketsRequest(
        hold_id=hold_id, order_id=order_id or new_order_id(), holder_name="Ada Lovelace"
    )


def patch(request_type: Callable[..., Any], *, null: tuple[str, ...] = (), **fields: Any) -> Any:
    """A PATCH that changes `fields`, and sets `null` to null, as the gateway would send it."""
    changed = [name for name in fields if not name.endswith("_id") and name != "if_match"]
    return request_type(**fields, update_mask=FieldMask(paths=[*changed, *null]))


def layout(
    sections: Mapping[str, Mapping[str, int]], zones: Sequence[str] = ("Standard",)
) -> venue_pb2.HallLayout:
    """`{"Stalls": {"A": 12}}`: how many seats each row has, numbered from 1, in the first zone."""
    return venue_pb2.HallLayout(
        zones=[venue_pb2.Zone(name=name) for name in zones],
        sections=[
            venue_pb2.Section(name=name, rows=[row(*each, zone=zones[0]) for each in rows.items()])
            for name, rows in sections.items()
        ],
    )


def stalls(*rows: str) -> venue_pb2.HallLayout:
    """One section with rows such as `AA|Ab`: seats by the letters of their zones, and an aisle.

    Small letters are blocked. Rows and seats are numbered from 1; the first row is the best.
    """
    return venue_pb2.HallLayout(
        zones=[
            venue_pb2.Zone(name=zone, color="#c0392b")
            for zone in sorted({letter.upper() for row in rows for letter in row if letter != "|"})
        ],
        sections=[
            venue_pb2.Section(
                name="Stalls",
                rows=[
                    venue_pb2.Row(name=f"{index}", rank=index, seats=_seats(index, row))
                    for index, row in enumerate(rows, start=1)
                ],
            )
        ],
    )


def _seats(row: int, letters: str) -> list[venue_pb2.Seat]:
    house = seat_pb2.BLOCK_REASON_HOUSE
    seats: list[venue_pb2.Seat] = []
    for letter in letters:
        if letter == "|":
            seats[-1].aisle = True
            continue
        seat = venue_pb2.Seat(number=f"{len(seats) + 1}", x=len(seats), y=row, zone=letter.upper())
        seat.block_reason = house if letter.islower() else seat_pb2.BLOCK_REASON_UNSPECIFIED
        seats.append(seat)
    return seats


def zones_of(of: event_pb2.Event) -> list[seat_map_service_pb2.CreateSeatMapZone]:
    """Each ticket type sells the zone of its name."""
    return [
        seat_map_service_pb2.CreateSeatMapZone(zone=found.name, ticket_type_id=found.id)
        for found in of.ticket_types
    ]


def row(name: str, seats: int, **fields: Any) -> venue_pb2.Row:
    """A row of so many seats, numbered from 1."""
    numbers = range(1, seats + 1)
    return venue_pb2.Row(
        name=name, seats=[venue_pb2.Seat(number=str(n), x=n) for n in numbers], **fields
    )


def new_order_id() -> str:
    return f"ord_{uuid.uuid4().hex}"


def new_key() -> str:
    """An Idempotency-Key that no other test uses."""
    return uuid.uuid4().hex


@contextmanager
def refused(reason: str, *, field: str = "") -> Iterator[None]:
    """The call in this block is refused for this reason, and blames this field."""
    with pytest.raises(RemoteError) as caught:
        yield
    assert caught.value.reason == reason, caught.value
    if field:
        assert {violation.field for violation in caught.value.violations} == {field}


async def outcome(call: Awaitable[object]) -> str:
    """`OK`, or the reason for which a call was refused."""
    try:
        await call
    except RemoteError as error:
        return error.reason
    return "OK"


async def persist(call: Callable[[Any], Awaitable[object]], request: Message) -> str:
    """The outcome of a call that is made again while the answer says to try again (503, 504).

    A request that says so with an Idempotency-Key has one effect however often it is made.
    """
    again = {"UNAVAILABLE", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "IDEMPOTENCY_KEY_IN_USE"}
    while (found := await outcome(call(request))) in again:
        await asyncio.sleep(0.2)
    return found


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.05)


async def wait_for_lock(shop: Shop, call: "asyncio.Task[Any]") -> None:
    """Wait until the call waits for a lock that the test has."""

    async def waits() -> bool:
        [[count]] = await shop.execute(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        return bool(count) or call.done()

    await eventually(waits)
    assert not call.done()
