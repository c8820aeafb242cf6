"""Asking for reconciliations, and running them: one at a time, every night, by whoever is free."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kit import paging, telemetry
from kit.clock import now
from kit.database import Database
from kit.idempotency import Once
from kit.ids import new_id
from payment_service.payments.pacer import Lane, in_lane
from payment_service.payments.provider import PaymentProvider
from payment_service.reconciliation import domain, store
from payment_service.reconciliation.books import compare_books, compare_debts
from payment_service.reconciliation.domain import Finding, Reconciliation
from payment_service.reconciliation.listings import (
    compare_disputes,
    compare_payments,
    compare_refunds,
)
from payment_service.reconciliation.movements import compare_movements
from payment_service.reconciliation.work import LEASE, Overtaken, Work

POLL_S = 30.0
PATIENCE_S = 10.0  # for webhooks that are on their way
MAX_FINDINGS_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """A reconciliation and what it found."""

    run: Reconciliation
    findings: Sequence[Finding] = ()


async def create_reconciliation(
    database: Database, start: datetime | None, end: datetime | None, once: Once[Result]
) -> Result:
    """Have a period compared: by default, the last three days.

    Raises:
        InvalidPeriod: it cannot be compared.
        ReconciliationRunning: another one is running.
    """
    until = end or now()
    since = start or until - domain.USUAL_PERIOD
    domain.check_period(since, until, now())
    key = new_id("rec")
    async with database.begin() as tx:
        await once.claim(tx)
        if not await store.insert(tx, key, since, until):
            raise domain.ReconciliationRunning
        made = await store.get(tx, key)
        assert made, "it was stored a moment ago"
        return await once.record(tx, Result(made))


async def get_reconciliation(database: Database, key: str) -> Result:
    """A reconciliation and what it found: first what a person must look at.

    Raises:
        ReconciliationNotFound: there is none.
    """
    async with database.begin() as tx:
        found = await store.get(tx, key)
        if found is None:
            raise domain.ReconciliationNotFound
        return Result(found, await store.findings(tx, key, MAX_FINDINGS_SHOWN))


async def list_reconciliations(
    database: Database, *, page_size: int, page_token: str
) -> tuple[Sequence[Reconciliation], str]:
    """A page of reconciliations, newest first, and the next page's token."""
    size, question = paging.page_size(page_size), "reconciliations"
    async with database.begin() as tx:
        before = paging.decode(page_token, question, 1)
        found = await store.list_all(tx, before=before, limit=size + 1)
    return paging.cut(found, size, question, lambda run: (run.id,))


class Reconciler:
    """Runs what was asked for, and what is due every night."""

    def __init__(
        self,
        database: Database,
        provider: PaymentProvider,
        patience_s: float = PATIENCE_S,
        scanned_at_once: int = store.SCANNED_AT_ONCE,
    ) -> None:
        self._database = database
        self._provider = provider
        self._patience_s = patience_s
        self._scanned_at_once = scanned_at_once

    async def run_due(self) -> None:
        """Run what nobody works on; then sleep until there may be more."""
        await self.schedule()
        async with self._database.begin() as tx:
            claim = await store.claim(tx, LEASE)
        if claim is None:
            await self._database.wait(store.DUE, POLL_S)
            return
        work = Work(self._database, self._provider, claim, self._patience_s, self._scanned_at_once)
        try:
            with in_lane(Lane.BACKGROUND):
                await _compare(work)
        except Overtaken:
            telemetry.log.warning("reconciliation overtaken", reconciliation_id=work.run.id)
        except BaseException:  # a stop, too: whoever is next goes on at once
            await asyncio.shield(work.give_up())
            raise

    async def schedule(self) -> None:
        """Have the night's period compared, once by all replicas."""
        async with self._database.begin() as tx:
            start, end = domain.nightly_period(now(), await store.compared_until(tx))
            if not await store.is_known(tx, end):
                await store.insert(tx, new_id("rec"), start, end)
                await store.forget_old(tx)


async def _compare(work: Work) -> None:
    if now() - work.run.created_at > domain.LONGEST_RUN:
        await work.abandon()
        return
    await compare_books(work)
    await compare_payments(work)
    await compare_refunds(work)
    await compare_disputes(work)
    await compare_movements(work)
    await compare_debts(work)
    await work.finish()
