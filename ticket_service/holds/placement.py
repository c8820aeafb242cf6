"""Taking stock for holds, and putting it back: what every transaction that moves stock shares.

These work in the caller's transaction. Rows are locked in the order that catalog/store.py gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from kit import clock
from kit.database import Transaction
from kit.errors import TesseraError
from kit.ids import new_id
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import EventNotFound
from ticket_service.holds import domain, store
from ticket_service.holds.domain import EventNotOnSale, Hold, HoldRequest, NewHold
from ticket_service.seating.seatings import Seatings
from ticket_service.stock import store as stock_store
from ticket_service.stock.domain import Freed
from ticket_service.venues.domain import BlockReason


@dataclass(frozen=True, slots=True)
class Asked:
    """What one customer asks for. The key is the Idempotency-Key, scoped by its caller.

    With a refusal there will be no hold, but there may be one from before, of the same key.
    """

    requests: tuple[HoldRequest, ...]
    key: str | None = None
    fingerprint: bytes = b""
    refusal: TesseraError | None = None


async def place(
    tx: Transaction,
    seatings: Seatings,
    event_id: str,
    asked: Sequence[Asked],
    lifetime: timedelta,
) -> list[Hold | TesseraError]:
    """Take tickets off sale and price them, first come first served; each hold all or none.

    A handful of statements, however many ask. What a request is refused with stands in its place:

        EventNotFound, EventNotOnSale: there is nothing to hold.
        or one of the errors of `domain.admit`.
    """
    ids = {request.ticket_type_id for ask in asked for request in ask.requests}
    shelf = await stock_store.lock_shelf(tx, event_id, ids)
    # Read after the lock: whoever changes the event's state takes the same lock first.
    event = await catalog_store.get_event(tx, event_id)
    if event is None:
        return [EventNotFound() for _ in asked]
    now = clock.now()
    if not domain.is_on_sale(event, now):
        return [EventNotOnSale() for _ in asked]
    is_seated = any(stock.is_seated for key in ids if (stock := shelf.stock(key)))
    seating = await seatings.lock(tx, event_id) if is_seated else None
    named = [(new_id("hold"), ask.requests) for ask in asked]
    decided = domain.admit(named, shelf, seating, now)
    made = [each for each in decided if isinstance(each, NewHold)]
    if not made:
        return [each for each in decided if isinstance(each, TesseraError)]
    await stock_store.save(tx, shelf)
    keys = {
        hold_id: (ask.key, ask.fingerprint)
        for (hold_id, _), ask in zip(named, asked, strict=True)
        if ask.key
    }
    holds = iter(await store.insert_holds(tx, event_id, event.currency_code, lifetime, made, keys))
    if seating is not None:
        await seatings.save(tx, seating)
    return [each if isinstance(each, TesseraError) else next(holds) for each in decided]


async def put_back(tx: Transaction, seatings: Seatings, freed: Freed) -> None:
    """Put tickets, and the seats that belong to them, back on sale."""
    if not freed.quantities:
        return
    shelf = await stock_store.lock_shelves(tx, freed.quantities)
    for ticket_type_id, quantity in freed.quantities.items():
        shelf.take(ticket_type_id, -quantity)
    await stock_store.save(tx, shelf)
    for event_id in sorted(freed.seat_ids):
        seating = await seatings.lock(tx, event_id)
        assert seating is not None, event_id
        seating.give_back(freed.seat_ids[event_id])
        await seatings.save(tx, seating)


async def withdraw(tx: Transaction, seatings: Seatings, freed: Freed, note: str) -> None:
    """Keep what was sold, and is no longer, off sale: the stock shrinks, seats are the house's."""
    if not freed.quantities:
        return
    shelf = await stock_store.lock_shelves(tx, freed.quantities)
    for ticket_type_id, quantity in freed.quantities.items():
        shelf.withdraw(ticket_type_id, quantity)
    await stock_store.save(tx, shelf)
    for event_id in sorted(freed.seat_ids):
        seating = await seatings.lock(tx, event_id)
        assert seating is not None, event_id
        seating.withdraw(freed.seat_ids[event_id], BlockReason.HOUSE, note)
        await seatings.save(tx, seating)
