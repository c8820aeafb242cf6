"""What must always hold (docs: "What must always hold"), asked of the databases themselves.

Every fault and load test ends with `assert_invariants`. Each check is a query for the rows that
break it, and holds at any moment: services may be at work meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


_STOCK = (
    Check(
        "I1",
        "sold and held tickets, with those that remain, are exactly the stock",
        """
        SELECT types.id, types.total_stock, types.remaining, held.quantity AS held, sold.quantity
        FROM ticket_types types,
        LATERAL (
            SELECT coalesce(sum(items.quantity), 0) AS quantity
            FROM hold_items items JOIN holds ON holds.id = items.hold_id
            WHERE items.ticket_type_id = types.id AND holds.state = 'ACTIVE'
        ) held,
        LATERAL (
            SELECT count(*) AS quantity FROM tickets
            WHERE tickets.ticket_type_id = types.id AND tickets.state = 'ISSUED'
        ) sold
        WHERE types.remaining + held.quantity + sold.quantity <> types.total_stock
           OR held.quantity + sold.quantity > types.total_stock
        """,
    ),
    Check(
        "I1",
        "a converted hold has become exactly its tickets, of one order",
        """
        SELECT holds.id, items.ticket_type_id, items.quantity, issued.quantity AS issued
        FROM holds JOIN hold_items items ON items.hold_id = holds.id,
        LATERAL (
            SELECT count(*) AS quantity FROM tickets
            WHERE tickets.hold_id = holds.id AND tickets.order_id = holds.order_id
              AND tickets.ticket_type_id = items.ticket_type_id
        ) issued
        WHERE issued.quantity
            <> CASE WHEN holds.state = 'CONVERTED' THEN items.quantity ELSE 0 END
        """,
    ),
    Check(
        "I1",
        "a ticket is admitted once",
        """
        SELECT ticket_id, count(*) FROM check_ins WHERE rejection IS NULL
        GROUP BY ticket_id HAVING count(*) > 1
        """,
    ),
    Check(
        "I6",
        "a hold expires within 5 s after its deadline, and never before it",
        """
        SELECT id, state, expires_at FROM holds
        WHERE (state = 'EXPIRED' AND expires_at > clock_timestamp())
           OR (state = 'ACTIVE' AND expires_at < clock_timestamp() - interval '5 seconds')
        """,
    ),
)

# By area, which names a service and its database.
CHECKS: Mapping[str, Sequence[Check]] = {"ticket": _STOCK}


async def broken_invariants(database_url: str, *areas: str) -> list[str]:
    """What does not hold in the databases of these areas (default: all that have checks).

    `database_url` is `TESSERA_DATABASE_URL`: each service appends its area to it.
    """
    broken = []
    for area in areas or CHECKS:
        engine = create_async_engine(service_url(database_url, area), poolclass=NullPool)
        async with engine.connect() as connection:
            for check in CHECKS[area]:
                rows = (await connection.execute(text(check.broken))).mappings().all()
                broken += [f"{check.invariant}: {check.sentence}: {dict(row)}" for row in rows]
        await engine.dispose()
    return broken


async def assert_invariants(database_url: str, *areas: str) -> None:
    """Fail, and say what does not hold."""
    assert await broken_invariants(database_url, *areas) == []
