"""EventService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from tessera.ticket.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc, ticket_type_pb2

from kit import auth, clock, patch
from kit.database import Database
from kit.idempotency import Once
from kit.money import Money
from kit.proto_money import from_proto, to_proto
from kit.rates import format_percent, parse_percent
from ticket_service.catalog import domain, operations
from ticket_service.catalog.domain import BookingFee, CancellationPolicy
from ticket_service.waitlist.offers import Offers

Context = grpc.aio.ServicerContext[Any, Any]


class Events(event_service_pb2_grpc.EventServiceServicer):
    """The catalogue's RPCs."""

    def __init__(self, database: Database, offers: Offers) -> None:
        self._database = database
        self._offers = offers

    async def ListEvents(
        self, request: event_service_pb2.ListEventsRequest, _context: Context
    ) -> event_service_pb2.ListEventsResponse:
        state = event_pb2.EventState.Name(request.state).removeprefix("EVENT_STATE_")
        listings, token = await operations.list_events(
            self._database,
            auth.current(),
            query=request.query,
            starts_after=_time(request, "starts_after"),
            starts_before=_time(request, "starts_before"),
            state=state if request.state else "",
            organizer_id=request.organizer_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return event_service_pb2.ListEventsResponse(
            events=[listing_proto(listing) for listing in listings], next_page_token=token
        )

    async def GetEvent(
        self, request: event_service_pb2.GetEventRequest, _context: Context
    ) -> event_pb2.Event:
        caller = auth.current()
        return listing_proto(await operations.get_event(self._database, caller, request.event_id))

    async def CreateEvent(
        self, request: event_service_pb2.CreateEventRequest, _context: Context
    ) -> event_pb2.Event:
        values = {
            "title": request.title,
            "description": request.description,
            "location": request.location,
            "starts_at": clock.from_timestamp(request.starts_at),
            "ends_at": clock.from_timestamp(request.ends_at),
            "time_zone": request.time_zone or "UTC",
            "currency_code": request.currency_code,
        }
        if request.HasField("booking_fee"):
            values["booking_fee"] = _booking_fee(request.booking_fee)
        if request.HasField("cancellation_policy"):
            values["cancellation_policy"] = _cancellation_policy(request.cancellation_policy)
        once = Once(request, listing_proto)
        organizer_id = auth.current().organizer_id
        return listing_proto(
            await operations.create_event(self._database, organizer_id, values, once)
        )

    async def UpdateEvent(
        self, request: event_service_pb2.UpdateEventRequest, _context: Context
    ) -> event_pb2.Event:
        changes = patch.changes(request, nullable=("booking_fee", "cancellation_policy"))
        if (fee := changes.get("booking_fee")) is not None:
            changes["booking_fee"] = _booking_fee(fee)
        if (policy := changes.get("cancellation_policy")) is not None:
            changes["cancellation_policy"] = _cancellation_policy(policy)
        listing = await operations.update_event(
            self._database,
            auth.current().organizer_id,
            request.event_id,
            request.if_match,
            changes,
        )
        return listing_proto(listing)

    async def DeleteEvent(
        self, request: event_service_pb2.DeleteEventRequest, _context: Context
    ) -> Empty:
        organizer_id = auth.current().organizer_id
        await operations.delete_event(
            self._database, organizer_id, request.event_id, request.if_match
        )
        return Empty()

    async def PublishEvent(
        self, request: event_service_pb2.PublishEventRequest, _context: Context
    ) -> event_pb2.Event:
        listing = await operations.publish_event(
            self._database,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            Once(request, listing_proto),
        )
        return listing_proto(listing)

    async def UnpublishEvent(
        self, request: event_service_pb2.UnpublishEventRequest, _context: Context
    ) -> event_pb2.Event:
        return await self._move(operations.unpublish_event, request)

    async def CancelEvent(
        self, request: event_service_pb2.CancelEventRequest, _context: Context
    ) -> event_pb2.Event:
        return await self._move(operations.cancel_event, request)

    async def CreateTicketType(
        self, request: event_service_pb2.CreateTicketTypeRequest, _context: Context
    ) -> ticket_type_pb2.TicketType:
        ticket_type = await operations.create_ticket_type(
            self._database,
            auth.current().organizer_id,
            request.event_id,
            from_proto(request.price, field="price"),
            {
                "name": request.name,
                "total_stock": request.total_stock,
                "sales_start": _time(request, "sales_start"),
                "sales_end": _time(request, "sales_end"),
                "max_per_order": request.max_per_order or domain.DEFAULT_MAX_PER_ORDER,
                "tax_ppm": parse_percent(request.tax_rate, field="tax_rate"),
                "tax_included": not request.HasField("tax_included") or request.tax_included,
                "is_hidden": request.is_hidden,
            },
            Once(request, ticket_type_proto),
        )
        return ticket_type_proto(ticket_type)

    async def ListTicketTypes(
        self, request: event_service_pb2.ListTicketTypesRequest, _context: Context
    ) -> event_service_pb2.ListTicketTypesResponse:
        listing = await operations.get_event(self._database, auth.current(), request.event_id)
        return event_service_pb2.ListTicketTypesResponse(
            ticket_types=[ticket_type_proto(found) for found in listing.ticket_types]
        )

    async def GetTicketType(
        self, request: event_service_pb2.GetTicketTypeRequest, _context: Context
    ) -> ticket_type_pb2.TicketType:
        ticket_type = await operations.get_ticket_type(
            self._database, auth.current(), request.event_id, request.ticket_type_id
        )
        return ticket_type_proto(ticket_type)

    async def UpdateTicketType(
        self, request: event_service_pb2.UpdateTicketTypeRequest, _context: Context
    ) -> ticket_type_pb2.TicketType:
        changes = patch.changes(request, nullable=("sales_start", "sales_end"))
        price = changes.pop("price", None)
        if "tax_rate" in changes:
            changes["tax_ppm"] = parse_percent(changes.pop("tax_rate"), field="tax_rate")
        ticket_type = await operations.update_ticket_type(
            self._database,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            request.ticket_type_id,
            request.if_match,
            from_proto(price, field="price") if price is not None else None,
            changes,
        )
        return ticket_type_proto(ticket_type)

    async def DeleteTicketType(
        self, request: event_service_pb2.DeleteTicketTypeRequest, _context: Context
    ) -> Empty:
        await operations.delete_ticket_type(
            self._database,
            auth.current().organizer_id,
            request.event_id,
            request.ticket_type_id,
            request.if_match,
        )
        return Empty()

    async def _move(self, operation: Any, request: Any) -> event_pb2.Event:
        once = Once(request, listing_proto)
        organizer_id = auth.current().organizer_id
        return listing_proto(await operation(self._database, organizer_id, request.event_id, once))


def listing_proto(listing: operations.Listing) -> event_pb2.Event:
    """An event with its ticket types."""
    proto = event_proto(listing.event)
    proto.ticket_types.extend(ticket_type_proto(found) for found in listing.ticket_types)
    return proto


def event_proto(event: domain.Event) -> event_pb2.Event:
    """An event without its ticket types."""
    return event_pb2.Event(
        id=event.id,
        organizer_id=event.organizer_id,
        state=event_pb2.EventState.Value(f"EVENT_STATE_{event.state}"),
        title=event.title,
        description=event.description,
        location=event.location,
        starts_at=clock.to_timestamp(event.starts_at),
        ends_at=clock.to_timestamp(event.ends_at),
        time_zone=event.time_zone,
        currency_code=event.currency_code,
        created_at=clock.to_timestamp(event.created_at),
        updated_at=clock.to_timestamp(event.updated_at),
        version=event.version,
        booking_fee=_booking_fee_proto(event),
        cancellation_policy=_cancellation_policy_proto(event),
    )


def ticket_type_proto(ticket_type: domain.TicketType) -> ticket_type_pb2.TicketType:
    """A ticket type and what remains of it."""
    return ticket_type_pb2.TicketType(
        id=ticket_type.id,
        event_id=ticket_type.event_id,
        name=ticket_type.name,
        price=to_proto(ticket_type.currency_code, ticket_type.price_minor),
        total_stock=ticket_type.total_stock,
        remaining=ticket_type.available,
        sales_start=clock.to_timestamp(ticket_type.sales_start),
        sales_end=clock.to_timestamp(ticket_type.sales_end),
        max_per_order=ticket_type.max_per_order,
        created_at=clock.to_timestamp(ticket_type.created_at),
        updated_at=clock.to_timestamp(ticket_type.updated_at),
        version=ticket_type.version,
        is_seated=ticket_type.is_seated,
        tax_rate=format_percent(ticket_type.tax_ppm),
        tax_included=ticket_type.tax_included,
        is_hidden=ticket_type.is_hidden,
    )


def _booking_fee(proto: event_pb2.BookingFee) -> BookingFee:
    return BookingFee(
        _amount(proto, "per_ticket", "booking_fee.per_ticket"),
        parse_percent(proto.percentage, field="booking_fee.percentage"),
        parse_percent(proto.tax_rate, field="booking_fee.tax_rate"),
    )


def _booking_fee_proto(event: domain.Event) -> event_pb2.BookingFee | None:
    fee = event.booking_fee
    if fee is None:
        return None
    return event_pb2.BookingFee(
        per_ticket=to_proto(event.currency_code, domain.minor(fee.per_ticket)),
        percentage=format_percent(fee.ppm),
        tax_rate=format_percent(fee.tax_ppm),
    )


def _cancellation_policy(proto: event_pb2.CancellationPolicy) -> CancellationPolicy:
    return CancellationPolicy(
        clock.from_timestamp(proto.until),
        _amount(proto, "fee", "cancellation_policy.fee"),
        parse_percent(proto.fee_percentage, field="cancellation_policy.fee_percentage"),
    )


def _cancellation_policy_proto(event: domain.Event) -> event_pb2.CancellationPolicy | None:
    policy = event.cancellation_policy
    if policy is None:
        return None
    return event_pb2.CancellationPolicy(
        until=clock.to_timestamp(policy.until),
        fee=to_proto(event.currency_code, domain.minor(policy.fee)),
        fee_percentage=format_percent(policy.fee_ppm),
    )


def _amount(proto: Any, name: str, field: str) -> Money | None:
    return from_proto(getattr(proto, name), field=field) if proto.HasField(name) else None


def _time(request: Any, field: str) -> Any:
    return clock.from_timestamp(getattr(request, field)) if request.HasField(field) else None
