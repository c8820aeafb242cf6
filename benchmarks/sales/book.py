"""What payment_service's database says about orders: when each was opened and paid."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.sales.stage import Stage
from kit.database import service_url

_SOLD = """
    SELECT customer_email, extract(epoch FROM created_at), extract(epoch FROM paid_at) FROM orders
    WHERE starts_with(customer_email, :prefix)
"""


@dataclass(frozen=True, slots=True)
class Sold:
    """An order; moments are in seconds since 1970."""

    email: str
    opened_at_s: float
    paid_at_s: float | None


class OrderBook:
    """Reads the orders, a statement at a time."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, stage: Stage) -> AsyncIterator[Self]:
        url = service_url(stage.database_url, "payment")
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                yield cls(connection)
        finally:
            await engine.dispose()

    async def sold(self, prefix: str) -> list[Sold]:
        """The orders of customers whose addresses begin so."""
        found = await self._connection.execute(text(_SOLD), {"prefix": prefix})
        return [
            Sold(email, float(opened), None if paid is None else float(paid))
            for email, opened, paid in found
        ]
