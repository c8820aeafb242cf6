"""Transactions, and what becomes of them when the database is not there."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

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


async def test_a_statement_by_itself_is_a_transaction(postgres_url: str) -> None:
    url = service_url(postgres_url, "kit")
    await ensure_database(url)
    database = Database(url, pool_size=1)
    assert await database.execute(text("CREATE TABLE seen (name text PRIMARY KEY)")) == []
    add = text("INSERT INTO seen VALUES (:name) RETURNING name")
    assert await database.execute(add, {"name": "Ada"}) == [("Ada",)]
    with pytest.raises(IntegrityError):
        await database.execute(add, {"name": "Ada"})
    async with database.begin() as tx:  # over the same connection
        await tx.execute(add, {"name": "Grace"})
        await tx.rollback()
    assert await database.execute(text("SELECT name FROM seen")) == [("Ada",)]
    await database.close()


async def test_statements_that_only_look_begin_no_transaction(postgres_url: str) -> None:
    url = service_url(postgres_url, "kit")
    await ensure_database(url)
    database = Database(url, pool_size=1)
    now = text("SELECT now()")  # when the transaction began
    async with database.read() as each:
        moments = {(await each.execute(now)).scalar_one() for _ in range(2)}
    assert len(moments) == 2
    async with database.begin() as tx:  # over the same connection
        moments = {(await tx.execute(now)).scalar_one() for _ in range(2)}
    assert len(moments) == 1
    await database.close()


async def _ask(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(text("SELECT 1"))
