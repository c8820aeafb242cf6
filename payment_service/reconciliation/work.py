"""One reconciliation at work: its claim, what it finds, and how long it waits.

Everything it does can be done again, so a crash anywhere means that somebody begins anew. What is
merely missed is put right in the transaction that keeps the finding.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from kit.database import Database, Transaction
from payment_service.payments.provider import PaymentProvider
from payment_service.reconciliation import store
from payment_service.reconciliation.domain import (
    PASSING,
    Finding,
    FindingKind,
    Reconciliation,
    Totals,
)
from payment_service.reconciliation.store import Claim

LEASE = timedelta(minutes=5)  # a page, whose calls wait behind customers', and may time out
POLL_S = 0.1

Subject = TypeVar("Subject")


class Overtaken(Exception):
    """Somebody else has taken the reconciliation up: we were too slow."""


class Work:
    """What all comparisons of one reconciliation share."""

    def __init__(
        self,
        database: Database,
        provider: PaymentProvider,
        claim: Claim,
        patience_s: float,
        scanned_at_once: int,
    ) -> None:
        self.database = database
        self.provider = provider
        self.scanned_at_once = scanned_at_once
        self.totals = Totals()
        self._claim = claim
        self._patience_s = patience_s

    @property
    def run(self) -> Reconciliation:
        return self._claim.run

    async def proceed(self, examined: int = 0) -> None:
        """Keep the claim, and count what was examined.

        Raises:
            Overtaken: it is somebody else's by now.
        """
        async with self.database.begin() as tx:
            claim = await store.proceed(tx, self._claim, LEASE, examined)
        if claim is None:
            raise Overtaken
        self._claim = claim

    async def add(self, tx: Transaction, finding: Finding) -> None:
        """Keep a finding, if this transaction commits."""
        await store.add_finding(tx, self.run.id, finding)

    async def report(self, finding: Finding) -> None:
        """Keep a finding that a person must look at."""
        async with self.database.begin() as tx:
            await self.add(tx, finding)

    async def persisting(
        self, look: Callable[[], Awaitable[list[tuple[Subject, FindingKind]]]]
    ) -> list[tuple[Subject, FindingKind]]:
        """The differences that do not go away by themselves.

        A webhook may be on its way, and an order may just be settled: both get some time.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while True:
            found = await look()
            if loop.time() >= until or not any(kind in PASSING for _, kind in found):
                return found
            await asyncio.sleep(POLL_S)

    async def finish(self) -> None:
        """Say what the sums are, and that all was compared."""
        async with self.database.begin() as tx:
            for finding in self.totals.findings():
                await self.add(tx, finding)
            await store.finish(tx, self._claim, is_complete=True)

    async def abandon(self) -> None:
        """Say that it was not, and that nobody tries it any more."""
        detail = "It took too long, or failed again and again; choose shorter periods."
        async with self.database.begin() as tx:
            await self.add(tx, Finding(FindingKind.INCOMPLETE, self.run.id, detail))
            await store.finish(tx, self._claim, is_complete=False)

    async def give_up(self) -> None:
        """Let somebody else go on at once."""
        async with self.database.begin() as tx:
            await store.release(tx, self._claim)
