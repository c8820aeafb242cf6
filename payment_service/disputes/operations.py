"""Finding disputes, and having the tickets follow them."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from kit import delivery, paging, telemetry
from kit.auth import Caller
from kit.database import Database, DatabaseUnavailable
from kit.errors import TesseraError
from payment_service.disputes import domain, store
from payment_service.disputes.domain import Dispute, Fate
from payment_service.disputes.store import Claim
from payment_service.orders import store as orders
from payment_service.orders.domain import Order, OrderState
from payment_service.refunds import opening
from payment_service.tickets_client import TicketsClient

LEASE = timedelta(seconds=30)
AT_ONCE = 4
LONGEST_SLEEP_S = 2.0
SHORTEST_SLEEP_S = 0.05
LONGEST_DELAY_S = 60
MAX_STEPS = 5  # an order's disputes change less often than that in half a minute


async def get_dispute(database: Database, caller: Caller, dispute_id: str) -> Dispute:
    """One dispute.

    Raises:
        DisputeNotFound: there is none, or it is somebody else's.
    """
    async with database.begin() as tx:
        dispute = await store.get_dispute(tx, dispute_id)
    if dispute is None or not caller.works_for(dispute.organizer_id):
        raise domain.DisputeNotFound
    return dispute


async def list_disputes(
    database: Database,
    organizer_id: str,
    *,
    event_id: str,
    order_id: str,
    state: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Dispute], str]:
    """A page of an organizer's disputes, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{event_id}|{order_id}|{state}"
    async with database.begin() as tx:
        found = await store.list_disputes(
            tx,
            organizer_id=organizer_id,
            event_id=event_id,
            order_id=order_id,
            state=state,
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda dispute: (dispute.id,))


class Follower:
    """Has ticket_service block, admit or cancel the tickets of disputed orders."""

    def __init__(self, database: Database, tickets: TicketsClient) -> None:
        self._database = database
        self._tickets = tickets
        self._running: set[asyncio.Task[None]] = set()

    async def follow_due(self) -> None:
        """Start with the disputes that are due; then sleep until there may be more."""
        free = AT_ONCE - len(self._running)
        async with self._database.begin() as tx:
            claims = await store.claim_due(tx, free, LEASE)
            due_in_s = None if claims else await store.next_due_in_s(tx)
        for claim in claims:
            work = follow_claimed(self._database, self._tickets, claim)
            task = asyncio.create_task(work, name=f"follow {claim.dispute_id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if len(self._running) == AT_ONCE:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        elif not claims:
            sleep_s = LONGEST_SLEEP_S if due_in_s is None else max(due_in_s, SHORTEST_SLEEP_S)
            await self._database.wait(store.DUE, min(sleep_s, LONGEST_SLEEP_S))

    async def stop(self) -> None:
        """Let what has begun come to an end."""
        await delivery.finish(self._running)


async def follow_claimed(database: Database, tickets: TicketsClient, claim: Claim) -> None:
    """Have an order's tickets follow its disputes; if that fails, try again later."""
    try:
        if await _follow(database, tickets, claim):
            return
    except Exception as error:  # one dispute's trouble is not another's
        if isinstance(error, TesseraError):
            telemetry.log.warning(
                "tickets do not follow yet", dispute_id=claim.dispute_id, why=error.reason
            )
        else:
            telemetry.log.exception("tickets do not follow", dispute_id=claim.dispute_id)
    delay = timedelta(seconds=min(0.2 * 2 ** min(claim.attempts, 20), LONGEST_DELAY_S))
    with suppress(DatabaseUnavailable):  # then the lease runs out
        async with database.begin() as tx:
            await store.postpone(tx, claim, delay)


async def _follow(database: Database, tickets: TicketsClient, claim: Claim) -> bool:
    """Act until the tickets are where the disputes want them; False: there are none yet.

    It looks again after it acted: a dispute may have changed, and whoever heard of that may have
    been faster.
    """
    done = None
    for _ in range(MAX_STEPS):
        async with database.begin() as tx:
            order = await orders.get_order(tx, claim.order_id)
            assert order is not None, "orders are never deleted"
            fate = domain.fate(order.state, await store.states_about(tx, order.payment_id))
            if fate is done or fate is Fate.NOTHING:
                await store.followed(tx, claim, fate)
                return True
        if fate is Fate.WAIT:
            return False
        await _act(database, tickets, order, fate)
        done = fate
    return False


async def _act(database: Database, tickets: TicketsClient, order: Order, fate: Fate) -> None:
    if fate is not Fate.CANCEL:
        await tickets.block(order.id, is_blocked=fate is Fate.BLOCK)
        return
    async with database.begin() as tx:  # it may have been paid after the dispute was lost
        locked = await orders.get_order(tx, order.id, lock=True)
        if locked and locked.state is OrderState.PAID:
            await opening.cancel_order(tx, locked, "DISPUTE_LOST")
    await tickets.cancel(order)
