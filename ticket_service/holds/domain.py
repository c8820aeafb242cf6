"""What a hold is: tickets taken off sale for one customer until a deadline."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition, InvalidArgument, NotFound, TesseraError
from ticket_service.catalog.domain import Event, EventState, TicketTypeNotFound
from ticket_service.seating.domain import AssignedSeat, Seating
from ticket_service.stock.domain import Freed, Shelf, SoldOut, Stock

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


class TooManyTickets(InvalidArgument):
    """This is more than one order may take."""


class DuplicateTicketType(InvalidArgument):
    """This ticket type is named twice; ask for the sum."""


class InvalidQuantity(InvalidArgument):
    """Say how many tickets, or which seats; the quantity of chosen seats is their number."""


class TicketTypeNotSeated(InvalidArgument):
    """This ticket type has no seats to choose from."""


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
    """What is asked for of one ticket type.

    Seats are the ones named, or the best available together. Those may leave a single seat
    alone if `allow_orphans`. A hidden ticket type can be had if a voucher has opened it.
    """

    ticket_type_id: str
    quantity: int = 0
    seat_ids: tuple[str, ...] = ()
    allow_orphans: bool = False
    is_opened: bool = False


@dataclass(frozen=True, slots=True)
class HoldItem:
    """Some tickets of one type, at the price they had when the hold was made."""

    ticket_type_id: str
    ticket_type_name: str
    quantity: int
    unit_price_minor: int
    seats: tuple[AssignedSeat, ...] = ()

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
    def next_states(self) -> frozenset[HoldState]:
        return TRANSITIONS[self.state]

    @property
    def seat_ids(self) -> list[str]:
        return [seat.seat_id for item in self.items for seat in item.seats]


@dataclass(frozen=True, slots=True)
class NewHold:
    """A hold that was admitted."""

    id: str
    items: tuple[HoldItem, ...]


def is_on_sale(event: Event, now: datetime) -> bool:
    """Whether the event is published and not over."""
    return event.state is EventState.PUBLISHED and event.ends_at > now


def check_distinct(requests: Sequence[HoldRequest]) -> None:
    """Raise DuplicateTicketType if a ticket type is named twice."""
    if len(requests) == 1:
        return
    seen: set[str] = set()
    for position, request in enumerate(requests):
        if request.ticket_type_id in seen:
            raise DuplicateTicketType.of(f"items[{position}].ticket_type_id")
        seen.add(request.ticket_type_id)


def admit(
    asked: Sequence[tuple[str, Sequence[HoldRequest]]],
    shelf: Shelf,
    seating: Seating | None,
    now: datetime,
) -> list[NewHold | TesseraError]:
    """Decide, first come first served, which holds fit; each all or none.

    `asked` are the ids that the holds will have, with what they are to hold. What is admitted is
    taken from the shelf and the seating.
    """
    return [_admit(hold_id, requests, shelf, seating, now) for hold_id, requests in asked]


def _admit(
    hold_id: str,
    requests: Sequence[HoldRequest],
    shelf: Shelf,
    seating: Seating | None,
    now: datetime,
) -> NewHold | TesseraError:
    taken: list[HoldItem] = []
    try:
        _check(requests)
        for position, request in enumerate(requests):
            taken.append(_take(position, request, shelf, now))
        # Only now: looking for seats costs more than finding out that tickets are sold out.
        for position, request in enumerate(requests):
            taken[position] = _seat(hold_id, request, taken[position], shelf, seating)
    except TesseraError as refusal:
        _undo(taken, shelf, seating)
        return refusal
    return NewHold(hold_id, tuple(taken))


def _check(requests: Sequence[HoldRequest]) -> None:
    """What is wrong with a request whatever the stock."""
    check_distinct(requests)
    for position, request in enumerate(requests):
        if not request.quantity and not request.seat_ids:
            raise InvalidQuantity.of(f"items[{position}].quantity")
        if request.seat_ids and request.quantity not in {0, len(request.seat_ids)}:
            raise InvalidQuantity.of(f"items[{position}].quantity")
    if sum(request.quantity or len(request.seat_ids) for request in requests) > MAX_TICKETS:
        raise TooManyTickets.of("items", f"One order may take at most {MAX_TICKETS} tickets.")


def _take(position: int, request: HoldRequest, shelf: Shelf, now: datetime) -> HoldItem:
    """One item of a hold, off the shelf and without its seats; or why not."""
    stock = shelf.stock(request.ticket_type_id)
    if stock is None or (stock.is_hidden and not request.is_opened):
        raise TicketTypeNotFound
    if request.seat_ids and not stock.is_seated:
        raise TicketTypeNotSeated.of(f"items[{position}].seat_ids")
    quantity = request.quantity or len(request.seat_ids)
    if quantity > stock.max_per_order:
        raise TooManyTickets.of(
            f"items[{position}].quantity",
            f"One order may take at most {stock.max_per_order} of these tickets.",
        )
    check_sales_window(stock, now)
    shelf.take(stock.ticket_type_id, quantity)
    return HoldItem(stock.ticket_type_id, stock.name, quantity, stock.price_minor)


def check_sales_window(stock: Stock, now: datetime) -> None:
    """Raise SalesNotStarted or SalesEnded outside the ticket type's sales window."""
    if stock.sales_start and now < stock.sales_start:
        raise SalesNotStarted(metadata={"ticket_type_id": stock.ticket_type_id})
    if stock.sales_end and now >= stock.sales_end:
        raise SalesEnded(metadata={"ticket_type_id": stock.ticket_type_id})


