"""A sale to render, with what a test cares about replaced."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from email.headerregistry import Address
from email.message import EmailMessage

from notification_service.documents.domain import Event, Offer, Order, OrderLine, Seat, Ticket
from notification_service.documents.offer import render_offer
from notification_service.documents.receipt import render_receipt

SENDER = Address("Verona Nights", "tickets", "example.org")


def an_event(
    title: str = "Jazz on the River",
    location: str = "Arena di Verona, Piazza Bra 1",
    starts_at: datetime = datetime(2026, 11, 14, 18, 30, tzinfo=UTC),
    ends_at: datetime | None = datetime(2026, 11, 14, 22, 0, tzinfo=UTC),
    time_zone: str = "Europe/Rome",
) -> Event:
    return Event(title, location, starts_at, ends_at, time_zone)


def an_order(
    price: str = "50.00",
    quantity: int = 3,
    currency_code: str = "EUR",
    code: str = "K7QX2M9D",
    customer_name: str = "Ada Lovelace",
    customer_email: str = "ada@example.org",
) -> Order:
    total = Decimal(price) * quantity
    line = OrderLine("Early bird", quantity, Decimal(price), total)
    placed_at = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
    return Order(code, customer_name, customer_email, (line,), total, currency_code, placed_at)


def some_tickets(
    count: int = 3, price: str = "50.00", holder_name: str = "Ada Lovelace"
) -> list[Ticket]:
    return [
        Ticket(
            code=f"TK{number}F7K2M9QX4D8RW0O1LI5N",
            ticket_type_name="Early bird",
            holder_name=holder_name,
            price=Decimal(price),
            number=number,
            count=count,
        )
        for number in range(1, count + 1)
    ]


def seated_tickets(*seats: Seat) -> list[Ticket]:
    return [
        replace(ticket, seat=seat)
        for ticket, seat in zip(some_tickets(count=len(seats)), seats, strict=True)
    ]


def an_offer(
    quantity: int = 2,
    seats: tuple[Seat, ...] = (),
    customer_name: str = "Grace Guest",
    customer_email: str = "grace@example.org",
    url: str = "",
) -> Offer:
    return Offer(
        hold_id="hold_0199",
        customer_name=customer_name,
        customer_email=customer_email,
        ticket_type_name="Early bird",
        quantity=quantity,
        unit_price=Decimal("50.00"),
        total=Decimal("50.00") * quantity,
        currency_code="EUR",
        seats=seats,
        expires_at=datetime(2026, 9, 1, 16, 30, tzinfo=UTC),
        url=url,
    )


def an_offer_mail(offer: Offer | None = None, event: Event | None = None) -> EmailMessage:
    return render_offer(
        event or an_event(),
        offer or an_offer(),
        sender=SENDER,
        notification_id="ntf_0199",
        date=datetime(2026, 9, 1, 16, 0, tzinfo=UTC),
    )


def a_receipt(
    event: Event | None = None,
    order: Order | None = None,
    tickets: list[Ticket] | None = None,
    date: datetime = datetime(2026, 9, 1, 12, 0, 5, tzinfo=UTC),
) -> EmailMessage:
    return render_receipt(
        event or an_event(),
        order or an_order(),
        tickets or some_tickets(),
        sender=SENDER,
        notification_id="ntf_0199",
        date=date,
    )
