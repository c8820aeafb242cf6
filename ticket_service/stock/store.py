"""Every SQL statement that takes stock or puts it back.

Rows are locked first, ticket types by id and then quotas by id, and stay locked until the
transaction ends. The strength of locks: see catalog/store.py.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Column, Integer, Row, Select, Text, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction, signal
from ticket_service.stock.domain import CHANGED, Shelf, Stock
from ticket_service.tables import quota_ticket_types, quotas, ticket_types

# Of a row of ticket_types, in any SELECT: what the tightest of its quotas leaves; null without one.
QUOTA_REMAINING = (
    select(func.min(quotas.c.remaining))
    .select_from(quotas.join(quota_ticket_types))
    .where(quota_ticket_types.c.ticket_type_id == ticket_types.c.id)
    .scalar_subquery()
    .label("quota_remaining")
)
_IDS = bindparam("ids", type_=ARRAY(Text))
_LOCK_TYPES = (
    select(ticket_types)
    .where(ticket_types.c.id == func.any(_IDS))
    .order_by(ticket_types.c.id)
    .with_for_update(key_share=True)
)
_LOCK_TYPES_OF_EVENT = _LOCK_TYPES.where(ticket_types.c.event_id == bindparam("event_id"))
_LINKS = select(quota_ticket_types.c.quota_id, quota_ticket_types.c.ticket_type_id).where(
    quota_ticket_types.c.ticket_type_id == func.any(_IDS)
)
_LOCK_QUOTAS = (
    select(quotas.c.id, quotas.c.remaining)
    .where(quotas.c.id == func.any(_IDS))
    .order_by(quotas.c.id)
    .with_for_update(key_share=True)
)


async def lock_shelf(tx: Transaction, event_id: str, ticket_type_ids: Collection[str]) -> Shelf:
    """Those of the ticket types that the event has, with their quotas, locked."""
    values = {"ids": list(ticket_type_ids), "event_id": event_id}
    return await _lock(tx, _LOCK_TYPES_OF_EVENT, values)


async def lock_shelves(tx: Transaction, ticket_type_ids: Collection[str]) -> Shelf:
    """The ticket types, of whatever events, with their quotas, locked."""
    return await _lock(tx, _LOCK_TYPES, {"ids": list(ticket_type_ids)})


async def save(tx: Transaction, shelf: Shelf) -> None:
    """Take what was taken from the shelf, and off its size what was withdrawn.

    The CHECKs refuse what is not there.
    """
    await _subtract(tx, _SUBTRACT_TYPES, shelf.taken)
    await _subtract(tx, _SUBTRACT_QUOTAS, shelf.taken_of_quotas)
    await _subtract(tx, _SHRINK_TYPES, shelf.withdrawn)
    await _subtract(tx, _SHRINK_QUOTAS, shelf.withdrawn_of_quotas)


async def _lock(tx: Transaction, query: Select[Any], values: Mapping[str, Any]) -> Shelf:
    stocks = [_stock(row) for row in await tx.execute(query, values)]
    # A statement of its own: who changes these links locks the ticket types, for which the first
    # one may have waited.
    ids = [stock.ticket_type_id for stock in stocks]
    quotas_of: defaultdict[str, list[str]] = defaultdict(list)
    for row in await tx.execute(_LINKS, {"ids": ids}):
        quotas_of[row.ticket_type_id].append(row.quota_id)
    if not quotas_of:
        return Shelf(stocks)
    quota_ids = list({quota for each in quotas_of.values() for quota in each})
    found = await tx.execute(_LOCK_QUOTAS, {"ids": quota_ids})
    return Shelf(stocks, {row.id: row.remaining for row in found}, quotas_of)


def _subtracting(column: Column[Any]) -> Any:
    """Takes quantities off a column of some rows, by their ids."""
    given = (
        func.unnest(_IDS, bindparam("quantities", type_=ARRAY(Integer)))
        .table_valued("id", "quantity")
        .render_derived(name="given")
    )
    subtracted = {column.name: column - given.c.quantity}
    return update(column.table).where(column.table.c.id == given.c.id).values(subtracted)


_SUBTRACT_TYPES = _subtracting(ticket_types.c.remaining)
_SUBTRACT_QUOTAS = _subtracting(quotas.c.remaining)
# Their size is an admin's, who may be changing it: see `If-Match`.
_SHRINK_TYPES = _subtracting(ticket_types.c.total_stock).values(
    version=ticket_types.c.version + 1, updated_at=func.now()
)
_SHRINK_QUOTAS = _subtracting(quotas.c.size).values(
    version=quotas.c.version + 1, updated_at=func.now()
)


async def _subtract(tx: Transaction, statement: Any, quantities: Mapping[str, int]) -> None:
    changed = {key: quantity for key, quantity in quantities.items() if quantity}
    if changed:
        values = {"ids": list(changed), "quantities": list(changed.values())}
        await tx.execute(statement, values)
        signal(tx, CHANGED)


def _stock(row: Row[Any]) -> Stock:
    return Stock(
        ticket_type_id=row.id,
        name=row.name,
        price_minor=row.price_minor,
        remaining=row.remaining,
        max_per_order=row.max_per_order,
        sales_start=row.sales_start,
        sales_end=row.sales_end,
        is_seated=row.is_seated,
        is_hidden=row.is_hidden,
    )
