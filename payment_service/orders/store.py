"""Every SQL statement about orders."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction, signal
from payment_service.orders.domain import (
    Customer,
    Fulfilment,
    Order,
    OrderLine,
    OrderState,
    check_move,
)
from payment_service.tables import order_lines, orders

DUE = "orders"  # the signal that an order needs attention


async def insert_order(
    tx: Transaction, values: Mapping[str, Any], lines: Sequence[OrderLine]
) -> bool:
    """A new order with its lines; False when its hold, key or code is taken."""
    made = upsert(orders).values(values).on_conflict_do_nothing().returning(orders.c.id)
    if (await tx.execute(made)).first() is None:
        return False
    await tx.execute(
        insert(order_lines),
        [
            {
                "order_id": values["id"],
                "position": position,
                "event_id": values["event_id"],
                "ticket_type_id": line.ticket_type_id,
                "ticket_type_name": line.ticket_type_name,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
                "discount_minor": line.discount_minor,
                "tax_ppm": line.tax_ppm,
                "tax_included": line.tax_included,
                "amount_minor": line.amount_minor,
                "tax_minor": line.tax_minor,
            }
            for position, line in enumerate(lines)
        ],
    )
    return True


async def get_order(tx: Transaction, order_id: str, *, lock: bool = False) -> Order | None:
    """One order with its lines; locked if asked."""
    query = select(orders).where(orders.c.id == order_id)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    return (await _orders(tx, [row]))[0] if row else None


async def find_order(tx: Transaction, hold_id: str, idempotency_key: str | None) -> Order | None:
    """The order that was made with this hold, or else with this key."""
    made_with = orders.c.hold_id == hold_id
    if idempotency_key is not None:
        made_with |= orders.c.idempotency_key == idempotency_key
    query = select(orders).where(made_with)
    found = await _orders(tx, (await tx.execute(query)).all())
    return min(found, key=lambda order: order.hold_id != hold_id, default=None)


async def list_orders(
    tx: Transaction,
    *,
    organizer_id: str,
    event_id: str,
    state: str,
    email: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Order]:
    """Orders that the filters admit, newest first; empty filters admit all."""
    query = select(orders).order_by(orders.c.id.desc()).limit(limit)
    if organizer_id:
        query = query.where(orders.c.organizer_id == organizer_id)
    if event_id:
        query = query.where(orders.c.event_id == event_id)
    if state:
        query = query.where(orders.c.state == state)
    if email:
        query = query.where(func.lower(orders.c.customer_email) == email.lower())
    if before:
        query = query.where(orders.c.id < before[0])
    return await _orders(tx, (await tx.execute(query)).all())


async def move_order(
    tx: Transaction, order: Order, state: OrderState, *, cancel_reason: str = ""
) -> None:
    """Take a locked order to another state."""
    check_move(order, state)
    values: dict[str, Any] = {"state": state, "cancel_reason": cancel_reason}
    if state is OrderState.PAID:
        values["paid_at"] = func.now()
    await tx.execute(update(orders).where(orders.c.id == order.id).values(values))


async def set_fulfilment(tx: Transaction, order_id: str, fulfilment: Fulfilment) -> None:
    """Note how far the tickets are."""
    changed = update(orders).where(orders.c.id == order_id).values(fulfilment=fulfilment)
    await tx.execute(changed)


async def make_due(tx: Transaction, order_id: str) -> None:
    """Have the order looked at as soon as this transaction commits."""
    now = update(orders).where(orders.c.id == order_id).values(next_attempt_at=func.now())
    await tx.execute(now)
    signal(tx, DUE)


@dataclass(frozen=True, slots=True)
class Claim:
    """An order to look at. `attempts` counts the looks since the last that settled it."""

    order_id: str
    attempts: int
    until: datetime  # nobody else looks at it before; after a crash it comes up again then


async def claim_due(tx: Transaction, limit: int, lease: timedelta) -> list[Claim]:
    """Orders that need attention, longest waiting first."""
    due = (
        select(orders.c.id)
        .where(orders.c.next_attempt_at <= func.now())
        .order_by(orders.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claimed = (
        update(orders)
        .where(orders.c.id == due.c.id)
        .values(next_attempt_at=func.now() + lease, attempts=orders.c.attempts + 1)
        .returning(orders.c.id, orders.c.attempts, orders.c.next_attempt_at)
    )
    return [Claim(*row) for row in await tx.execute(claimed)]


async def claim_order(tx: Transaction, order_id: str, lease: timedelta) -> Claim:
    """One order, to look at right now."""
    claimed = (
        update(orders)
        .where(orders.c.id == order_id)
        .values(next_attempt_at=func.now() + lease, attempts=orders.c.attempts + 1)
        .returning(orders.c.id, orders.c.attempts, orders.c.next_attempt_at)
    )
    return Claim(*(await tx.execute(claimed)).one())


async def next_due_in_s(tx: Transaction) -> float | None:
    """Seconds until an order needs attention, by the database's clock; None: none does."""
    query = select(func.extract("epoch", func.min(orders.c.next_attempt_at) - func.now()))
    seconds = (await tx.execute(query)).scalar_one()
    return None if seconds is None else float(seconds)


