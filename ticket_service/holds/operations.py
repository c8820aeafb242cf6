"""Making, releasing and expiring holds."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from kit import idempotency
from kit.database import Database, Transaction
from kit.errors import TesseraError
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.operations import Listing
from ticket_service.holds import domain, placement, store
from ticket_service.holds.domain import Hold, HoldState
from ticket_service.holds.placement import Asked
from ticket_service.seating.seatings import Seatings
from ticket_service.waitlist.domain import WaitlistState
from ticket_service.waitlist.offers import Offers

LONGEST_SLEEP_S = 2.0
SHORTEST_SLEEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """The hold that a request got, now or when it came with the same key before."""

    hold: Hold
    is_new: bool


async def create_holds(
    database: Database,
    seatings: Seatings,
    event_id: str,
    asked: Sequence[Asked],
    lifetime: timedelta,
) -> list[Answer | Exception]:
    """Make the holds that customers of one event ask for, in one transaction.

    The row of a popular ticket type is locked once for all of them. What a request is refused with
    stands in its place:

        IdempotencyKeyReused, IdempotencyKeyInUse: see `kit.idempotency`.
        the refusal that it came with,
        or one of the errors of `placement.place`.
    """
    answers: dict[int, Answer | Exception] = {
        number: ask.refusal for number, ask in enumerate(asked) if ask.refusal
    }
    async with database.begin() as tx:
        answers.update(await _answered_before(tx, asked))
        waiting = [number for number in range(len(asked)) if number not in answers]
        placed = await placement.place(
            tx, seatings, event_id, [asked[number] for number in waiting], lifetime
        )
        for number, hold in zip(waiting, placed, strict=True):
            answers[number] = Answer(hold, is_new=True) if isinstance(hold, Hold) else hold
    return [answers[number] for number in range(len(asked))]


async def abandon_holds(database: Database, offers: Offers, answers: Sequence[Answer]) -> None:
    """Undo new holds whose callers gave up before they heard of them."""
    new = [answer.hold.id for answer in answers if answer.is_new]
    async with database.begin() as tx:
        await offers.put_back(tx, domain.freed(await store.abandon(tx, new)))


async def get_hold(database: Database, hold_id: str) -> Hold:
    """One hold, in whatever state."""
    async with database.read() as tx:
        hold = await store.get_hold(tx, hold_id)
    if hold is None:
        raise domain.HoldNotFound
    return hold


async def get_hold_for_order(database: Database, hold_id: str) -> tuple[Hold, Listing]:
    """One hold, and its event with the ticket types that are held."""
    async with database.read() as tx:
        hold = await store.get_hold(tx, hold_id)
        held = [item.ticket_type_id for item in hold.items] if hold else []
        found = await catalog_store.get_held(tx, hold.event_id, held) if hold else None
    if hold is None or found is None:
        raise domain.HoldNotFound
    return hold, Listing(*found)


async def release_holds(
    database: Database, offers: Offers, hold_ids: Sequence[str]
) -> list[Hold | Exception]:
    """Put the tickets of holds back on sale. Releasing twice is the same as releasing once.

    What a release is refused with stands in its place:

        HoldNotFound: no hold has this id.
        HoldConverted: the hold already became tickets.
    """
    async with database.begin() as tx:
        found = await store.lock_holds(tx, hold_ids)
        released = [hold for hold in found.values() if HoldState.RELEASED in hold.next_states]
        if released:
            ids = [hold.id for hold in released]
            await store.move(tx, ids, HoldState.RELEASED)
            await offers.put_back(tx, domain.freed(released))
            await offers.settle(tx, ids, WaitlistState.CANCELLED)
    now = found | {hold.id: replace(hold, state=HoldState.RELEASED) for hold in released}
    return [domain.released(now.get(hold_id)) for hold_id in hold_ids]


async def expire_holds(database: Database, offers: Offers) -> float:
    """Put the stock of overdue holds back on sale; answers when to look again, in seconds.

    Those of all events together; if that fails, event by event, so that one whose books are wrong
    keeps no other waiting.
    """
    try:
        expired, due_in_s = await _expire(database, offers)
    except TesseraError:
        raise
    except Exception:
        async with database.begin() as tx:
            event_ids = await store.find_due_events(tx)
        if len(event_ids) > 1:
            for event_id in event_ids:
                with suppress(Exception):
                    await _expire(database, offers, event_id)
        raise  # to be logged, and not to be tried again at once
    if expired == store.EXPIRY_BATCH:
        return 0
    if due_in_s is None:
        return LONGEST_SLEEP_S
    return min(max(due_in_s, SHORTEST_SLEEP_S), LONGEST_SLEEP_S)


async def _expire(
    database: Database, offers: Offers, event_id: str | None = None
) -> tuple[int, float | None]:
    """Expire a batch; answers how many that were, and in how many seconds the next is due."""
    async with database.begin() as tx:
        if expired := await store.expire_due(tx, event_id):
            ids = [hold.id for hold in expired]
            await offers.put_back(tx, domain.freed(expired))
            await offers.settle(tx, ids, WaitlistState.OFFER_EXPIRED)
        return len(expired), await store.next_due_in_s(tx)


async def _answered_before(
    tx: Transaction, asked: Sequence[Asked]
) -> dict[int, Answer | Exception]:
    """What requests get whose key was used before, or is in use."""
    keyed = {ask.key: number for number, ask in reversed(list(enumerate(asked))) if ask.key}
    if not keyed:
        return {}
    mine = await idempotency.lock(tx, list(keyed))
    found = await store.claim_by_keys(tx, keyed)
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
