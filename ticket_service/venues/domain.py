"""What a venue, a hall and its layout are, and which layouts make sense."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import chain, islice
from math import isfinite

from kit.errors import FailedPrecondition, FieldViolation, InvalidArgument, NotFound
from kit.ids import new_id

MAX_VENUES = 1000  # of an organizer
MAX_HALLS = 100  # of a venue
MAX_SECTIONS = 500  # of a hall, as are the next two
MAX_ROWS = 10_000
MAX_SEATS = 50_000
MAX_NAME = 100  # characters, in a layout
MAX_TEXT_BYTES = 2**20  # of a hall's names: with it, a layout fits into one message
MAX_NAMED = 50  # violations in one answer: an error travels in a trailer of at most 16 kB

_COLOR = re.compile(r"(#[0-9a-fA-F]{6})?")
_UNKNOWN_ZONE = "is not one of the hall's zones"


class VenueNotFound(NotFound):
    """There is no such venue."""


class HallNotFound(NotFound):
    """The venue has no such hall."""


class SectionNotFound(NotFound):
    """The hall has no such section."""


class VenueNotEmpty(FailedPrecondition):
    """The venue has halls; delete them first."""


class TooManyVenues(FailedPrecondition):
    """An organizer has at most 1,000 venues."""


class TooManyHalls(FailedPrecondition):
    """A venue has at most 100 halls."""


class TooManySections(FailedPrecondition):
    """A hall has at most 500 sections."""


class InvalidLayout(InvalidArgument):
    """These seats do not make a layout."""


class BlockReason(StrEnum):
    """Why a seat is not for sale."""

    HOUSE = "HOUSE"
    RESTRICTED_VIEW = "RESTRICTED_VIEW"
    WHEELCHAIR = "WHEELCHAIR"
    COMPANION = "COMPANION"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True)
class Venue:
    """A place where events happen."""

    id: str
    organizer_id: str
    name: str
    address: str
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Hall:
    """A room of a venue. Its version grows with every change of its layout, too."""

    id: str
    venue_id: str
    name: str
    seat_count: int
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Seat:
    """One seat. An empty zone is the row's; after an aisle, the next seat is no neighbour."""

    id: str
    number: str
    x: float
    y: float
    zone: str
    aisle: bool
    block_reason: BlockReason | None


@dataclass(frozen=True, slots=True)
class Row:
    """Seats in the order in which they stand. Rows of low rank are the best."""

    name: str
    rank: int
    zone: str
    seats: Sequence[Seat]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a hall, such as the stalls."""

    id: str
    name: str
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Zone:
    """Seats of one price, and how the seat map shows them."""

    name: str
    color: str


@dataclass(frozen=True, slots=True)
class Layout:
    """All seats of a hall."""

    zones: Sequence[Zone]
    sections: Sequence[Section]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of what has a limit there is in some sections."""

    rows: int
    seats: int
    text_bytes: int  # names of rows, numbers of seats, and their zones

    @classmethod
    def of(cls, sections: Sequence[Section]) -> "Size":
        rows = [row for section in sections for row in section.rows]
        seats = [seat for row in rows for seat in row.seats]
        names = chain.from_iterable((row.name, row.zone) for row in rows)
        numbers = chain.from_iterable((seat.number, seat.zone) for seat in seats)
        text = "".join(chain(names, numbers))
        return cls(len(rows), len(seats), len(text.encode()))

    def __add__(self, other: "Size") -> "Size":
        return Size(
            self.rows + other.rows,
            self.seats + other.seats,
            self.text_bytes + other.text_bytes,
        )


@dataclass(frozen=True, slots=True)
class Rest:
    """What a hall has beside one section: the section must fit in."""

    zones: Collection[str]
    section_names: Collection[str]
    size: Size


def check_layout(layout: Layout) -> Size:
    """The size of a hall with this layout.

    Raises:
        InvalidLayout: naming each place that is wrong.
    """
    size = Size.of(layout.sections)
    _refuse(_in_layout(layout, size))
    return size


def check_section(section: Section, rest: Rest) -> Size:
    """The size of the hall with this section in it.

    Raises:
        TooManySections: the hall has no room for one more.
        InvalidLayout: naming each place that does not fit.
    """
    if len(rest.section_names) >= MAX_SECTIONS:
        raise TooManySections
    size = Size.of([section]) + rest.size
    _refuse(_in_section(section, rest, size))
    return size


