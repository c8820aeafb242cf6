"""How invariants are asked of the databases: queries for what breaks them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from kit.database import service_url


@dataclass(frozen=True, slots=True)
class Check:
    """An invariant, by its number in the design, and a query for what breaks it."""

    invariant: str
    sentence: str
    broken: str  # SQL


async def ask(database_url: str, area: str, *queries: str) -> list[list[dict[str, Any]]]:
    """The rows that each query finds in one service's database."""
    engine = create_async_engine(service_url(database_url, area), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            found = [(await connection.execute(text(query))).mappings() for query in queries]
            return [[dict(row) for row in rows] for rows in found]
    finally:
        await engine.dispose()
