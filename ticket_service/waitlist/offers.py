"""Offering what returns to sale to those who wait for it, before the public sees it."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import groupby
from operator import attrgetter

from tessera.ticket.v1 import messages_pb2

from kit import outbox
from kit.clock import to_timestamp
from kit.database import Transaction
from ticket_service.holds import placement
from ticket_service.holds.domain import Hold, HoldRequest
from ticket_service.holds.placement import Asked
from ticket_service.seating.seatings import Seatings
from ticket_service.stock import store as stock_store
from ticket_service.stock.domain import Freed
from ticket_service.waitlist import store
from ticket_service.waitlist.domain import Offer, WaitlistEntry, WaitlistState


class Offers:
    """The one way by which stock returns to sale. An offer is a hold that lives for `lifetime`.

    These work in the transaction that frees the stock. First come, first served, for each ticket
    type: an entry for more tickets than there are keeps its place, and the next that fits is
    served.
    """

    def __init__(self, seatings: Seatings, lifetime: timedelta) -> None:
        self._seatings = seatings
        self._lifetime = lifetime

    async def put_back(self, tx: Transaction, freed: Freed) -> None:
        """Put tickets and seats back on sale, those that wait for them first."""
        if not freed.quantities:
            return
        # A quota that has room again is room for all ticket types that share it.
        grown = await store.find_tied(tx, freed.quantities)
        await stock_store.lock_shelves(tx, grown)
        # Asked again, since the locks may have been waited for: who changes quotas has them too.
        grown |= await store.find_tied(tx, freed.quantities)
        await placement.put_back(tx, self._seatings, freed)
        await self.offer(tx, grown)

    async def offer(self, tx: Transaction, ticket_type_ids: Collection[str]) -> None:
        """Offer what can be had of these ticket types, of which there may be more than before.

        Their rows are locked, and were before those of quotas and seat maps: otherwise somebody
        could join the line unseen, or two transactions wait for each other.
        """
        lines = await store.find_lines(tx, ticket_type_ids)
        if not lines:
            return
        shelf = await stock_store.lock_shelves(tx, lines)
        waiting = await store.next_in_line(tx, {line: shelf.left(line) for line in lines})
        by_event = sorted(waiting, key=attrgetter("event_id"))  # stable: in line as before
        made: list[tuple[WaitlistEntry, Hold]] = []
        for event_id, entries in groupby(by_event, key=attrgetter("event_id")):
            made += await self._place(tx, event_id, list(entries))
        if made:
            await store.offer(
                tx, [Offer(entry.id, hold.id, hold.expires_at) for entry, hold in made]
            )
            await outbox.add_all(tx, [_announcement(entry, hold) for entry, hold in made])

    async def settle(
        self, tx: Transaction, hold_ids: Collection[str], state: WaitlistState
    ) -> None:
        """Tell the entries that these locked holds were offered to what became of them.

        `state` is CONVERTED, OFFER_EXPIRED or CANCELLED. Holds that were no offers are none of it.
        """
        if hold_ids:
            await store.settle(tx, hold_ids, state)

    async def _place(
        self, tx: Transaction, event_id: str, entries: Sequence[WaitlistEntry]
    ) -> list[tuple[WaitlistEntry, Hold]]:
        """Holds for those of an event's entries that fit, in the order given."""
        asked = [
            Asked((HoldRequest(entry.ticket_type_id, entry.quantity, allow_orphans=True),))
            for entry in entries
        ]
        answers = await placement.place(tx, self._seatings, event_id, asked, self._lifetime)
        return [
            (entry, answer)
            for entry, answer in zip(entries, answers, strict=True)
            if isinstance(answer, Hold)
        ]


def _announcement(entry: WaitlistEntry, hold: Hold) -> messages_pb2.WaitlistEntryOffered:
    return messages_pb2.WaitlistEntryOffered(
        waitlist_entry_id=entry.id,
        event_id=entry.event_id,
        organizer_id=entry.organizer_id,
        hold_id=hold.id,
        expires_at=to_timestamp(hold.expires_at),
    )
