"""What documents show, taken from what other services say."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from google.protobuf.message import Message
from tessera.payment.v1 import order_lookup_service_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, seat_pb2, ticket_pb2, waitlist_entry_pb2
from tessera.type.v1 import money_pb2

from kit.clock import from_timestamp
from kit.errors import InvalidArgument
from notification_service.documents.domain import (
    Event,
    Lookup,
    Offer,
    Order,
    OrderLine,
    Refund,
    RefundOrigin,
    Seat,
    TaxAmount,
    Ticket,
)


class TicketNotOrdered(InvalidArgument):
    """A ticket is of a type that the order does not have."""


def event_facts(event: event_pb2.Event) -> Event:
    """A show, from ticket_service."""
    return Event(
        id=event.id,
        version=event.version,
        title=event.title,
        location=event.location,
        starts_at=from_timestamp(event.starts_at),
        ends_at=_time(event, "ends_at"),
        time_zone=event.time_zone,
    )


def order_facts(order: order_pb2.Order) -> Order:
    """What is bought, from payment_service."""
    return Order(
        id=order.id,
        code=order.code,
        customer_name=order.customer.full_name,
        customer_email=order.customer.email,
        lines=tuple(
            OrderLine(
                ticket_type_name=line.ticket_type_name,
                quantity=line.quantity,
                unit_price=_amount(line.unit_price),
                amount=_amount(line.amount),
                tax_rate=line.tax_rate,
                tax_included=line.tax_included,
                tax=_amount(line.tax),
            )
            for line in order.lines
        ),
        total=_amount(order.total),
        currency_code=order.total.currency_code,
        placed_at=from_timestamp(order.created_at),
        expires_at=_time(order, "expires_at"),
        paid_at=_time(order, "paid_at"),
        cancellable_until=_time(order, "cancellable_until"),
        discount=_amount(order.discount),
        voucher_code=order.voucher_code,
        booking_fee=_amount(order.booking_fee),
        taxes=tuple(
            TaxAmount(each.rate, _amount(each.net), _amount(each.tax)) for each in order.taxes
        ),
        refunded=_amount(order.refunded),
        cancel_reason=order.cancel_reason,
    )


def ticket_facts(tickets: Sequence[ticket_pb2.Ticket], order: order_pb2.Order) -> list[Ticket]:
    """An order's tickets, at the prices that the order has for their types.

    Raises:
        TicketNotOrdered: the order has no price for one of them.
    """
    prices = {line.ticket_type_id: _amount(line.unit_price) for line in order.lines}
    for ticket in tickets:
        if ticket.ticket_type_id not in prices:
            raise TicketNotOrdered.of("tickets")
    numbers = [ticket.number or position for position, ticket in enumerate(tickets, start=1)]
    count = max([sum(line.quantity for line in order.lines), *numbers])
    return [
        Ticket(
            code=ticket.code,
            ticket_type_name=ticket.ticket_type_name,
            holder_name=ticket.holder_name,
            price=prices[ticket.ticket_type_id],
            number=number,
            count=count,
            seat=_seat(ticket.seat) if ticket.HasField("seat") else None,
        )
        for number, ticket in zip(numbers, tickets, strict=True)
    ]


def refund_facts(refund: refund_pb2.Refund) -> Refund:
    """Money on its way back, from payment_service."""
    origin = refund_pb2.RefundOrigin.Name(refund.origin).removeprefix("REFUND_ORIGIN_")
    known = origin in RefundOrigin.__members__
    return Refund(
        amount=_amount(refund.amount),
        origin=RefundOrigin(origin) if known else RefundOrigin.ADMIN,  # which says nothing
        reason=refund.reason,
        ticket_numbers=tuple(refund.ticket_numbers),
    )


def lookup_facts(mail: order_lookup_service_pb2.OrderLookupMail) -> Lookup:
    """What finds the orders of an address again, from payment_service."""
    return Lookup(mail.email, mail.code, from_timestamp(mail.expires_at))


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
        unit_price=_amount(item.unit_price),
        total=_amount(hold.total),
        currency_code=hold.total.currency_code,
        seats=tuple(_seat(seat) for seat in item.seats),
        expires_at=from_timestamp(hold.expires_at),
        url=storefront_url.replace("{hold_id}", hold.id),
    )


def _seat(seat: seat_pb2.AssignedSeat) -> Seat:
    return Seat(seat.section, seat.row, seat.number)


def _amount(money: money_pb2.Money) -> Decimal:
    """Major units; absent is nothing."""
    return Decimal(money.amount or 0)


def _time(message: Message, name: str) -> datetime | None:
    return from_timestamp(getattr(message, name)) if message.HasField(name) else None
