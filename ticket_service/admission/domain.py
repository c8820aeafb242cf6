"""What a ticket is, and who is let in with it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition, NotFound
from ticket_service.catalog.domain import Event, EventState
from ticket_service.holds.domain import (
    EventNotOnSale,
    Hold,
    HoldConverted,
    HoldNotFound,
    HoldState,
    is_on_sale,
)
from ticket_service.holds.domain import freed as holds_freed
from ticket_service.seating.domain import AssignedSeat
from ticket_service.stock.domain import Freed

MAX_TRANSFERS = 20  # of one ticket: each is a mail to whomever its organizer names


class TicketNotFound(NotFound):
    """The order has no such ticket."""


class TicketNotValid(FailedPrecondition):
    """This ticket was cancelled or given to somebody else, or is blocked."""


class TicketGivenAway(FailedPrecondition):
    """This ticket was given to somebody else; only the organizer changes it now."""


class TicketAdmitted(FailedPrecondition):
    """Somebody was let in with this ticket."""


class TicketState(StrEnum):
    """Whether a ticket is worth anything."""

    ISSUED = "ISSUED"
    CANCELLED = "CANCELLED"
    TRANSFERRED = "TRANSFERRED"


TRANSITIONS: Mapping[TicketState, frozenset[TicketState]] = {
    TicketState.ISSUED: frozenset({TicketState.CANCELLED, TicketState.TRANSFERRED}),
    TicketState.CANCELLED: frozenset(),
    TicketState.TRANSFERRED: frozenset(),
}


class Rejection(StrEnum):
    """Why the door stays shut."""

    UNKNOWN_TICKET = "UNKNOWN_TICKET"
    ALREADY_ADMITTED = "ALREADY_ADMITTED"
    TICKET_CANCELLED = "TICKET_CANCELLED"
    TICKET_TRANSFERRED = "TICKET_TRANSFERRED"
    TICKET_BLOCKED = "TICKET_BLOCKED"
    WRONG_EVENT = "WRONG_EVENT"
    EVENT_CANCELLED = "EVENT_CANCELLED"


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right of one person to enter. `admitted_at` is when the door accepted it.

    `number` is its place in the order, from 1. Its successor has the same, and one transfer more.
    """

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
    transfers: int
    holder_name: str
    holder_email: str  # empty: the order's customer has it
    is_blocked: bool
    seat: AssignedSeat | None
    issued_at: datetime
    admitted_at: datetime | None

    @property
    def next_states(self) -> frozenset[TicketState]:
        return TRANSITIONS[self.state]


@dataclass(frozen=True, slots=True)
class CheckIn:
    """What happened when a code was shown; accepted when there is no rejection."""

    rejection: Rejection | None
    ticket: Ticket | None
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """Stock and admissions of one event: by ticket type (id, name, remaining, admitted), by day.

    `holds` are those that customers made or took up.
    """

    organizer_id: str
    currency_code: str
    time_zone: str
    ticket_types: tuple[tuple[str, str, int, int], ...]
    days: tuple[tuple[str, int], ...]
    holds: int


@dataclass(frozen=True, slots=True)
class Order:
    """What wants a hold's tickets."""

    hold_id: str
    order_id: str
    holder_name: str


def may_have(order: Order, hold: Hold | None, event: Event | None, now: datetime) -> bool:
    """Whether the order gets the hold's tickets now; false if it had them before.

    Raises:
        HoldNotFound, HoldConverted, EventNotOnSale: it never will.
    """
    if hold is None or event is None:
        raise HoldNotFound
    if hold.order_id == order.order_id:
        return False
    if HoldState.CONVERTED not in hold.next_states:
        raise HoldConverted
    if event.state is EventState.CANCELLED:
        raise EventNotOnSale
    if hold.state is not HoldState.ACTIVE and not is_on_sale(event, now):
        raise EventNotOnSale
    return True


def freed(holds: Iterable[Hold], cancelled: Iterable[Ticket]) -> Freed:
    """What live holds and issued tickets give back, all together."""
    given_up = holds_freed(holds)
    quantities = Counter(given_up.quantities)
    seat_ids = defaultdict(list, {key: list(ids) for key, ids in given_up.seat_ids.items()})
    for ticket in cancelled:
        quantities[ticket.ticket_type_id] += 1
        if ticket.seat:
            seat_ids[ticket.event_id].append(ticket.seat.seat_id)
    return Freed(quantities, seat_ids)


def cancellable(
    tickets: Iterable[Ticket], numbers: Collection[int], *, spare_admitted: bool = False
) -> list[Ticket]:
    """Those of an order's tickets that are there to cancel, with these numbers; none: any."""
    there = [ticket for ticket in tickets if TicketState.CANCELLED in ticket.next_states]
    if spare_admitted:
        there = [ticket for ticket in there if ticket.admitted_at is None]
    return [ticket for ticket in there if not numbers or ticket.number in numbers]


def judge(ticket: Ticket | None, *, event_id: str, event_is_cancelled: bool) -> Rejection | None:
    """Why a shown ticket is refused, or None. An empty `event_id` admits to any event."""
    if ticket is None:
        return Rejection.UNKNOWN_TICKET
    if event_id and ticket.event_id != event_id:
        return Rejection.WRONG_EVENT
    if ticket.state is TicketState.CANCELLED:
        return Rejection.TICKET_CANCELLED
    if ticket.state is TicketState.TRANSFERRED:
        return Rejection.TICKET_TRANSFERRED
    if event_is_cancelled:
        return Rejection.EVENT_CANCELLED
    if ticket.is_blocked:
        return Rejection.TICKET_BLOCKED
    if ticket.admitted_at is not None:
        return Rejection.ALREADY_ADMITTED
    return None


def changeable(ticket: Ticket | None, *, event_is_cancelled: bool, by_organizer: bool) -> Ticket:
    """The ticket, which may be changed as long as somebody would be let in with it.

    Whoever gave it away no longer may: they could take it back from who relies on it, and enter.

    Raises:
        TicketNotFound, TicketNotValid, TicketAdmitted: nobody would.
        TicketGivenAway: somebody else has it, and the order's customer asks.
    """
    rejection = judge(ticket, event_id="", event_is_cancelled=event_is_cancelled)
    if ticket is None:
        raise TicketNotFound
    if rejection is Rejection.ALREADY_ADMITTED:
        raise TicketAdmitted
    if rejection is Rejection.EVENT_CANCELLED:
        raise TicketNotValid("The event was called off.")
    if rejection:
        raise TicketNotValid
    if ticket.holder_email and not by_organizer:
        raise TicketGivenAway
    return ticket


def succeed(
    ticket: Ticket, ticket_id: str, code: str, holder_name: str, holder_email: str
) -> Ticket:
    """The same right for somebody else: all but its bearer and its code stays.

    Raises:
        TicketNotValid: it was given on too often.
    """
    assert TicketState.TRANSFERRED in ticket.next_states, ticket.id
    if ticket.transfers == MAX_TRANSFERS:
        raise TicketNotValid("This ticket has been given on too often.")
    return replace(
        ticket,
        id=ticket_id,
        code=code,
        transfers=ticket.transfers + 1,
        holder_name=holder_name,
        holder_email=holder_email,
    )
