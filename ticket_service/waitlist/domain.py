"""What an entry of a waiting list is: a wish for tickets that are sold out, and its fate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import AlreadyExists, FailedPrecondition, NotFound
from ticket_service.catalog.domain import Event, TicketTypeNotFound
from ticket_service.holds.domain import (
    EventNotOnSale,
    TooManyTickets,
    check_sales_window,
    is_on_sale,
)
from ticket_service.stock.domain import Shelf

MAX_WAITING = 10_000  # for one ticket type


class WaitlistEntryNotFound(NotFound):
    """There is no such entry on a waiting list."""


class WaitlistEntryConverted(FailedPrecondition):
    """The offered tickets were bought."""


class NotSoldOut(FailedPrecondition):
    """These tickets are on sale: buy them instead."""


class AlreadyWaiting(AlreadyExists):
    """This e-mail address is on the waiting list for these tickets already."""


class WaitlistFull(FailedPrecondition):
    """The waiting list for these tickets is full."""


class WaitlistState(StrEnum):
    """Where an entry is in its life."""

    WAITING = "WAITING"
    OFFERED = "OFFERED"
    CONVERTED = "CONVERTED"
    OFFER_EXPIRED = "OFFER_EXPIRED"
    CANCELLED = "CANCELLED"


# A hold that is gone may still be converted, if its stock can be taken again: then so is the entry.
TRANSITIONS: Mapping[WaitlistState, frozenset[WaitlistState]] = {
    WaitlistState.WAITING: frozenset({WaitlistState.OFFERED, WaitlistState.CANCELLED}),
    WaitlistState.OFFERED: frozenset(
        {WaitlistState.CONVERTED, WaitlistState.OFFER_EXPIRED, WaitlistState.CANCELLED}
    ),
    WaitlistState.OFFER_EXPIRED: frozenset({WaitlistState.CONVERTED}),
    WaitlistState.CANCELLED: frozenset({WaitlistState.CONVERTED}),
    WaitlistState.CONVERTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class WaitlistEntry:
    """A customer's place in the line of a ticket type. `hold_id` is what was offered, if any was.

    Who is in the line longest has the smallest id.
    """

    id: str
    event_id: str
    organizer_id: str
    ticket_type_id: str
    quantity: int
    state: WaitlistState
    email: str
    full_name: str
    hold_id: str | None
    offer_expires_at: datetime | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Offer:
    """A hold that is kept for an entry until it expires."""

    entry_id: str
    hold_id: str
    expires_at: datetime


def sources(state: WaitlistState) -> frozenset[WaitlistState]:
    """The states from which an entry may come to this one."""
    return frozenset(before for before, after in TRANSITIONS.items() if state in after)


def check_joinable(
    event: Event, shelf: Shelf, ticket_type_id: str, quantity: int, now: datetime
) -> None:
    """Let in line who could buy so many of these tickets, were they not sold out.

    Nobody waits for hidden tickets, which are no more there for the public than others'.

    Raises:
        EventNotOnSale, TicketTypeNotFound, SalesNotStarted, SalesEnded, TooManyTickets: they could
            not buy them.
        NotSoldOut: they can.
    """
    if not is_on_sale(event, now):
        raise EventNotOnSale
    stock = shelf.stock(ticket_type_id)
    if stock is None or stock.is_hidden:
        raise TicketTypeNotFound
    check_sales_window(stock, now)
    if quantity > stock.max_per_order:
        raise TooManyTickets.of(
            "quantity", f"One order may take at most {stock.max_per_order} of these tickets."
        )
    if quantity <= shelf.left(ticket_type_id):
        raise NotSoldOut


def anonymous(entry: WaitlistEntry) -> WaitlistEntry:
    """The entry without who it is that waits."""
    return replace(entry, email="", full_name="")


def left(entry: WaitlistEntry) -> WaitlistEntry:
    """What whoever left the line is answered: the entry as it is now.

    Raises:
        WaitlistEntryConverted: there is no leaving, the tickets are theirs.
    """
    if entry.state is WaitlistState.CONVERTED:
        raise WaitlistEntryConverted
    return entry
