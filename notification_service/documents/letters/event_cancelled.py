"""An event was called off."""

from notification_service.documents.domain import Event, Order
from notification_service.documents.letter import Letter
from notification_service.documents.letters.order_cancelled import called_off
from notification_service.documents.letters.phrases import (
    event_words,
    hello,
    money_of,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean


def write(event: Event, order: Order, locale: str = "en") -> Letter:
    """To who ordered. A calendar that has the event loses it."""
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "money": _money(order, locale),
        "had_tickets": order.paid_at is not None,
    }
    return Letter(
        "event_cancelled",
        order.customer_name,
        order.customer_email,
        f"{short_title(event)} is cancelled (order {clean(order.code)})",
        label="EVENT CANCELLED",
        heading=clean(event.title),
        words=words,
        attachments=called_off(event, order),
        greeting=hello(order.customer_name),
        language=locale,
    )


def _money(order: Order, locale: str) -> str:
    """What becomes of the money."""
    if not order.total:
        return ""
    if order.paid_at:
        amount = money_of(order, locale)(order.refunded or order.total)
        return f"Your money is on its way: {amount} goes back to you, the way you paid."
    return "You pay nothing: if money was reserved, it is released."
