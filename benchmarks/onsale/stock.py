"""What ticket_service's database says about stock: the truth that answers are compared with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.mesh import Mesh
from kit.database import service_url

_ALL_COUNTS = """
    SELECT types.total_stock AS total, types.remaining,
        (SELECT coalesce(sum(items.quantity), 0) FROM hold_items items
         JOIN holds ON holds.id = items.hold_id
         WHERE items.ticket_type_id = types.id AND holds.state = 'ACTIVE') AS held,
        (SELECT coalesce(sum(items.quantity), 0) FROM hold_items items
         JOIN holds ON holds.id = items.hold_id
         WHERE items.ticket_type_id = types.id AND holds.state = 'RELEASED') AS released,
        (SELECT count(*) FROM tickets
         WHERE tickets.ticket_type_id = types.id AND tickets.state = 'ISSUED') AS issued
    FROM ticket_types types
"""
_COUNTS = f"{_ALL_COUNTS} WHERE types.id = :ticket_type_id"
_OVERSOLD = f"""
    SELECT coalesce(sum(greatest(held + issued - total, 0)), 0) FROM ({_ALL_COUNTS}) AS counts
"""
_REMAINING = """
    SELECT extract(epoch FROM clock_timestamp()), remaining FROM ticket_types
    WHERE id = :ticket_type_id
"""
_DEADLINES = """
    SELECT extract(epoch FROM expires_at) FROM holds
    WHERE event_id = :event_id AND state IN ('ACTIVE', 'EXPIRED') ORDER BY expires_at
"""
_MADE = """
    SELECT count(*) FROM holds WHERE event_id = :event_id
    AND created_at > to_timestamp(:after) AND created_at <= to_timestamp(:until)
"""
_TAKEN_TWICE = """
    SELECT count(*) FROM (
        SELECT seat_id FROM hold_items items JOIN holds ON holds.id = items.hold_id,
        unnest(items.seat_ids) AS seat_id
        WHERE items.event_id = :event_id AND holds.state IN ('ACTIVE', 'CONVERTED')
        GROUP BY seat_id HAVING count(*) > 1
    ) AS twice
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a ticket type's tickets are."""

    total: int
    remaining: int
    held: int
    released: int
    issued: int

    @property
    def oversold(self) -> int:
        """How many were given out that did not exist."""
        return max(0, self.held + self.issued - self.total)


class StockBook:
    """Reads the stock, a statement at a time."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def open(cls, mesh: Mesh) -> AsyncIterator[Self]:
        url = service_url(mesh.settings("ticket_service")["DATABASE_URL"], "ticket")
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                yield cls(connection)
        finally:
            await engine.dispose()

    async def counts(self, ticket_type_id: str) -> Counts:
        found = await self._connection.execute(text(_COUNTS), {"ticket_type_id": ticket_type_id})
        return Counts(**found.one()._asdict())

    async def oversold(self) -> int:
        """How many tickets of any type were given out that did not exist."""
        return int((await self._connection.execute(text(_OVERSOLD))).scalar_one())

    async def remaining(self, ticket_type_id: str) -> tuple[float, int]:
        """What remains, and when that was, in seconds since 1970."""
        found = await self._connection.execute(text(_REMAINING), {"ticket_type_id": ticket_type_id})
        at_s, remaining = found.one()
        return float(at_s), int(remaining)

    async def deadlines(self, event_id: str) -> list[float]:
        """When the event's holds expire, or did: first ones first, in seconds since 1970."""
        found = await self._connection.execute(text(_DEADLINES), {"event_id": event_id})
        return [float(at_s) for at_s in found.scalars()]

    async def holds_made(self, event_id: str, after_s: float, until_s: float) -> int:
        """How many holds began between two moments, in seconds since 1970."""
        values = {"event_id": event_id, "after": after_s, "until": until_s}
        return int((await self._connection.execute(text(_MADE), values)).scalar_one())

    async def seats_taken_twice(self, event_id: str) -> int:
        found = await self._connection.execute(text(_TAKEN_TWICE), {"event_id": event_id})
        return int(found.scalar_one())
