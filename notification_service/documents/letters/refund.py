"""Money is on its way back."""

from collections.abc import Mapping, Sequence

from notification_service.documents.domain import Event, Order, Refund, RefundOrigin, Ticket
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    event_words,
    hello,
    money_of,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean

_TICKETS_LISTED = 20  # of up to 2000

_WHY: Mapping[RefundOrigin, str] = {
    RefundOrigin.CUSTOMER: "You cancelled the order.",
    RefundOrigin.EVENT_CANCELLED: "The event is cancelled.",
    RefundOrigin.AUTOMATIC: (
        "A payment of yours was not needed: the order was paid already, or could not be filled."
    ),
}


def write(
    event: Event, order: Order, refund: Refund, tickets: Sequence[Ticket], locale: str = "en"
) -> Letter:
    """To who paid. `tickets` are those that the refund took back."""
    amount = money_of(order, locale)(refund.amount)
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "amount": amount,
        "why": _WHY.get(refund.origin, ""),
        "reason": clean(refund.reason),
        "tickets": [
            {"number": ticket.number, "name": clean(ticket.ticket_type_name)}
            for ticket in tickets[:_TICKETS_LISTED]
        ],
        "more": max(0, len(tickets) - _TICKETS_LISTED),
    }
    return Letter(
        "refund",
        order.customer_name,
        order.customer_email,
        f"{amount} for {short_title(event)} goes back to you (order {clean(order.code)})",
        label="REFUND",
        heading=amount,
        words=words,
        greeting=hello(order.customer_name),
        language=locale,
    )
