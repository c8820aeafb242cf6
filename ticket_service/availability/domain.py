"""What can be had of an event, and what is said when it changes."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime

from kit.errors import ResourceExhausted
from ticket_service.catalog.domain import EventState

MAX_CHANGED_SEATS = 500  # in one message: who missed more than that asks for all states at once


class TooManyWatchers(ResourceExhausted):
    """Too many people watch events right now; try again later."""


class TooSlow(ResourceExhausted):
    """You read too slowly, and have missed changes; watch again."""


@dataclass(frozen=True, slots=True)
class SeatStates:
    """Which states of which seats: each seat map, known by when it was made, counts its own."""

    seated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class Availability:
    """What can be had of an event at one moment."""

    event_id: str
    organizer_id: str
    event_state: EventState
    remaining: Mapping[str, int]  # by ticket type: the least of what applies
    seats: SeatStates | None  # None without a seat map
    hidden: AbstractSet[str] = frozenset()  # ticket types that the public does not know of


@dataclass(frozen=True, slots=True)
class SeatChange:
    """A seat's new state, as a letter; see the contract's SeatChange."""

    position: int
    letter: str


@dataclass(frozen=True, slots=True)
class SeatChanges:
    """What became of seats, up to a version; of no use if there are too many to tell."""

    until: SeatStates
    changed: tuple[SeatChange, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """What a watcher is told: all that can be had, and which seats changed since a version."""

    now: Availability
    previous_seats_version: int
    changed_seats: tuple[SeatChange, ...] = ()

    @property
    def seats_version(self) -> int:
        """0 without a seat map."""
        return self.now.seats.version if self.now.seats else 0


def first(now: Availability) -> Update:
    """What who just came is told. It changes no seats: their states are asked for elsewhere."""
    return Update(now, now.seats.version if now.seats else 0)


def for_public(now: Availability) -> Availability:
    """The same without what is hidden."""
    if not now.hidden:
        return now
    shown = {key: left for key, left in now.remaining.items() if key not in now.hidden}
    return replace(now, remaining=shown, hidden=frozenset())


def moved(before: Availability | None, now: Availability) -> SeatStates | None:
    """The states since which seats of the same map have changed, if they have."""
    if not before or not before.seats or not now.seats:
        return None
    same_map = before.seats.seated_at == now.seats.seated_at
    return before.seats if same_map and before.seats.version < now.seats.version else None


def update(
    before: Availability | None, now: Availability, changes: SeatChanges | None = None
) -> Update:
    """What who knows `before` is told; `changes` are those of seats that have `moved`."""
    since = moved(before, now)
    if since is None:
        unchanged = before is None or before.seats == now.seats
        return first(now) if unchanged else Update(now, 0)  # seated anew
    if changes is None:  # seated anew a moment ago: the next look will tell
        return Update(replace(now, seats=since), since.version)
    now = replace(now, seats=changes.until)
    if len(changes.changed) > MAX_CHANGED_SEATS:
        return first(now)
    return Update(now, since.version, changes.changed)
