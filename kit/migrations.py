"""Runs a service's Alembic history; its `migrations/env.py` is one call of `run`."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit import telemetry

_LOCK = 7355608  # one migration at a time, whoever starts first
LOCK_TIMEOUT_MS = 3000
ATTEMPTS = 20  # while replicas of the version before are at work
PAUSE_S = 1.0
TURN_POLL_S = 0.1
_IN_THE_WAY = ("40P01", "55P03")  # a deadlock, a lock that was not to be had

_alembic = threading.Lock()  # and one in each process, since Alembic's context is global


def config(service: str, url: URL) -> Config:
    """Alembic's configuration for a service package."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(service) / "migrations"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["url"] = url
    return settings


async def upgrade(directory: Path, url: URL) -> None:
    """Bring a database to the newest version of the history in `directory`."""

    def migrate() -> None:
        with _alembic:
            command.upgrade(config(str(directory), url), "head")

    for attempt in range(1, ATTEMPTS + 1):
        try:
            await asyncio.to_thread(migrate)
        except DBAPIError as error:
            if attempt == ATTEMPTS or getattr(error.orig, "sqlstate", "") not in _IN_THE_WAY:
                raise
            telemetry.log.warning("migration waits for those at work", directory=directory.name)
            await asyncio.sleep(PAUSE_S)
        else:
            return


def run(metadata: MetaData) -> None:
    """What a `migrations/env.py` does."""
    asyncio.run(_run(context.config.attributes["url"], metadata))


async def _run(url: URL, metadata: MetaData) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await _take_turns(connection)
            await connection.run_sync(_migrate, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


async def _take_turns(connection: AsyncConnection) -> None:
    """Wait until no other replica migrates this database.

    Not in a statement: an index that is made concurrently would wait for it, in a circle.
    """
    lock = text("SELECT pg_try_advisory_lock(:lock)")
    while not (await connection.execute(lock, {"lock": _LOCK})).scalar_one():
        await connection.commit()
        await asyncio.sleep(TURN_POLL_S)
    # Whoever waits for a table keeps everybody behind it waiting: not for long.
    await connection.execute(text(f"SET lock_timeout = {LOCK_TIMEOUT_MS}"))
    await connection.commit()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    options: dict[str, Any] = {
        "compare_type": True,
        "compare_server_default": True,
        "transaction_per_migration": True,
    }
    context.configure(connection=connection, target_metadata=metadata, **options)
    with context.begin_transaction():
        context.run_migrations()
