"""Every SQL statement about holds and the stock they take.

The order and strength of locks: see catalog/store.py.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, Integer, Row, Text, cast, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.holds.domain import Hold, HoldItem, HoldState, NewHold, Stock
from ticket_service.tables import hold_items, holds, ticket_types

EXPIRY_BATCH = 1000


async def lock_stock(tx: Transaction, event_id: str, ids: Sequence[str]) -> dict[str, Stock]:
    """The ticket types of an event that have these ids, locked in id order."""
    query = (
        select(ticket_types)
        .where(ticket_types.c.id.in_(ids), ticket_types.c.event_id == event_id)
        .order_by(ticket_types.c.id)
        .with_for_update(key_share=True)
    )
    return {
        row.id: Stock(
            ticket_type_id=row.id,
            name=row.name,
            price_minor=row.price_minor,
            remaining=row.remaining,
            max_per_order=row.max_per_order,
            sales_start=row.sales_start,
            sales_end=row.sales_end,
        )
        for row in await tx.execute(query)
    }


async def take_stock(tx: Transaction, quantities: Mapping[str, int]) -> None:
    """Take tickets off sale. The rows are locked; the CHECK refuses what is not there."""
    await _add_to_stock(tx, {key: -quantity for key, quantity in quantities.items()})


async def return_stock(tx: Transaction, quantities: Mapping[str, int]) -> None:
    """Put tickets back on sale."""
    locked = (
        select(ticket_types.c.id)
        .where(ticket_types.c.id.in_(list(quantities)))
        .order_by(ticket_types.c.id)
        .with_for_update(key_share=True)
    )
    await tx.execute(locked)
    await _add_to_stock(tx, quantities)


async def _add_to_stock(tx: Transaction, changes: Mapping[str, int]) -> None:
    given = (
        func.unnest(cast(list(changes), ARRAY(Text)), cast(list(changes.values()), ARRAY(Integer)))
        .table_valued("id", "change")
        .render_derived(name="given")
    )
    await tx.execute(
        update(ticket_types)
        .where(ticket_types.c.id == given.c.id)
        .values(remaining=ticket_types.c.remaining + cast(given.c.change, Integer))
    )


async def insert_holds(
    tx: Transaction, made: Sequence[NewHold], event_id: str, currency_code: str, lifetime: timedelta
) -> list[Hold]:
    """Live holds, whose deadline is by the database's clock."""
    now: datetime = (await tx.execute(select(func.now()))).scalar_one()
    expires_at = now + lifetime
    await tx.execute(
        insert(holds),
        [
            {
                "id": hold.id,
                "event_id": event_id,
                "state": HoldState.ACTIVE,
                "currency_code": currency_code,
                "expires_at": expires_at,
                "created_at": now,
                "idempotency_key": hold.idempotency_key,
                "fingerprint": hold.fingerprint,
            }
            for hold in made
        ],
    )
    await tx.execute(
        insert(hold_items),
        [
            {
                "hold_id": hold.id,
                "ticket_type_id": item.ticket_type_id,
                "event_id": event_id,
                "position": position,
                "ticket_type_name": item.ticket_type_name,
                "quantity": item.quantity,
                "unit_price_minor": item.unit_price_minor,
            }
            for hold in made
            for position, item in enumerate(hold.items)
        ],
    )
    return [
        Hold(hold.id, event_id, HoldState.ACTIVE, currency_code, hold.items, expires_at, now)
        for hold in made
    ]


async def find_by_keys(tx: Transaction, keys: Collection[str]) -> dict[str, tuple[Hold, bytes]]:
    """The holds that idempotency keys made before, with their requests' fingerprints, by key."""
    rows = (await tx.execute(select(holds).where(holds.c.idempotency_key.in_(keys)))).all()
    items = await _items_of(tx, [row.id for row in rows])
    return {row.idempotency_key: (_hold(row, items[row.id]), row.fingerprint) for row in rows}


async def release_all(tx: Transaction, hold_ids: Collection[str]) -> dict[str, int]:
    """Release those of the holds that are live, and free their keys; answers their stock."""
    released = (
        update(holds)
        .where(holds.c.id.in_(hold_ids), holds.c.state == HoldState.ACTIVE)
        .values(state=HoldState.RELEASED, idempotency_key=None)
        .returning(holds.c.id)
        .cte("released")
    )
    return await _stock_of(tx, released)


async def get_hold(tx: Transaction, hold_id: str, *, lock: bool = False) -> Hold | None:
    """One hold with its items; locked if asked."""
    query = select(holds).where(holds.c.id == hold_id)
    query = query.with_for_update(key_share=True) if lock else query
    row = (await tx.execute(query)).first()
    if row is None:
        return None
    return _hold(row, (await _items_of(tx, [hold_id]))[hold_id])


async def set_state(
    tx: Transaction, hold_id: str, state: HoldState, order_id: str | None = None
) -> None:
    """Move a locked hold."""
    values: dict[str, Any] = {"state": state}
    if order_id is not None:
        values["order_id"] = order_id
    await tx.execute(update(holds).where(holds.c.id == hold_id).values(values))


async def expire_due(tx: Transaction) -> dict[str, int]:
    """Expire holds whose deadline has passed, oldest first; answers the stock they give back."""
    due = (
        select(holds.c.id)
        .where(holds.c.state == HoldState.ACTIVE, holds.c.expires_at <= func.now())
        .order_by(holds.c.expires_at)
        .limit(EXPIRY_BATCH)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("due")
    )
    expired = (
        update(holds)
        .where(holds.c.id == due.c.id)
        .values(state=HoldState.EXPIRED)
        .returning(holds.c.id)
        .cte("expired")
    )
    return await _stock_of(tx, expired)


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until the next deadline, by the database's clock; None without live holds."""
    query = select(func.extract("epoch", func.min(holds.c.expires_at) - func.now())).where(
        holds.c.state == HoldState.ACTIVE
    )
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


async def _stock_of(tx: Transaction, changed: CTE) -> dict[str, int]:
    """How many tickets of each type the holds have that a statement has just changed."""
    freed = (
        select(hold_items.c.ticket_type_id, func.sum(hold_items.c.quantity).label("quantity"))
        .join(changed, hold_items.c.hold_id == changed.c.id)
        .group_by(hold_items.c.ticket_type_id)
    )
    return {row.ticket_type_id: row.quantity for row in await tx.execute(freed)}


async def _items_of(tx: Transaction, hold_ids: Sequence[str]) -> dict[str, list[HoldItem]]:
    found: dict[str, list[HoldItem]] = {hold_id: [] for hold_id in hold_ids}
    query = (
        select(hold_items)
        .where(hold_items.c.hold_id.in_(hold_ids))
        .order_by(hold_items.c.hold_id, hold_items.c.position)
    )
    for row in await tx.execute(query) if hold_ids else ():
        found[row.hold_id].append(
            HoldItem(row.ticket_type_id, row.ticket_type_name, row.quantity, row.unit_price_minor)
        )
    return found


def _hold(row: Row[Any], items: Sequence[HoldItem]) -> Hold:
    return Hold(
        id=row.id,
        event_id=row.event_id,
        state=HoldState(row.state),
        currency_code=row.currency_code,
        items=tuple(items),
        expires_at=row.expires_at,
        created_at=row.created_at,
        order_id=row.order_id,
    )
