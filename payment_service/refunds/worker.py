"""The workers that take refunds to their end: one for each line in which they wait."""

import asyncio
from datetime import timedelta

from kit import delivery
from kit.database import Database
from payment_service.payments.provider import PaymentProvider
from payment_service.refunds import operations, store
from payment_service.refunds.store import Line
from payment_service.tickets_client import TicketsClient

LEASE = timedelta(seconds=60)  # a call to Stripe that waits its turn and times out; after a crash
AT_ONCE = 8
SHORTEST_SLEEP_S = 0.05
LONGEST_SLEEP_S = 2.0


class Refunder:
    """Takes up a line's refunds that are due: some at once, so that a slow one delays no other."""

    def __init__(
        self,
        database: Database,
        provider: PaymentProvider,
        tickets: TicketsClient,
        line: Line,
    ) -> None:
        self._database = database
        self._provider = provider
        self._tickets = tickets
        self._line = line
        self._running: set[asyncio.Task[None]] = set()

    async def refund_due(self) -> None:
        """Start with the refunds that are due; then sleep until there may be more."""
        free = AT_ONCE - len(self._running)
        async with self._database.begin() as tx:
            claims = await store.claim_due(tx, self._line, free, LEASE)
            due_in_s = None if claims else await store.next_due_in_s(tx, self._line)
        for claim in claims:
            work = operations.refund_claimed(self._database, self._provider, self._tickets, claim)
            task = asyncio.create_task(work, name=f"refund {claim.refund_id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if len(self._running) == AT_ONCE:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        elif not claims:
            sleep_s = LONGEST_SLEEP_S if due_in_s is None else max(due_in_s, SHORTEST_SLEEP_S)
            await self._database.wait(self._line, min(sleep_s, LONGEST_SLEEP_S))

    async def stop(self) -> None:
        """Let what has begun come to an end."""
        await delivery.finish(self._running)
