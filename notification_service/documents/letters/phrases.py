"""What several kinds of mail say alike."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from notification_service.documents.domain import Event, Order, Ticket
from notification_service.documents.letter import NAME_LIMIT, Attachment
from notification_service.documents.tickets_pdf import draw_tickets
from notification_service.documents.wording import (
    clean,
    format_day,
    format_money,
    format_seat,
    format_when,
)

PDF = "application/pdf"


def hello(name: str) -> str:
    """How a letter to a customer begins."""
    shown = clean(name, NAME_LIMIT)
    return f"Hello {shown}," if shown else "Hello,"


def short_title(event: Event) -> str:
    """An event's title where it is part of a subject."""
    return clean(event.title, NAME_LIMIT)


def event_words(event: Event, locale: str) -> Mapping[str, object]:
    """What an event is called, and when and where it is."""
    when = format_when(event, locale)
    return {
        "title": clean(event.title),
        "location": clean(event.location),
        "date": when.date,
        "time": when.time,
        "zone": when.zone,
    }


def order_words(event: Event, order: Order, locale: str) -> Mapping[str, object]:
    """What people call an order by, and since when it is there."""
    return {
        "order_code": clean(order.code),
        "placed_on": format_day(order.placed_at, event.time_zone, locale),
    }


def money_of(order: Order, locale: str) -> Callable[[Decimal], str]:
    """How the order's amounts are written."""
    return lambda amount: format_money(amount, order.currency_code, locale)


def seats_of(tickets: Sequence[Ticket]) -> list[Mapping[str, object]]:
    """Where the holders of tickets sit, if they do."""
    return [
        {"number": ticket.number, "place": place}
        for ticket in tickets
        if ticket.seat and (place := format_seat(ticket.seat))
    ]


def tickets_pdf(event: Event, order: Order, tickets: Sequence[Ticket], locale: str) -> Attachment:
    """The tickets for printing and showing, a page each."""
    code = re.sub("[^A-Za-z0-9-]", "", order.code)
    return Attachment(
        f"tickets-{code}.pdf",
        PDF,
        lambda _: draw_tickets(event, order, tickets, locale=locale),
    )


def calendar_notes(order: Order, tickets: Sequence[Ticket] = ()) -> str:
    """What a calendar says about the tickets."""
    seats = [f"Ticket {seat['number']}: {seat['place']}" for seat in seats_of(tickets)]
    return "\n".join([f"Order {clean(order.code)}", *seats])
