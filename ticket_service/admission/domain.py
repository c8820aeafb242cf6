"""What a ticket is, and who is let in with it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class TicketState(StrEnum):
    """Whether a ticket is worth anything."""

    ISSUED = "ISSUED"
    CANCELLED = "CANCELLED"


class Rejection(StrEnum):
    """Why the door stays shut."""

    UNKNOWN_TICKET = "UNKNOWN_TICKET"
    ALREADY_ADMITTED = "ALREADY_ADMITTED"
    TICKET_CANCELLED = "TICKET_CANCELLED"
    WRONG_EVENT = "WRONG_EVENT"
    EVENT_CANCELLED = "EVENT_CANCELLED"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right of one person to enter. `admitted_at` is when the door accepted it."""

    id: str
    code: str
    state: TicketState
    event_id: str
    organizer_id: str
    ticket_type_id: str
    ticket_type_name: str
    hold_id: str
    order_id: str
    number: int
    holder_name: str
    issued_at: datetime
    admitted_at: datetime | None


@dataclass(frozen=True, slots=True)
class CheckIn:
    """What happened when a code was shown; accepted when there is no rejection."""

    rejection: Rejection | None
    ticket: Ticket | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """Stock and admissions of one event: by ticket type (id, name, remaining, admitted), by day."""

    organizer_id: str
    currency_code: str
    time_zone: str
    ticket_types: tuple[tuple[str, str, int, int], ...]
    days: tuple[tuple[str, int], ...]


def judge(ticket: Ticket | None, *, event_id: str, event_is_cancelled: bool) -> Rejection | None:
    """Why a shown ticket is refused, or None. An empty `event_id` admits to any event."""
    if ticket is None:
        return Rejection.UNKNOWN_TICKET
    if event_id and ticket.event_id != event_id:
        return Rejection.WRONG_EVENT
    if ticket.state is TicketState.CANCELLED:
        return Rejection.TICKET_CANCELLED
    if event_is_cancelled:
        return Rejection.EVENT_CANCELLED
    if ticket.admitted_at is not None:
        return Rejection.ALREADY_ADMITTED
    return None
