"""A payment_service's database without the service: only the books."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy import text

from kit.database import Database, ensure_database, service_url
from kit.migrations import upgrade
from kit.service import ROOT
from payment_service.ledger import store
from payment_service.ledger.domain import Transaction
from tests.support.invariants import broken_invariants


@dataclass(frozen=True, slots=True)
class Books:
    """A database of payment_service that nobody serves."""

    url: str
    database: Database

    async def execute(self, sql: str) -> None:
        async with self.database.begin() as tx:
            await tx.execute(text(sql))

    async def book(self, *booked: Transaction) -> set[str]:
        async with self.database.begin() as tx:
            return await store.book_all(tx, booked)

    async def sources(self) -> list[str]:
        async with self.database.begin() as tx:
            found = await tx.execute(text("SELECT source FROM ledger_transactions ORDER BY id"))
            return list(found.scalars())

    async def broken(self) -> list[str]:
        """What does not hold, which can only be about the ledger."""
        found = await broken_invariants(self.url, "payment")
        assert all(line.startswith("I8: ") for line in found), found
        return found


@asynccontextmanager
async def open_books(postgres_url: str) -> AsyncIterator[Books]:
    base = postgres_url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    url = service_url(base, "payment")
    await ensure_database(url)
    await upgrade(ROOT / "payment_service", url)
    database = Database(url, pool_size=5)
    yield Books(base, database)
    await database.close()
