"""Making, releasing and expiring holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from kit import clock, idempotency
from kit.database import Database, Transaction
from kit.errors import TesseraError
from kit.ids import new_id
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import Event, EventNotFound, EventState
from ticket_service.holds import domain, store
from ticket_service.holds.domain import Hold, HoldRequest, HoldState, NewHold

LONGEST_SLEEP_S = 2.0
SHORTEST_SLEEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What one customer asks for. The key is the Idempotency-Key, scoped by its caller."""

    requests: tuple[HoldRequest, ...]
    key: str | None = None
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The hold that a request got, now or when it came with the same key before."""

    hold: Hold
    is_new: bool


async def create_holds(
    database: Database, event_id: str, asked: Sequence[Asked], lifetime: timedelta
) -> list[Answer | Exception]:
    """Take tickets off sale and price them, first come first served; each hold all or none.

    One transaction with a handful of statements, however many ask: the row of a popular ticket type
    is locked once for all of them. What a request is refused with stands in its place:

        EventNotFound, EventNotOnSale: there is nothing to hold.
        IdempotencyKeyReused, IdempotencyKeyInUse: see `kit.idempotency`.
        or one of the errors of `domain.price`.
    """
    answers: dict[int, Answer | Exception] = {}
    async with database.begin() as tx:
        answers.update(await _answered_before(tx, asked))
        waiting = [number for number in range(len(asked)) if number not in answers]
        ids = {r.ticket_type_id for number in waiting for r in asked[number].requests}
        stock = await store.lock_stock(tx, event_id, list(ids))
        # Read after the lock: whoever changes the event's state takes the same lock first.
        event = await catalog_store.get_event(tx, event_id)
        refusal = _refusal(event)
        if event is None or refusal is not None:
            answers.update(dict.fromkeys(waiting, refusal or EventNotFound()))
        else:
            orders = [asked[number].requests for number in waiting]
            decided = domain.admit(orders, stock, clock.now())
            made = []
            for number, items in zip(waiting, decided, strict=True):
                if isinstance(items, TesseraError):
                    answers[number] = items
                else:
                    ask = asked[number]
                    hold = NewHold(new_id("hold"), items, ask.key, ask.fingerprint)
                    made.append((number, hold))
            answers.update(await _store(tx, made, event, lifetime))
    return [answers[number] for number in range(len(asked))]


async def abandon_holds(database: Database, answers: Sequence[Answer]) -> None:
    """Undo new holds whose callers gave up before they heard of them."""
    new = [answer.hold.id for answer in answers if answer.is_new]
    async with database.begin() as tx:
        if freed := await store.release_all(tx, new):
            await store.return_stock(tx, freed)


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


def _refusal(event: Event | None) -> TesseraError | None:
    if event is None:
        return EventNotFound()
    try:
        check_on_sale(event)
    except domain.EventNotOnSale as refusal:
        return refusal
    return None


async def _answered_before(
    tx: Transaction, asked: Sequence[Asked]
) -> dict[int, Answer | Exception]:
    """What requests get whose key was used before, or is in use."""
    keyed = {ask.key: number for number, ask in reversed(list(enumerate(asked))) if ask.key}
    if not keyed:
        return {}
    mine = await idempotency.lock(tx, list(keyed))
    found = await store.find_by_keys(tx, keyed)
    answers: dict[int, Answer | Exception] = {}
    for number, ask in enumerate(asked):
        if ask.key is None:
            continue
        if ask.key in found:
            hold, fingerprint = found[ask.key]
            as_it_was = replace(hold, state=HoldState.ACTIVE)
            is_same = fingerprint == ask.fingerprint
            answers[number] = (
                Answer(as_it_was, is_new=False) if is_same else idempotency.IdempotencyKeyReused()
            )
        elif ask.key not in mine or keyed[ask.key] != number:
            answers[number] = idempotency.IdempotencyKeyInUse()
    return answers


async def _store(
    tx: Transaction, made: Sequence[tuple[int, NewHold]], event: Event, lifetime: timedelta
) -> dict[int, Answer | Exception]:
    if not made:
        return {}
    taken: Counter[str] = Counter()
    for _, hold in made:
        taken.update({item.ticket_type_id: item.quantity for item in hold.items})
    await store.take_stock(tx, taken)
    new = [hold for _, hold in made]
    holds = await store.insert_holds(tx, new, event.id, event.currency_code, lifetime)
    return {
        number: Answer(hold, is_new=True) for (number, _), hold in zip(made, holds, strict=True)
    }