def _seat(
    hold_id: str, request: HoldRequest, item: HoldItem, shelf: Shelf, seating: Seating | None
) -> HoldItem:
    """The item with the seats that were asked for, if its tickets have seats."""
    stock = shelf.stock(item.ticket_type_id)
    if stock is None or not stock.is_seated:
        return item
    assert seating is not None, item.ticket_type_id
    if request.seat_ids:
        seats = seating.take(hold_id, item.ticket_type_id, request.seat_ids)
    else:
        seats = seating.take_best(
            hold_id, item.ticket_type_id, item.quantity, allow_orphans=request.allow_orphans
        )
    return replace(item, seats=seats)


def take_again(
    holds: Iterable[Hold], shelf: Shelf, seatings: Mapping[str, Seating]
) -> dict[str, TesseraError]:
    """Take the stock of holds that gave it back, each all or none; answers the refusals by hold id.

    They are `SoldOut`, `SeatTaken` and `SeatNotFound`. `seatings` are those of the holds' events,
    by event id.
    """
    refusals: dict[str, TesseraError] = {}
    for hold in holds:
        seating = seatings.get(hold.event_id)
        taken: list[HoldItem] = []
        try:
            for item in hold.items:
                _take_again(hold.id, item, shelf, seating)
                taken.append(item)
        except TesseraError as refusal:
            _undo(taken, shelf, seating)
            refusals[hold.id] = refusal
    return refusals


def _take_again(hold_id: str, item: HoldItem, shelf: Shelf, seating: Seating | None) -> None:
    stock = shelf.stock(item.ticket_type_id)
    assert stock is not None, item.ticket_type_id
    if stock.is_seated is not bool(item.seats):  # seats came or went since: not what was sold
        raise SoldOut
    shelf.take(item.ticket_type_id, item.quantity)
    if not item.seats:
        return
    assert seating is not None, hold_id
    try:
        seating.take(hold_id, item.ticket_type_id, [seat.seat_id for seat in item.seats])
    except TesseraError:
        shelf.take(item.ticket_type_id, -item.quantity)
        raise


def _undo(taken: Iterable[HoldItem], shelf: Shelf, seating: Seating | None) -> None:
    for item in taken:
        shelf.take(item.ticket_type_id, -item.quantity)
        if seating and item.seats:
            seating.give_back([seat.seat_id for seat in item.seats])


def freed(holds: Iterable[Hold]) -> Freed:
    """What some holds give back, all together."""
    quantities: Counter[str] = Counter()
    seat_ids: defaultdict[str, list[str]] = defaultdict(list)
    for hold in holds:
        for item in hold.items:
            quantities[item.ticket_type_id] += item.quantity
        if hold.seat_ids:
            seat_ids[hold.event_id] += hold.seat_ids
    return Freed(quantities, seat_ids)


def released(hold: Hold | None) -> Hold | TesseraError:
    """What whoever released the hold is answered: the hold as it is now, or why it is not gone."""
    if hold is None:
        return HoldNotFound()
    return HoldConverted() if hold.state is HoldState.CONVERTED else hold
