"""The offer: to somebody on a waiting list, for whom tickets are kept for a while."""

from notification_service.documents.domain import Event, Offer
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import event_words, short_title
from notification_service.documents.wording import (
    clean,
    format_deadline,
    format_money,
    format_seat,
)


def write(event: Event, offer: Offer, locale: str = "en") -> Letter:
    """To who waits. Not by name: whoever joined for this address, unconfirmed, chose it."""
    is_one = offer.quantity == 1
    words = {
        **event_words(event, locale),
        "came_free": "a ticket has" if is_one else f"{offer.quantity} tickets have",
        "them": "it" if is_one else "them",
        "they_go": "it goes" if is_one else "they go",
        "ticket_type": clean(offer.ticket_type_name),
        "quantity": offer.quantity,
        "unit_price": format_money(offer.unit_price, offer.currency_code, locale),
        "total": format_money(offer.total, offer.currency_code, locale),
        "seats": [place for seat in offer.seats if (place := format_seat(seat))],
        "deadline": format_deadline(offer.expires_at, event.time_zone, locale),
        "hold_id": clean(offer.hold_id),
        "url": offer.url,
    }
    title = short_title(event)
    return Letter(
        "offer",
        offer.customer_name,
        offer.customer_email,
        f"A ticket for {title} is kept for you"
        if is_one
        else f"{offer.quantity} tickets for {title} are kept for you",
        label="KEPT FOR YOU",
        heading=clean(event.title),
        words=words,
        language=locale,
    )
