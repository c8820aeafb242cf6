"""Making, releasing and expiring holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from kit import clock, idempotency
from kit.database import Database
from kit.ids import new_id
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import Event, EventNotFound, EventState, TicketTypeNotFound
from ticket_service.holds import domain, store
from ticket_service.holds.domain import Hold, HoldRequest, HoldState

LONGEST_SLEEP_S = 2.0
SHORTEST_SLEEP_S = 0.1


@dataclass(frozen=True, slots=True)
class HoldKey:
    """A request's Idempotency-Key, scoped by its caller, and what the request was."""

    key: str
    fingerprint: bytes


async def create_hold(
    database: Database,
    event_id: str,
    requests: Sequence[HoldRequest],
    lifetime: timedelta,
    key: HoldKey | None,
) -> Hold:
    """Take tickets off sale and price them: all, or none.

    Raises:
        EventNotFound, EventNotOnSale, TicketTypeNotFound: there is nothing to hold.
        TooManyTickets, SalesNotStarted, SalesEnded, SoldOut: see `domain.price`.
        IdempotencyKeyReused, IdempotencyKeyInUse: see `kit.idempotency`.
    """
    domain.check_distinct(requests)
    async with database.begin() as tx:
        if key is not None:
            await idempotency.lock(tx, key.key)
            if made := await store.find_by_key(tx, key.key):
                hold, fingerprint = made
                if fingerprint != key.fingerprint:
                    raise idempotency.IdempotencyKeyReused
                return replace(hold, state=HoldState.ACTIVE)  # as it was answered then
        stock = await store.lock_stock(tx, event_id, [r.ticket_type_id for r in requests])
        # Read after the lock: whoever changes the event's state takes the same lock first.
        event = await catalog_store.get_event(tx, event_id)
        if event is None:
            raise EventNotFound
        check_on_sale(event)
        if any(request.ticket_type_id not in stock for request in requests):
            raise TicketTypeNotFound
        items = domain.price(requests, stock, clock.now())
        await store.take_stock(tx, {item.ticket_type_id: item.quantity for item in items})
        return await store.insert_hold(
            tx,
            new_id("hold"),
            event_id,
            event.currency_code,
            items,
            lifetime,
            key.key if key else None,
            key.fingerprint if key else None,
        )


async def get_hold(database: Database, hold_id: str) -> Hold:
    """One hold, in whatever state."""
    async with database.begin() as tx:
        hold = await store.get_hold(tx, hold_id)
    if hold is None:
        raise domain.HoldNotFound
    return hold


async def get_hold_for_order(database: Database, hold_id: str) -> tuple[Hold, Event]:
    """One hold and the event it is for."""
    async with database.begin() as tx:
        hold = await store.get_hold(tx, hold_id)
        event = await catalog_store.get_event(tx, hold.event_id) if hold else None
    if hold is None or event is None:
        raise domain.HoldNotFound
    return hold, event


async def release_hold(database: Database, hold_id: str) -> Hold:
    """Put a hold's tickets back on sale. Releasing twice is the same as releasing once.

    Raises:
        HoldNotFound: no hold has this id.
        HoldConverted: the hold already became tickets.
    """
    async with database.begin() as tx:
        hold = await store.get_hold(tx, hold_id, lock=True)
        if hold is None:
            raise domain.HoldNotFound
        if domain.check_releasable(hold):
            await store.set_state(tx, hold_id, HoldState.RELEASED)
            await store.return_stock(tx, hold.quantities)
        return await store.get_hold(tx, hold_id) or hold


async def expire_holds(database: Database) -> float:
    """Put the stock of overdue holds back on sale; answers when to look again, in seconds."""
    async with database.begin() as tx:
        freed = await store.expire_due(tx)
        if freed:
            await store.return_stock(tx, freed)
        due_in_s = await store.next_due_in_s(tx)
    if due_in_s is None:
        return LONGEST_SLEEP_S
    return min(max(due_in_s, SHORTEST_SLEEP_S), LONGEST_SLEEP_S)


def check_on_sale(event: Event) -> None:
    """Raise EventNotOnSale unless the event is published and not over."""
    if event.state is not EventState.PUBLISHED or event.ends_at <= clock.now():
        raise domain.EventNotOnSale
