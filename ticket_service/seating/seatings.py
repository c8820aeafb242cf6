"""Who has an event's seats, kept in memory: a batch of holds reads and writes only what changes.

The seat map's row has the version of the states. It is locked before the seats of an event change,
and tells what another replica changed since they were read; so memory is never believed blindly.
What a transaction changes is kept once it has committed, and never if it does not.
"""

from collections import OrderedDict
from functools import partial

from kit import telemetry
from kit.database import Transaction, on_commit
from kit.errors import Unavailable
from ticket_service.seating import store
from ticket_service.seating.domain import Seating
from ticket_service.seating.maps import SeatMap

MAX_SEATS = 250_000  # about 50 MB


class StaleSeating(Unavailable):
    """The seats are not what this replica remembers; it looks again: try again shortly."""


class Seatings:
    """The seats of the events that were used last."""

    def __init__(self, max_seats: int = MAX_SEATS) -> None:
        self._max_seats = max_seats
        self._kept: OrderedDict[str, Seating] = OrderedDict()

    async def lock(self, tx: Transaction, event_id: str) -> Seating | None:
        """A working copy of an event's seats, which nobody else changes until `tx` ends.

        None if the event has no seat map. Changes of the copy count once they are saved.
        """
        seat_map = await store.lock_seat_map(tx, event_id)
        if seat_map is None:
            return None
        kept = self._get(event_id)
        if kept is None or not _is_of(kept, seat_map) or kept.version != seat_map.version:
            kept = await self.read(tx, event_id)
        return kept.copy() if kept else None

    async def save(self, tx: Transaction, seating: Seating) -> None:
        """Store the changes of a seating that `lock` gave this transaction, as the next version.

        Raises:
            StaleSeating: they do not start from what the database has, which rolls back.
        """
        if not seating.changes:
            return
        event_id, version = seating.event_id, seating.version
        if not await store.save_changes(tx, event_id, version, seating.changes):
            self._kept.pop(event_id, None)
            telemetry.log.error("stale seats", event_id=event_id, version=version)
            raise StaleSeating
        seating.version += 1
        seating.changes.clear()
        on_commit(tx, partial(self._keep, seating.copy()))

    async def read(self, tx: Transaction, event_id: str) -> Seating | None:
        """An event's seats as they are now, to look at only; None if it has no seat map.

        From memory with what others have changed since, or else all of it.
        """
        kept = self._get(event_id)
        if kept is not None:
            found = await store.read_changes(tx, event_id, kept.version)
            if found is None:
                return None
            seat_map, states = found
            if _is_of(kept, seat_map):
                is_new = kept.version < seat_map.version
                seating = kept.at(seat_map.version, states) if is_new else kept
                on_commit(tx, partial(self._keep, seating))
                return seating
            self._kept.pop(event_id, None)
        everything = await store.read_seats(tx, event_id)
        if everything is None:
            return None
        seat_map, plan, letters = everything
        seating = Seating(plan, seat_map.version, letters)
        on_commit(tx, partial(self._keep, seating))
        return seating

    def _get(self, event_id: str) -> Seating | None:
        kept = self._kept.get(event_id)
        if kept is not None:
            self._kept.move_to_end(event_id)
        return kept

    def _keep(self, seating: Seating) -> None:
        """Keep what a transaction read or wrote, unless a later one was faster."""
        kept = self._kept.get(seating.event_id)
        if kept is None or _age(kept) < _age(seating):
            self._kept[seating.event_id] = seating
            self._kept.move_to_end(seating.event_id)
        while len(self._kept) > 1 and self._size() > self._max_seats:
            self._kept.popitem(last=False)

    def _size(self) -> int:
        return sum(len(seating.plan) for seating in self._kept.values())


def _is_of(seating: Seating, seat_map: SeatMap) -> bool:
    """Whether the seating is the map's, at this version of it or an earlier one."""
    same = seating.plan.created_at == seat_map.created_at
    return same and seating.version <= seat_map.version


def _age(seating: Seating) -> tuple[object, int]:
    return seating.plan.created_at, seating.version
