"""A ticket was given to somebody else, who gets it."""

from notification_service.documents.calendars import calendar_entry
from notification_service.documents.domain import Event, Order, Ticket
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    calendar_notes,
    event_words,
    order_words,
    seats_of,
    short_title,
    tickets_pdf,
)
from notification_service.documents.letters.receipt import STEPS
from notification_service.documents.wording import clean


def write(
    event: Event, order: Order, ticket: Ticket, holder_email: str, locale: str = "en"
) -> Letter:
    """To who has the ticket now. Not by name, nor with the giver's: the giver chose both."""
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "ticket_type": clean(ticket.ticket_type_name),
        "seats": seats_of([ticket]),
        "steps": STEPS[1:],
    }
    return Letter(
        "ticket_transferred",
        ticket.holder_name,
        holder_email,
        f"A ticket for {short_title(event)} is yours now",
        label="YOUR TICKET",
        heading=clean(event.title),
        words=words,
        attachments=(
            tickets_pdf(event, order, [ticket], locale),
            calendar_entry(event, order, calendar_notes(order, [ticket])),
        ),
        language=locale,
    )
