"""Seat maps as they are shown, kept in memory: a large one costs more to draw than to check."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from kit.database import Transaction
from ticket_service.seating import store
from ticket_service.seating.maps import Drawing

MAX_SEATS = 100_000  # about 30 MB

Picture = TypeVar("Picture")


@dataclass(frozen=True, slots=True)
class _Kept(Generic[Picture]):
    created_at: datetime
    seats: int
    picture: Picture


class Drawings(Generic[Picture]):
    """The seat maps that were looked at last, rendered."""

    def __init__(self, render: Callable[[Drawing], Picture], max_seats: int = MAX_SEATS) -> None:
        self._render = render
        self._max_seats = max_seats
        self._kept: OrderedDict[str, _Kept[Picture]] = OrderedDict()

    async def get(self, tx: Transaction, event_id: str) -> Picture | None:
        """An event's seat map, which `tx` has not changed; None if it has none."""
        seat_map = await store.get_seat_map(tx, event_id)
        if seat_map is None:
            self._kept.pop(event_id, None)
            return None
        kept = self._kept.get(event_id)
        if kept is None or kept.created_at != seat_map.created_at:
            drawing = await store.draw(tx, event_id)
            if drawing is None:
                return None
            created_at = drawing.seat_map.created_at
            kept = _Kept(created_at, len(drawing.seats), self._render(drawing))
            self._kept[event_id] = kept
        self._kept.move_to_end(event_id)
        while len(self._kept) > 1 and sum(k.seats for k in self._kept.values()) > self._max_seats:
            self._kept.popitem(last=False)
        return kept.picture
