"""Runs a service's Alembic history; its `migrations/env.py` is one call of `run`."""

import asyncio
import threading
from pathlib import Path
from typing import Any

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

_LOCK = 7355608  # one migration at a time, whoever starts first
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

    await asyncio.to_thread(migrate)


def run(metadata: MetaData) -> None:
    """What a `migrations/env.py` does."""
    asyncio.run(_run(context.config.attributes["url"], metadata))


async def _run(url: URL, metadata: MetaData) -> None:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _LOCK})
            await connection.commit()
            await connection.run_sync(_migrate, metadata)
            await connection.commit()
    finally:
        await engine.dispose()


def _migrate(connection: Connection, metadata: MetaData) -> None:
    options: dict[str, Any] = {"compare_type": True, "compare_server_default": True}
    context.configure(connection=connection, target_metadata=metadata, **options)
    with context.begin_transaction():
        context.run_migrations()
