"""Sales and offers as the other services tell them, and the messages that announce them."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.payment.v1 import messages_pb2 as payment_messages
from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, seat_pb2, ticket_pb2, waitlist_entry_pb2
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit import outbox
from kit.broker import Message
from kit.proto_money import to_proto


@dataclass(frozen=True, slots=True)
class Sale:
    """An order with what belongs to it, as the other services tell it."""

    event: event_pb2.Event
    order: order_pb2.Order
    tickets: list[ticket_pb2.Ticket]

    @property
    def codes(self) -> list[str]:
        return [ticket.code for ticket in self.tickets]

    @property
    def about(self) -> dict[str, str]:
        """What finds its mail in the log."""
        return {"order_id": self.order.id}


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody on a waiting list is offered, as ticket_service tells it."""

    event: event_pb2.Event
    entry: waitlist_entry_pb2.WaitlistEntry
    hold: hold_pb2.Hold

    @property
    def about(self) -> dict[str, str]:
        """What finds its mail in the log."""
        return {"waitlist_entry_id": self.entry.id}


def sale(
    *,
    count: int = 2,
    price_minor: int = 5000,
    currency_code: str = "EUR",
    email: str = "ada@example.org",
    organizer_id: str = "",
) -> Sale:
    """A paid order of tickets of one type, unlike every other."""
    key = uuid.uuid4().hex
    event = _event(key, organizer_id, currency_code)
    placed_at = datetime(2036, 9, 1, 12, 0, tzinfo=UTC)
    order = order_pb2.Order(
        id=f"ord_{key}",
        code=key[:8].upper(),
        state=order_pb2.ORDER_STATE_PAID,
        event_id=event.id,
        organizer_id=event.organizer_id,
        lines=[
            order_pb2.OrderLine(
                ticket_type_id=f"tt_{key}",
                ticket_type_name="Early bird",
                quantity=count,
                unit_price=to_proto(currency_code, price_minor),
                amount=to_proto(currency_code, price_minor * count),
            )
        ],
        total=to_proto(currency_code, price_minor * count),
        customer=order_pb2.Customer(email=email, full_name="Ada Lovelace"),
        created_at=at(placed_at),
        expires_at=at(placed_at + timedelta(minutes=15)),
        paid_at=at(placed_at + timedelta(minutes=5)),
    )
    tickets = [
        ticket_pb2.Ticket(
            id=f"tkt_{number}_{key}",
            code=f"{number}{key.upper()}"[:20],
            state=ticket_pb2.TICKET_STATE_ISSUED,
            event_id=event.id,
            ticket_type_id=f"tt_{key}",
            ticket_type_name="Early bird",
            order_id=order.id,
            holder_name="Ada Lovelace",
            number=number,
        )
        for number in range(1, count + 1)
    ]
    return Sale(event, order, tickets)


def offer(
    *,
    count: int = 2,
    seats: tuple[str, ...] = (),
    email: str = "grace@example.org",
    organizer_id: str = "",
    lifetime: timedelta = timedelta(minutes=30),
) -> Offer:
    """Tickets of one type that are kept for somebody, unlike every other; `seats` are in row 4."""
    key = uuid.uuid4().hex
    event = _event(key, organizer_id, "EUR")
    expires_at = at(datetime.now(UTC) + lifetime)
    hold = hold_pb2.Hold(
        id=f"hold_{key}",
        event_id=event.id,
        state=hold_pb2.HOLD_STATE_ACTIVE,
        items=[
            hold_pb2.HoldItem(
                ticket_type_id=f"tt_{key}",
                ticket_type_name="Early bird",
                quantity=count,
                unit_price=to_proto("EUR", 5000),
                amount=to_proto("EUR", 5000 * count),
                seats=[
                    seat_pb2.AssignedSeat(seat_id=each, section="Stalls", row="4", number=each)
                    for each in seats
                ],
            )
        ],
        total=to_proto("EUR", 5000 * count),
        expires_at=expires_at,
    )
    entry = waitlist_entry_pb2.WaitlistEntry(
        id=f"wle_{key}",
        event_id=event.id,
        ticket_type_id=f"tt_{key}",
        quantity=count,
        state=waitlist_entry_pb2.WAITLIST_ENTRY_STATE_OFFERED,
        hold_id=hold.id,
        offer_expires_at=expires_at,
        customer=waitlist_entry_pb2.WaitlistCustomer(email=email, full_name="Grace Guest"),
    )
    return Offer(event, entry, hold)


def _event(key: str, organizer_id: str, currency_code: str) -> event_pb2.Event:
    return event_pb2.Event(
        id=f"evt_{key}",
        organizer_id=organizer_id or f"org_{key}",
        state=event_pb2.EVENT_STATE_PUBLISHED,
        title="Jazz on the River",
        location="Arena di Verona",
        starts_at=at(datetime(2036, 11, 14, 18, 30, tzinfo=UTC)),
        ends_at=at(datetime(2036, 11, 14, 22, 0, tzinfo=UTC)),
        time_zone="Europe/Rome",
        currency_code=currency_code,
        version=1,
    )


def offer_announcement(of: Offer, message_id: str = "") -> Message:
    """`waitlist_entry.offered` as ticket_service's outbox publishes it."""
    body = ticket_messages.WaitlistEntryOffered(
        waitlist_entry_id=of.entry.id,
        event_id=of.event.id,
        organizer_id=of.event.organizer_id,
        hold_id=of.hold.id,
        expires_at=of.hold.expires_at,
    )
    return published(body, message_id)


def announcement(of: Sale, message_id: str = "") -> Message:
    """`payment.succeeded` as payment_service's outbox publishes it."""
    body = payment_messages.PaymentSucceeded(
        order_id=of.order.id,
        order_code=of.order.code,
        event_id=of.event.id,
        organizer_id=of.order.organizer_id,
        payment_id="pay_1",
        total=of.order.total,
    )
    return published(body, message_id)


def published(body: Proto, message_id: str = "") -> Message:
    """A message as a service's outbox publishes it."""
    text = json_format.MessageToJson(body, preserving_proto_field_name=True, indent=None)
    return message(text.encode(), message_id, kind=type(body))


def message(
    body: bytes, message_id: str = "", kind: type[Proto] = payment_messages.PaymentSucceeded
) -> Message:
    name = kind.DESCRIPTOR.full_name
    return Message(message_id or f"msg_{uuid.uuid4().hex}", outbox.routing_key(name), name, body)


def at(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
