"""Where an event's seats are: which rows they make, and who sits beside whom. Pure, as a domain."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count, groupby
from operator import attrgetter


@dataclass(frozen=True, slots=True)
class PlannedSeat:
    """A seat of an event's map. Rows of a lower rank are better."""

    seat_id: str
    section: str
    row: str
    number: str
    rank: int
    aisle: bool  # the next seat of the row is across an aisle
    ticket_type_id: str


@dataclass(frozen=True, slots=True)
class Bench:
    """The seats of one ticket type in a row, by their positions in the map.

    `stretches` are where they stand together: from a position up to another, which is not part of
    it. Neither an aisle nor a seat of another ticket type is in between.
    """

    index: int  # of the bench in its plan
    section: str
    row: str
    ticket_type_id: str
    stretches: tuple[tuple[int, int], ...]
    twice_middle: int  # of the whole row, whoever's its seats are


class SeatPlan:
    """Where the seats of one event are: shared by all its seatings, and never changed."""

    def __init__(self, event_id: str, created_at: datetime, seats: Sequence[PlannedSeat]) -> None:
        """`seats` in the order of the map; `created_at` tells apart what replaced each other."""
        self.event_id = event_id
        self.created_at = created_at
        self.benches = tuple(_benches(seats))
        self.seat_ids = tuple(seat.seat_id for seat in seats)
        self.numbers = tuple(seat.number for seat in seats)
        self.positions = {seat_id: position for position, seat_id in enumerate(self.seat_ids)}
        self._bench_at = [self.benches[0]] * len(seats)
        for bench in self.benches:
            for start, stop in bench.stretches:
                self._bench_at[start:stop] = [bench] * (stop - start)
        best_first: dict[str, list[Bench]] = {}
        # Sorted by rank alone: what ranks alike stays in the order of the map.
        for bench in sorted(self.benches, key=lambda each: seats[each.stretches[0][0]].rank):
            best_first.setdefault(bench.ticket_type_id, []).append(bench)
        self._best_first = {key: tuple(benches) for key, benches in best_first.items()}

    def __len__(self) -> int:
        """How many seats there are."""
        return len(self.seat_ids)

    def bench_at(self, position: int) -> Bench:
        """The bench that a seat is on."""
        return self._bench_at[position]

    def best_first(self, ticket_type_id: str) -> Sequence[Bench]:
        """The benches of a ticket type, by ascending rank and then in the map's order."""
        return self._best_first.get(ticket_type_id, ())


def _benches(seats: Sequence[PlannedSeat]) -> Iterator[Bench]:
    index = count()
    start = 0
    for (section, row), group in groupby(seats, key=attrgetter("section", "row")):
        stop = start + len(list(group))
        for ticket_type_id, stretches in _stretches(seats, start, stop).items():
            yield Bench(next(index), section, row, ticket_type_id, tuple(stretches), start + stop)
        start = stop


def _stretches(
    seats: Sequence[PlannedSeat], start: int, stop: int
) -> dict[str, list[tuple[int, int]]]:
    """Where the seats of each ticket type stand together in a row."""
    found: dict[str, list[tuple[int, int]]] = {}
    begin = start
    for position in range(start, stop):
        seat, end = seats[position], position + 1
        if end == stop or seat.aisle or seats[end].ticket_type_id != seat.ticket_type_id:
            found.setdefault(seat.ticket_type_id, []).append((begin, end))
            begin = end
    return found