def settle(given: Layout, current: Layout) -> Layout:
    """The given layout with ids: what is where it was keeps its own, all else gets new ones."""
    before = {section.name: section for section in current.sections}
    found = [settle_section(section, before.get(section.name)) for section in given.sections]
    return Layout(given.zones, found)


def settle_section(given: Section, current: Section | None) -> Section:
    """The given section with ids: seats keep theirs by row and number."""
    rows = current.rows if current else ()
    known = {(row.name, seat.number): seat.id for row in rows for seat in row.seats}
    return Section(
        current.id if current else new_id("sec"),
        given.name,
        [replace(row, seats=_settle_seats(row, known)) for row in given.rows],
    )


def _settle_seats(row: Row, known: Mapping[tuple[str, str], str]) -> list[Seat]:
    return [
        replace(seat, id=known.get((row.name, seat.number)) or new_id("seat")) for seat in row.seats
    ]


def _refuse(violations: Iterator[FieldViolation]) -> None:
    found = tuple(islice(violations, MAX_NAMED))
    if found:
        raise InvalidLayout(f"{found[0].field}: {found[0].description}", violations=found)


def _in_layout(layout: Layout, size: Size) -> Iterator[FieldViolation]:
    yield from _in_size("sections", size)
    yield from _in_names((zone.name for zone in layout.zones), "zones[{}].name", "hall")
    for index, zone in enumerate(layout.zones):
        if not _COLOR.fullmatch(zone.color):
            yield FieldViolation(f"zones[{index}].color", "must be written like #c0392b, or empty")
    yield from _in_names((section.name for section in layout.sections), "sections[{}].name", "hall")
    zones = {zone.name for zone in layout.zones}
    for index, section in enumerate(layout.sections):
        yield from _in_rows(section.rows, zones, f"sections[{index}].rows")


def _in_section(section: Section, rest: Rest, size: Size) -> Iterator[FieldViolation]:
    yield from _in_size("rows", size)
    if wrong := _in_name(section.name, rest.section_names, "hall"):
        yield FieldViolation("name", wrong)
    yield from _in_rows(section.rows, rest.zones, "rows")


def _in_size(place: str, size: Size) -> Iterator[FieldViolation]:
    if size.rows > MAX_ROWS:
        yield FieldViolation(place, f"would give the hall more than {MAX_ROWS:,} rows")
    if size.seats > MAX_SEATS:
        yield FieldViolation(place, f"would give the hall more than {MAX_SEATS:,} seats")
    if size.text_bytes > MAX_TEXT_BYTES:
        yield FieldViolation(place, "have too long names: let seats take the zone of their row")


def _in_rows(rows: Sequence[Row], zones: Collection[str], place: str) -> Iterator[FieldViolation]:
    yield from _in_names((row.name for row in rows), place + "[{}].name", "section")
    for index, row in enumerate(rows):
        if row.zone and row.zone not in zones:
            yield FieldViolation(f"{place}[{index}].zone", _UNKNOWN_ZONE)
        yield from _in_seats(row, zones, f"{place}[{index}].seats")


def _in_seats(row: Row, zones: Collection[str], place: str) -> Iterator[FieldViolation]:
    yield from _in_names((seat.number for seat in row.seats), place + "[{}].number", "row")
    for index, seat in enumerate(row.seats):
        if seat.zone:
            if seat.zone not in zones:
                yield FieldViolation(f"{place}[{index}].zone", _UNKNOWN_ZONE)
        elif not row.zone:
            yield FieldViolation(f"{place}[{index}].zone", "must be given: its row has none")
        for name, value in (("x", seat.x), ("y", seat.y)):
            if not isfinite(value):
                yield FieldViolation(f"{place}[{index}].{name}", "must be a finite number")


def _in_names(names: Iterable[str], place: str, parent: str) -> Iterator[FieldViolation]:
    """What is wrong with the names of siblings; `{}` in their place is which of them."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if wrong := _in_name(name, seen, parent):
            yield FieldViolation(place.format(index), wrong)
        seen.add(name)


def _in_name(name: str, others: Collection[str], parent: str) -> str:
    if not any(letter.isprintable() and not letter.isspace() for letter in name):
        return "must not be blank"
    if len(name) > MAX_NAME:
        return f"must be at most {MAX_NAME} characters"
    return f"is used twice in this {parent}" if name in others else ""
