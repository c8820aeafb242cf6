"""What a seat map is: a hall's seats, and as which ticket types an event sells them. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from ticket_service.catalog.domain import TicketType, TicketTypeInUse, TicketTypeNotFound
from ticket_service.seating.domain import AssignedSeat, SeatState
from ticket_service.venues.domain import BlockReason


class SeatMapNotFound(NotFound):
    """The event has no seat map."""


class HallWithoutSeats(FailedPrecondition):
    """The hall has no seats; import its layout first."""


class ZoneNotFound(NotFound):
    """The hall has no such zone."""


class DuplicateZone(InvalidArgument):
    """This zone is named twice; its seats are sold as one ticket type."""


class ZoneWithoutTicketType(InvalidArgument):
    """Every zone that has seats needs a ticket type."""


@dataclass(frozen=True, slots=True)
class SeatMap:
    """That an event has seats. `version` is that of their states, `created_at` of their places."""

    event_id: str
    hall_id: str  # which may be gone
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ZoneRequest:
    """As which ticket type a zone's seats are to be sold."""

    zone: str
    ticket_type_id: str


@dataclass(frozen=True, slots=True)
class ZoneTicketType:
    """As which ticket type a zone's seats are sold."""

    zone: str
    ticket_type_id: str
    color: str


@dataclass(frozen=True, slots=True)
class ZoneSize:
    """How many seats a zone of a hall has."""

    seats: int
    for_sale: int  # those that are not blocked


@dataclass(frozen=True, slots=True)
class DrawnSeat:
    """A seat as the map shows it."""

    section: str
    row: str
    id: str
    number: str
    x: float
    y: float
    zone: str
    aisle: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """A seat map as it is shown: seats of a row, and rows of a section, follow each other."""

    seat_map: SeatMap
    zones: Sequence[ZoneTicketType]
    seats: Sequence[DrawnSeat]


@dataclass(frozen=True, slots=True)
class SeatStates:
    """The states of all seats, one letter each; or those that changed, by position."""

    event_id: str
    version: int
    seated_at: datetime  # when the seat map was made: each counts versions and positions of its own
    letters: str = ""
    changes: Mapping[int, SeatState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BlockedSeat:
    """A seat that is not for sale, and why."""

    position: int
    seat: AssignedSeat
    reason: BlockReason
    note: str


def seat(
    zones: Mapping[str, ZoneSize],
    requests: Sequence[ZoneRequest],
    ticket_types: Mapping[str, TicketType],
) -> dict[str, int]:
    """The stock of each ticket type, by id, when an event's seats are sold as requested.

    `zones` are all that the hall has, `ticket_types` all that the event has.

    Raises:
        HallWithoutSeats, ZoneNotFound, DuplicateZone, TicketTypeNotFound, ZoneWithoutTicketType:
            the requests do not fit the hall, or the event.
        TicketTypeInUse: tickets of a type that would get or lose its seats are held or sold.
    """
    if not any(size.seats for size in zones.values()):
        raise HallWithoutSeats
    stock: Counter[str] = Counter()
    seen: set[str] = set()
    for position, request in enumerate(requests):
        place = f"zones[{position}].zone"
        if request.zone not in zones:
            message = f"The hall has no zone {request.zone}."
            raise ZoneNotFound(message, violations=(FieldViolation(place, message),))
        if request.zone in seen:
            raise DuplicateZone.of(place)
        if request.ticket_type_id not in ticket_types:
            raise TicketTypeNotFound(metadata={"ticket_type_id": request.ticket_type_id})
        seen.add(request.zone)
        stock[request.ticket_type_id] += zones[request.zone].for_sale
    if unsold := [zone for zone, size in zones.items() if size.seats and zone not in seen]:
        raise ZoneWithoutTicketType.of("zones", f"Zone {unsold[0]} needs a ticket type.")
    check_unused(each for each in ticket_types.values() if each.is_seated or each.id in stock)
    return dict(stock)


def check_unused(ticket_types: Iterable[TicketType]) -> None:
    """Raise TicketTypeInUse if tickets of one of them are held or sold."""
    for ticket_type in ticket_types:
        if ticket_type.taken:
            raise TicketTypeInUse(
                "Tickets of this type are held or sold.",
                metadata={"ticket_type_id": ticket_type.id},
            )
