"""What a hold is: tickets taken off sale for one customer until a deadline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition, InvalidArgument, NotFound, TesseraError
from ticket_service.catalog.domain import TicketTypeNotFound

MAX_TICKETS = 200  # of one hold: what one mail and one PDF can carry


class HoldNotFound(NotFound):
    """There is no such hold."""


class HoldConverted(FailedPrecondition):
    """The hold has become tickets."""


class EventNotOnSale(FailedPrecondition):
    """The event is not on sale."""


class SalesNotStarted(FailedPrecondition):
    """Sales of this ticket type have not begun."""


class SalesEnded(FailedPrecondition):
    """Sales of this ticket type have ended."""


class SoldOut(FailedPrecondition):
    """Fewer tickets remain than were asked for."""


class TooManyTickets(InvalidArgument):
    """This is more than one order may take."""


class DuplicateTicketType(InvalidArgument):
    """This ticket type is named twice; ask for the sum."""


class HoldState(StrEnum):
    """Where a hold is in its life."""

    ACTIVE = "ACTIVE"
    CONVERTED = "CONVERTED"
    EXPIRED = "EXPIRED"
    RELEASED = "RELEASED"


# A hold that is gone may still be converted, if its stock can be taken again.
TRANSITIONS: Mapping[HoldState, frozenset[HoldState]] = {
    HoldState.ACTIVE: frozenset({HoldState.CONVERTED, HoldState.EXPIRED, HoldState.RELEASED}),
    HoldState.EXPIRED: frozenset({HoldState.CONVERTED}),
    HoldState.RELEASED: frozenset({HoldState.CONVERTED}),
    HoldState.CONVERTED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """How many of one ticket type are asked for."""

    ticket_type_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Stock:
    """What a hold needs to know about a ticket type. Prices are minor units."""

    ticket_type_id: str
    name: str
    price_minor: int
    remaining: int
    max_per_order: int
    sales_start: datetime | None
    sales_end: datetime | None


@dataclass(frozen=True, slots=True)
class HoldItem:
    """Some tickets of one type, at the price they had when the hold was made."""

    ticket_type_id: str
    ticket_type_name: str
    quantity: int
    unit_price_minor: int

    @property
    def amount_minor(self) -> int:
        return self.quantity * self.unit_price_minor


@dataclass(frozen=True, slots=True)
class Hold:
    """Tickets taken off sale until `expires_at`, or what became of them."""

    id: str
    event_id: str
    state: HoldState
    currency_code: str
    items: tuple[HoldItem, ...]
    expires_at: datetime
    created_at: datetime
    order_id: str | None = None

    @property
    def total_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)

    @property
    def quantities(self) -> dict[str, int]:
        """How many of each ticket type, by its id."""
        return {item.ticket_type_id: item.quantity for item in self.items}


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold that was admitted. The fingerprint tells its request from others with the same key."""

    id: str
    items: tuple[HoldItem, ...]
    idempotency_key: str | None
    fingerprint: bytes | None


def check_distinct(requests: Sequence[HoldRequest]) -> None:
    """Raise DuplicateTicketType if a ticket type is named twice."""
    seen: set[str] = set()
    for position, request in enumerate(requests):
        if request.ticket_type_id in seen:
            raise DuplicateTicketType.of(f"items[{position}].ticket_type_id")
        seen.add(request.ticket_type_id)


def price(
    requests: Sequence[HoldRequest], stock: Mapping[str, Stock], now: datetime
) -> tuple[HoldItem, ...]:
    """The items of a hold, if each request keeps to its ticket type's rules and there is stock.

    Raises:
        DuplicateTicketType, TicketTypeNotFound, TooManyTickets, SalesNotStarted, SalesEnded,
        SoldOut: the first request that does not.
    """
    check_distinct(requests)
    if sum(request.quantity for request in requests) > MAX_TICKETS:
        raise TooManyTickets.of("items", f"One order may take at most {MAX_TICKETS} tickets.")
    items = []
    for position, request in enumerate(requests):
        found = stock.get(request.ticket_type_id)
        if found is None:
            raise TicketTypeNotFound
        about = {"ticket_type_id": found.ticket_type_id}
        if request.quantity > found.max_per_order:
            raise TooManyTickets.of(
                f"items[{position}].quantity",
                f"One order may take at most {found.max_per_order} of these tickets.",
            )
        if found.sales_start and now < found.sales_start:
            raise SalesNotStarted(metadata=about)
        if found.sales_end and now >= found.sales_end:
            raise SalesEnded(metadata=about)
        if request.quantity > found.remaining:
            raise SoldOut(metadata={**about, "remaining": str(found.remaining)})
        items.append(
            HoldItem(found.ticket_type_id, found.name, request.quantity, found.price_minor)
        )
    return tuple(items)


def admit(
    asked: Sequence[Sequence[HoldRequest]], stock: Mapping[str, Stock], now: datetime
) -> list[tuple[HoldItem, ...] | TesseraError]:
    """Decide, first come first served, which holds fit into the stock; each all or none."""
    left = dict(stock)
    decided: list[tuple[HoldItem, ...] | TesseraError] = []
    for requests in asked:
        try:
            items = price(requests, left, now)
        except TesseraError as refusal:
            decided.append(refusal)
            continue
        for item in items:
            before = left[item.ticket_type_id]
            remaining = before.remaining - item.quantity
            left[item.ticket_type_id] = replace(before, remaining=remaining)
        decided.append(items)
    return decided


def check_releasable(hold: Hold) -> bool:
    """Whether releasing the hold changes anything; HoldConverted when it must not."""
    if hold.state is HoldState.CONVERTED:
        raise HoldConverted
    return HoldState.RELEASED in TRANSITIONS[hold.state]


def needs_stock_again(hold: Hold) -> bool:
    """Whether a conversion must take the stock anew, because the hold gave it back."""
    if HoldState.CONVERTED not in TRANSITIONS[hold.state]:
        raise HoldConverted
    return hold.state is not HoldState.ACTIVE
