"""An order was not paid in time, for who asked to be told."""

from notification_service.documents.domain import Event, Order
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    event_words,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean, format_deadline


def write(event: Event, order: Order, locale: str = "en") -> Letter:
    """To who did not pay, not by name: nobody confirmed that it is theirs, or the address."""
    until = order.expires_at
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "deadline": format_deadline(until, event.time_zone, locale) if until else "",
    }
    return Letter(
        "order_expired",
        "",
        order.customer_email,
        f"Your order for {short_title(event)} has expired (order {clean(order.code)})",
        label="ORDER EXPIRED",
        heading=clean(event.title),
        words=words,
        language=locale,
    )
