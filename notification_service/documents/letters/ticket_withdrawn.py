"""A ticket that was given to somebody is theirs no more."""

from notification_service.documents.domain import Event, Order, Ticket
from notification_service.documents.letter import Letter
from notification_service.documents.letters.order_cancelled import called_off
from notification_service.documents.letters.phrases import (
    event_words,
    order_words,
    seats_of,
    short_title,
)
from notification_service.documents.wording import clean


def write(
    event: Event, order: Order, ticket: Ticket, holder_email: str, locale: str = "en"
) -> Letter:
    """To who was given it. Not by name, nor with the giver's: the giver chose both.

    A calendar loses the event with the whole order: of a part, its reader may have another ticket.
    """
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "ticket_type": clean(ticket.ticket_type_name),
        "seats": seats_of([ticket]),
        "is_called_off": order.cancel_reason == "EVENT_CANCELLED",
    }
    return Letter(
        "ticket_withdrawn",
        ticket.holder_name,
        holder_email,
        f"Your ticket for {short_title(event)} is no longer valid",
        label="TICKET WITHDRAWN",
        heading=clean(event.title),
        words=words,
        attachments=called_off(event, order) if order.cancel_reason else (),
        language=locale,
    )
