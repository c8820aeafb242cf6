"""An order was cancelled, and why."""

from collections.abc import Mapping

from notification_service.documents.calendars import Method, calendar_entry
from notification_service.documents.domain import Event, Order
from notification_service.documents.letter import Attachment, Letter
from notification_service.documents.letters.phrases import (
    calendar_notes,
    event_words,
    hello,
    money_of,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean

_GONE = "By the time your payment arrived, there were no tickets left for it."
_WHY: Mapping[str, str] = {
    "SOLD_OUT": _GONE,
    "SEAT_TAKEN": _GONE,
    "SEAT_NOT_FOUND": _GONE,
    "HOLD_NOT_FOUND": _GONE,
    "HOLD_CONVERTED": _GONE,
    "EVENT_NOT_ON_SALE": "By the time your payment arrived, the event was no longer on sale.",
    "DISPUTE_LOST": "Your bank took the payment back for you, as it was asked to.",
}


def write(event: Event, order: Order, locale: str = "en") -> Letter:
    """To who ordered. A calendar that has the event loses it."""
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "why": _WHY.get(order.cancel_reason, ""),
        "money": _money(order, locale),
        "had_tickets": order.paid_at is not None,
    }
    return Letter(
        "order_cancelled",
        order.customer_name,
        order.customer_email,
        f"Your order for {short_title(event)} is cancelled (order {clean(order.code)})",
        label="ORDER CANCELLED",
        heading=clean(event.title),
        words=words,
        attachments=called_off(event, order),
        greeting=hello(order.customer_name),
        language=locale,
    )


def called_off(event: Event, order: Order) -> tuple[Attachment, ...]:
    """What takes the event out of the calendar of who had tickets for it."""
    if order.paid_at is None:
        return ()
    return (calendar_entry(event, order, calendar_notes(order), Method.CANCEL),)


def _money(order: Order, locale: str) -> str:
    """What becomes of the money."""
    if not order.total or order.cancel_reason == "DISPUTE_LOST":
        return ""
    if order.refunded:
        amount = money_of(order, locale)(order.refunded)
        return f"{amount} of what you paid goes back to you. A mail of its own says so."
    if order.paid_at:
        return "None of what you paid goes back to you."
    return "You pay nothing: if money was reserved or taken, it is on its way back to you."
