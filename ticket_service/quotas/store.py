"""Every SQL statement about what quotas are; what they leave is taken in stock/store.py.

The order and strength of locks: see catalog/store.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, cast, delete, func, insert, literal, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction, signal
from ticket_service.quotas.domain import Quota
from ticket_service.stock.domain import CHANGED
from ticket_service.tables import quota_ticket_types, quotas

_TICKET_TYPE_IDS = func.array(
    select(quota_ticket_types.c.ticket_type_id)
    .where(quota_ticket_types.c.quota_id == quotas.c.id)
    .order_by(quota_ticket_types.c.ticket_type_id)
    .scalar_subquery(),
    type_=ARRAY(Text),
).label("ticket_type_ids")


async def insert_quota(
    tx: Transaction, values: Mapping[str, Any], ticket_type_ids: Sequence[str]
) -> None:
    """A new quota, at version 1."""
    await tx.execute(insert(quotas).values(values))
    await _insert_uses(tx, values["event_id"], values["id"], ticket_type_ids)
    signal(tx, CHANGED)


async def list_quotas(tx: Transaction, event_id: str) -> list[Quota]:
    """An event's quotas, oldest first."""
    query = (
        select(*quotas.c, _TICKET_TYPE_IDS)
        .where(quotas.c.event_id == event_id)
        .order_by(quotas.c.id)
    )
    return [Quota(**row._asdict()) for row in await tx.execute(query)]


async def lock_quotas(tx: Transaction, event_id: str) -> list[Quota]:
    """An event's quotas, locked in id order; its ticket types are locked already."""
    lock = (
        select(quotas.c.id)
        .where(quotas.c.event_id == event_id)
        .order_by(quotas.c.id)
        .with_for_update(key_share=True)
    )
    await tx.execute(lock)
    return await list_quotas(tx, event_id)


async def update_quota(tx: Transaction, quota: Quota) -> None:
    """Store a changed quota, whose row and ticket types are locked, as its next version."""
    values = {name: getattr(quota, name) for name in ("name", "size", "remaining")}
    changed = (
        update(quotas)
        .where(quotas.c.id == quota.id)
        .values(**values, version=quotas.c.version + 1, updated_at=func.now())
    )
    await tx.execute(changed)
    await _delete_uses(tx, quota.id)
    await _insert_uses(tx, quota.event_id, quota.id, quota.ticket_type_ids)
    signal(tx, CHANGED)


async def delete_quota(tx: Transaction, quota_id: str) -> None:
    """Remove a locked quota."""
    await _delete_uses(tx, quota_id)
    await tx.execute(delete(quotas).where(quotas.c.id == quota_id))
    signal(tx, CHANGED)


async def _insert_uses(
    tx: Transaction, event_id: str, quota_id: str, ticket_type_ids: Sequence[str]
) -> None:
    ids = func.unnest(cast(list(ticket_type_ids), ARRAY(Text))).column_valued("ticket_type_id")
    uses = select(literal(quota_id), ids, literal(event_id))
    columns = ["quota_id", "ticket_type_id", "event_id"]
    await tx.execute(insert(quota_ticket_types).from_select(columns, uses))


async def _delete_uses(tx: Transaction, quota_id: str) -> None:
    uses = quota_ticket_types.c.quota_id == quota_id
    await tx.execute(delete(quota_ticket_types).where(uses))