async def postpone(tx: Transaction, claim: Claim, delay: timedelta) -> None:
    """Look at a claimed order again later, unless it was made due meanwhile."""
    await tx.execute(
        update(orders)
        .where(orders.c.id == claim.order_id, orders.c.next_attempt_at == claim.until)
        .values(next_attempt_at=func.now() + delay)
    )
    signal(tx, DUE)


async def rest(tx: Transaction, claim: Claim, until: datetime | None) -> None:
    """Leave a settled order alone, for good if `until` is None; unless it was made due again."""
    await tx.execute(
        update(orders)
        .where(orders.c.id == claim.order_id, orders.c.next_attempt_at == claim.until)
        .values(next_attempt_at=until, attempts=0)
    )


async def is_overdue(tx: Transaction, order_id: str) -> bool:
    """Whether the order's deadline has passed, by the database's clock."""
    query = select(orders.c.expires_at <= func.now()).where(orders.c.id == order_id)
    return bool((await tx.execute(query)).scalar_one())


async def _orders(tx: Transaction, rows: Sequence[Row[Any]]) -> list[Order]:
    lines: dict[str, list[OrderLine]] = {row.id: [] for row in rows}
    query = (
        select(order_lines)
        .where(order_lines.c.order_id.in_(list(lines)))
        .order_by(order_lines.c.order_id, order_lines.c.position)
    )
    for line in await tx.execute(query) if rows else ():
        lines[line.order_id].append(
            OrderLine(
                ticket_type_id=line.ticket_type_id,
                ticket_type_name=line.ticket_type_name,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
                amount_minor=line.amount_minor,
                tax_minor=line.tax_minor,
                discount_minor=line.discount_minor,
                tax_ppm=line.tax_ppm,
                tax_included=line.tax_included,
            )
        )
    return [
        Order(
            id=row.id,
            code=row.code,
            state=OrderState(row.state),
            event_id=row.event_id,
            organizer_id=row.organizer_id,
            hold_id=row.hold_id,
            currency_code=row.currency_code,
            total_minor=row.total_minor,
            customer=Customer(row.customer_email, row.customer_name, row.customer_phone),
            lines=tuple(lines[row.id]),
            fulfilment=Fulfilment(row.fulfilment),
            cancel_reason=row.cancel_reason,
            expires_at=row.expires_at,
            created_at=row.created_at,
            paid_at=row.paid_at,
            fingerprint=row.fingerprint,
            idempotency_key=row.idempotency_key,
            booking_fee_minor=row.booking_fee_minor,
            booking_fee_tax_ppm=row.booking_fee_tax_ppm,
            booking_fee_tax_minor=row.booking_fee_tax_minor,
            discount_minor=row.discount_minor,
            voucher_id=row.voucher_id,
            voucher_code=row.voucher_code,
            payment_id=row.payment_id,
            notify_on_expiry=row.notify_on_expiry,
            cancellable_until=row.cancellable_until,
            cancellation_fee_minor=row.cancellation_fee_minor,
            cancellation_fee_ppm=row.cancellation_fee_ppm,
        )
        for row in rows
    ]
