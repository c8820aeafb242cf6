"""Transactions, and what becomes of them when the database is not there."""

import pytest
from sqlalchemy import text

from kit.database import Database, DatabaseUnavailable, ensure_database, service_url
from tests.support.databases import close_database


async def test_a_database_that_lets_nobody_in_is_unavailable_whoever_notices_first(
    postgres_url: str,
) -> None:
    url = service_url(postgres_url, "kit")
    await ensure_database(url)
    database = Database(url)
    await _ask(database)
    await close_database(url)
    for _ in range(2):  # over a connection that was lost, and over a new one
        with pytest.raises(DatabaseUnavailable):
            await _ask(database)
    await close_database(url, closed=False)
    await _ask(database)
    await database.close()


async def _ask(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(text("SELECT 1"))
