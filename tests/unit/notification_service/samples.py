"""A sale to render, with what a test cares about replaced."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.headerregistry import Address

from notification_service.documents.domain import (
    Event,
    Lookup,
    Mail,
    Offer,
    Order,
    OrderLine,
    Previously,
    Refund,
    RefundOrigin,
    Seat,
    Ticket,
)
from notification_service.documents.letter import Envelope, Letter, write_mail
from notification_service.documents.letters import (
    event_cancelled,
    event_changed,
    offer,
    order_cancelled,
    order_expired,
    order_lookup,
    payment_failed,
    receipt,
    refund,
    ticket_transferred,
    ticket_withdrawn,
)

SENDER = Address("Verona Nights", "tickets", "example.org")
QUEUED_AT = datetime(2026, 9, 1, 16, 0, tzinfo=UTC)


def an_event(
    title: str = "Jazz on the River",
    location: str = "Arena di Verona, Piazza Bra 1",
    starts_at: datetime = datetime(2026, 11, 14, 18, 30, tzinfo=UTC),
    ends_at: datetime | None = datetime(2026, 11, 14, 22, 0, tzinfo=UTC),
    time_zone: str = "Europe/Rome",
) -> Event:
    return Event(
        id="evt_0199",
        version=3,
        title=title,
        location=location,
        starts_at=starts_at,
        ends_at=ends_at,
        time_zone=time_zone,
    )


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
    return Order(
        id="ord_0199",
        code=code,
        customer_name=customer_name,
        customer_email=customer_email,
        lines=(line,),
        total=total,
        currency_code=currency_code,
        placed_at=placed_at,
        expires_at=datetime(2026, 9, 1, 12, 15, tzinfo=UTC),
        paid_at=datetime(2026, 9, 1, 12, 5, tzinfo=UTC),
    )


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


def a_mail(letter: Letter, date: datetime = QUEUED_AT) -> Mail:
    return write_mail(letter, Envelope(SENDER, "ntf_0199", date))


def an_offer_mail(made: Offer | None = None, event: Event | None = None) -> Mail:
    return a_mail(offer.write(event or an_event(), made or an_offer()))


def a_receipt(
    event: Event | None = None,
    order: Order | None = None,
    tickets: list[Ticket] | None = None,
    date: datetime = datetime(2026, 9, 1, 12, 0, 5, tzinfo=UTC),
) -> Mail:
    letter = receipt.write(event or an_event(), order or an_order(), tickets or some_tickets())
    return a_mail(letter, date)


def every_letter(event: Event, order: Order) -> dict[str, Letter]:
    """One of each kind, by the name of its templates."""
    tickets = some_tickets()
    amount = Decimal("50.00")
    given_back = Refund(amount, RefundOrigin.ADMIN, order.customer_name, ticket_numbers=(1,))
    lookup = Lookup(order.customer_email, "123456", QUEUED_AT)
    before = Previously("Jazz", None, event.starts_at - timedelta(days=1), None)
    named = an_offer(customer_name=order.customer_name, customer_email=order.customer_email)
    letters = (
        receipt.write(event, order, tickets),
        offer.write(event, named),
        payment_failed.write(event, order, "insufficient_funds", QUEUED_AT),
        order_expired.write(event, order),
        order_cancelled.write(event, order),
        refund.write(event, order, given_back, tickets[:1]),
        event_changed.write(event, order, before),
        event_cancelled.write(event, order),
        ticket_transferred.write(event, order, tickets[0], order.customer_email),
        ticket_withdrawn.write(event, order, tickets[0], order.customer_email),
        order_lookup.write(lookup),
    )
    return {letter.template: letter for letter in letters}
