"""Every SQL statement about insights."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, select

from kit.database import Transaction
from payment_service.insights.domain import Sales
from payment_service.orders.domain import OrderState
from payment_service.tables import order_lines, orders


async def sales_by_ticket_type(tx: Transaction, event_id: str) -> dict[str, Sales]:
    """What paid orders sold of each ticket type."""
    return await _sales(tx, event_id, order_lines.c.ticket_type_id)


async def sales_by_day(tx: Transaction, event_id: str, time_zone: str) -> dict[str, Sales]:
    """What paid orders sold on each day, by the event's clock."""
    day = func.to_char(func.timezone(time_zone, orders.c.paid_at), "YYYY-MM-DD")
    return await _sales(tx, event_id, day)


async def _sales(tx: Transaction, event_id: str, key: ColumnElement[Any]) -> dict[str, Sales]:
    amount = cast(order_lines.c.quantity, BigInteger) * order_lines.c.unit_price_minor
    query = (
        select(key.label("key"), func.sum(order_lines.c.quantity), func.sum(amount))
        .join(orders, orders.c.id == order_lines.c.order_id)
        .where(orders.c.event_id == event_id, orders.c.state == OrderState.PAID)
        .group_by("key")
    )
    return {row[0]: Sales(int(row[1]), int(row[2])) for row in await tx.execute(query)}
