"""Who has the seats of an event, and which are the best that are left."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from kit.errors import FailedPrecondition, NotFound
from ticket_service.seating.plan import Bench, SeatPlan
from ticket_service.venues.domain import BlockReason

MAX_NAMED = 20  # of the seats that an error names: an error has to fit into a header

_NONE: Mapping[int, Any] = MappingProxyType({})


class SeatNotFound(NotFound):
    """The event has no such seat."""


class SeatTaken(FailedPrecondition):
    """Another customer has this seat, or it is not for sale; choose another."""


class NoAdjacentSeats(FailedPrecondition):
    """So many seats are not left together: choose seats, ask for fewer, or allow orphans."""


class SeatState(StrEnum):
    """Whether a seat can be had."""

    AVAILABLE = "AVAILABLE"
    HELD = "HELD"
    SOLD = "SOLD"
    BLOCKED = "BLOCKED"

    @property
    def letter(self) -> str:
        """What stands for it in a seat map's states."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class AssignedSeat:
    """One seat that a ticket or a hold names."""

    seat_id: str
    section: str
    row: str
    number: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a seat. No hold id: whoever has it keeps it."""

    before: SeatState
    state: SeatState
    hold_id: str | None = None
    reason: BlockReason | None = None
    note: str = ""


class Seating:
    """Who has an event's seats: a working copy, read at a version.

    Each change is whole or does not happen. `changes` says what differs from what was read, by
    position.
    """

    def __init__(
        self, plan: SeatPlan, version: int, letters: bytes, changes: Mapping[int, Change] = _NONE
    ) -> None:
        """`letters`: one per seat, in the order of the map; see `SeatState.letter`."""
        assert len(letters) == len(plan), plan.event_id
        self.plan = plan
        self.version = version
        self.changes = dict(changes)
        self._states = bytearray(letters)
        self._free = [
            sum(self._states.count(_AVAILABLE, start, stop) for start, stop in bench.stretches)
            for bench in plan.benches
        ]
        # The benches that were looked at in vain since they changed, by what was asked for.
        self._in_vain: defaultdict[tuple[int, bool], set[int]] = defaultdict(set)

    @property
    def event_id(self) -> str:
        return self.plan.event_id

    @property
    def letters(self) -> str:
        """One letter per seat, in the order of the map: see `SeatState.letter`."""
        return self._states.decode("ascii")

    def copy(self) -> "Seating":
        """Another working copy of the same seats; costs little more than a byte per seat."""
        return Seating(self.plan, self.version, bytes(self._states), self.changes)

    def at(self, version: int, states: Mapping[int, SeatState] = _NONE) -> "Seating":
        """What this is at a later version, in which some seats are known to have changed."""
        letters = self._states[:]
        for position, state in states.items():
            letters[position] = _LETTER[state]
        return Seating(self.plan, version, bytes(letters))

    def take(
        self, hold_id: str, ticket_type_id: str, seat_ids: Sequence[str]
    ) -> tuple[AssignedSeat, ...]:
        """Hold exactly these seats: all of them, or none.

        Raises:
            SeatNotFound: the event has no such seat, or sells it as another ticket type.
            SeatTaken: one of them is not available.
        """
        positions = [self._at(seat_id) for seat_id in seat_ids]
        for position in positions:
            if self.plan.bench_at(position).ticket_type_id != ticket_type_id:
                raise SeatNotFound(
                    "This seat is sold as another ticket type.",
                    metadata={"seat_id": self.plan.seat_ids[position]},
                )
        return self._hold(hold_id, positions)

    def take_best(
        self, hold_id: str, ticket_type_id: str, quantity: int, *, allow_orphans: bool
    ) -> tuple[AssignedSeat, ...]:
        """Hold the best seats that are together.

        They are in the best row that has so many beside each other, and leave no single seat alone
        there unless `allow_orphans`. Within the row they are where the least of it is spoilt for
        others who come in the same number, and then nearest to its middle.

        Raises:
            NoAdjacentSeats: no row has them.
        """
        in_vain = self._in_vain[quantity, allow_orphans]
        for bench in self.plan.best_first(ticket_type_id):
            if self._free[bench.index] >= quantity and bench.index not in in_vain:
                start = self._best_of(bench, quantity, allow_orphans)
                if start is not None:
                    return self._hold(hold_id, range(start, start + quantity))
                in_vain.add(bench.index)
        raise NoAdjacentSeats(metadata={"ticket_type_id": ticket_type_id})

    def give_back(self, seat_ids: Iterable[str]) -> None:
        """Make seats available that were held or sold."""
        for position in [self._at(seat_id) for seat_id in seat_ids]:
            assert self._states[position] in _OWNED, self.plan.seat_ids[position]
            self._set(position, SeatState.AVAILABLE)

    def sell(self, seat_ids: Iterable[str]) -> None:
        """Make held seats sold, to whoever holds them."""
        for position in [self._at(seat_id) for seat_id in seat_ids]:
            assert self._states[position] == _HELD, self.plan.seat_ids[position]
            change = self.changes.get(position)
            self._set(position, SeatState.SOLD, change.hold_id if change else None)

    def withdraw(self, seat_ids: Iterable[str], reason: BlockReason, note: str = "") -> None:
        """Block seats that were sold, and whose tickets are cancelled."""
        for position in [self._at(seat_id) for seat_id in seat_ids]:
            assert self._states[position] == _SOLD, self.plan.seat_ids[position]
            self._set(position, SeatState.BLOCKED, reason=reason, note=note)

    def block(self, seat_ids: Sequence[str], reason: BlockReason, note: str = "") -> Counter[str]:
        """Take seats off sale: all of them, or none. Those that are blocked get the new reason.

        Answers how many seats this takes from each ticket type.

        Raises:
            SeatNotFound, SeatTaken: somebody holds one of them, or has bought it.
        """
        positions = [self._at(seat_id) for seat_id in seat_ids]
        self._refuse(at for at in positions if self._states[at] in _OWNED)
        blocked: Counter[str] = Counter()
        for position in positions:
            if self._states[position] == _AVAILABLE:
                blocked[self.plan.bench_at(position).ticket_type_id] += 1
            self._set(position, SeatState.BLOCKED, reason=reason, note=note)
        return blocked

    def unblock(self, seat_ids: Sequence[str]) -> Counter[str]:
        """Put those of the seats on sale that are blocked.

        Answers how many seats this gives to each ticket type.

        Raises:
            SeatNotFound: the event has no such seat.
        """
        unblocked: Counter[str] = Counter()
        for position in [self._at(seat_id) for seat_id in seat_ids]:
            if self._states[position] == _BLOCKED:
                unblocked[self.plan.bench_at(position).ticket_type_id] += 1
                self._set(position, SeatState.AVAILABLE)
        return unblocked

    def _at(self, seat_id: str) -> int:
        try:
            return self.plan.positions[seat_id]
        except KeyError:
            raise SeatNotFound(metadata={"seat_id": seat_id}) from None

    def _seat(self, position: int) -> AssignedSeat:
        bench = self.plan.bench_at(position)
        seat_id, number = self.plan.seat_ids[position], self.plan.numbers[position]
        return AssignedSeat(seat_id, bench.section, bench.row, number)

    def _hold(self, hold_id: str, positions: Sequence[int]) -> tuple[AssignedSeat, ...]:
        self._refuse(at for at in positions if self._states[at] != _AVAILABLE)
        if len(set(positions)) < len(positions):  # once it is taken, it is taken
            raise SeatTaken
        for position in positions:
            self._set(position, SeatState.HELD, hold_id)
        return tuple(self._seat(position) for position in positions)

    def _refuse(self, taken: Iterator[int]) -> None:
        if seat_ids := [self.plan.seat_ids[position] for position in taken]:
            raise SeatTaken(metadata={"seat_ids": ",".join(seat_ids[:MAX_NAMED])})

    def _best_of(self, bench: Bench, quantity: int, allow_orphans: bool) -> int | None:
        """Where the best seats of a bench begin, if it has so many together."""
        found = []
        for start, stop in bench.stretches:
            for run in _runs(quantity).finditer(self._states, start, stop):
                begin, length = run.start(), run.end() - run.start()
                middle = bench.twice_middle - 2 * begin
                if place := _place(length, quantity, middle, allow_orphans):
                    *preference, offset = place
                    found.append((*preference, begin + offset))
        return min(found)[-1] if found else None

    def _set(
        self,
        position: int,
        state: SeatState,
        hold_id: str | None = None,
        reason: BlockReason | None = None,
        note: str = "",
    ) -> None:
        earlier = self.changes.get(position)
        now, then = _LETTER[state], self._states[position]
        before = earlier.before if earlier else _STATE[then]
        self._states[position] = now
        index = self.plan.bench_at(position).index
        self._free[index] += (now == _AVAILABLE) - (then == _AVAILABLE)
        for in_vain in self._in_vain.values():
            in_vain.discard(index)
        if state is before is SeatState.AVAILABLE:
            self.changes.pop(position, None)
        else:
            self.changes[position] = Change(before, state, hold_id, reason, note)


_LETTER = {state: ord(state.letter) for state in SeatState}
_STATE = {letter: state for state, letter in _LETTER.items()}
_AVAILABLE = _LETTER[SeatState.AVAILABLE]
_HELD = _LETTER[SeatState.HELD]
_BLOCKED = _LETTER[SeatState.BLOCKED]
_SOLD = _LETTER[SeatState.SOLD]
_OWNED = (_HELD, _SOLD)


@lru_cache(maxsize=256)
def _runs(length: int) -> re.Pattern[bytes]:
    """Finds where at least so many available seats are together."""
    return re.compile(rb"A{%d,}" % length)


@lru_cache(maxsize=65_536)
def _place(
    length: int, quantity: int, twice_middle: int, allow_orphans: bool
) -> tuple[int, int, int, int] | None:
    """How to place a group in a run of seats, and how good that is: less is better.

    Answers the waste, the orphans, twice the distance from the row's middle, and the offset in the
    run; None if every offset leaves an orphan. `twice_middle` is twice the middle's offset.
    """
    spare = length - quantity
    # What is wasted repeats itself every `quantity` seats: the best place is near the middle.
    nearest = min(max((twice_middle - quantity) // 2, 0), spare)
    reach = 2 * quantity + 1
    places = (
        (
            left % quantity + (spare - left) % quantity,
            (left == 1) + (spare - left == 1),
            abs(2 * left + quantity - twice_middle),
            left,
        )
        for left in range(max(nearest - reach, 0), min(nearest + reach, spare) + 1)
    )
    return min((place for place in places if allow_orphans or not place[1]), default=None)
