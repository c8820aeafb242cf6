"""What documents show, taken from what other services say."""

from collections.abc import Sequence
from decimal import Decimal

from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, seat_pb2, ticket_pb2, waitlist_entry_pb2

from kit.clock import from_timestamp
from kit.errors import InvalidArgument
from notification_service.documents.domain import Event, Offer, Order, OrderLine, Seat, Ticket


class TicketNotOrdered(InvalidArgument):
    """A ticket is of a type that the order does not have."""


def event_facts(event: event_pb2.Event) -> Event:
    """A show, from ticket_service."""
    return Event(
        title=event.title,
        location=event.location,
        starts_at=from_timestamp(event.starts_at),
        ends_at=from_timestamp(event.ends_at) if event.HasField("ends_at") else None,
        time_zone=event.time_zone,
    )


def order_facts(order: order_pb2.Order) -> Order:
    """What was paid for, from payment_service."""
    return Order(
        code=order.code,
        customer_name=order.customer.full_name,
        customer_email=order.customer.email,
        lines=tuple(
            OrderLine(
                ticket_type_name=line.ticket_type_name,
                quantity=line.quantity,
                unit_price=Decimal(line.unit_price.amount),
                amount=Decimal(line.amount.amount),
            )
            for line in order.lines
        ),
        total=Decimal(order.total.amount),
        currency_code=order.total.currency_code,
        placed_at=from_timestamp(order.created_at),
    )


def ticket_facts(tickets: Sequence[ticket_pb2.Ticket], order: order_pb2.Order) -> list[Ticket]:
    """An order's tickets, numbered, at the prices that the order has for their types.

    Raises:
        TicketNotOrdered: the order has no price for one of them.
    """
    prices = {line.ticket_type_id: Decimal(line.unit_price.amount) for line in order.lines}
    for ticket in tickets:
        if ticket.ticket_type_id not in prices:
            raise TicketNotOrdered.of("tickets")
    return [
        Ticket(
            code=ticket.code,
            ticket_type_name=ticket.ticket_type_name,
            holder_name=ticket.holder_name,
            price=prices[ticket.ticket_type_id],
            number=number,
            count=len(tickets),
            seat=_seat(ticket.seat) if ticket.HasField("seat") else None,
        )
        for number, ticket in enumerate(tickets, start=1)
    ]


def offer_facts(
    entry: waitlist_entry_pb2.WaitlistEntry, hold: hold_pb2.Hold, storefront_url: str
) -> Offer:
    """What is kept for somebody on a waiting list, from ticket_service: a hold of one ticket type.

    `storefront_url` is the address of any hold's page, with `{hold_id}` in its place; or empty.
    """
    [item] = hold.items
    return Offer(
        hold_id=hold.id,
        customer_name=entry.customer.full_name,
        customer_email=entry.customer.email,
        ticket_type_name=item.ticket_type_name,
        quantity=item.quantity,
        unit_price=Decimal(item.unit_price.amount),
        total=Decimal(hold.total.amount),
        currency_code=hold.total.currency_code,
        seats=tuple(_seat(seat) for seat in item.seats),
        expires_at=from_timestamp(hold.expires_at),
        url=storefront_url.replace("{hold_id}", hold.id),
    )


def _seat(seat: seat_pb2.AssignedSeat) -> Seat:
    return Seat(seat.section, seat.row, seat.number)
