"""Every SQL statement about orders, but for that which stores a new one (`insertion.py`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    Integer,
    Row,
    Text,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.sql.dml import ReturningUpdate
from sqlalchemy.types import Interval

from kit.database import Database, Transaction, signal
from payment_service.orders.domain import (
    Customer,
    Fulfilment,
    Order,
    OrderLine,
    OrderState,
    check_move,
)
from payment_service.tables import order_lines, orders, payments

DUE = "orders"  # the signal that an order needs attention
LEFT_OVER = "orders left over"  # that one does whose payments can wait
LEASE = timedelta(seconds=30)  # two calls to Stripe that time out; after a crash, the wait
LONG_LEASE = timedelta(minutes=5)  # while other calls to Stripe are waited for, too

# An order's lines never change, so they may be read beside a row that is locked meanwhile.
LINE = (
    order_lines.c.ticket_type_id,
    order_lines.c.ticket_type_name,
    order_lines.c.quantity,
    order_lines.c.unit_price_minor,
    order_lines.c.amount_minor,
    order_lines.c.tax_minor,
    order_lines.c.discount_minor,
    order_lines.c.tax_ppm,
    order_lines.c.tax_included,
)
_lines = func.json_agg(
    aggregate_order_by(func.json_build_array(*LINE), order_lines.c.position), type_=JSON
)
COLUMNS = (
    orders,
    select(_lines)
    .where(order_lines.c.order_id == orders.c.id)
    .correlate(orders)
    .scalar_subquery()
    .label("lines"),
    select(payments.c.refunded_minor)
    .where(payments.c.id == orders.c.payment_id)
    .correlate(orders)
    .scalar_subquery()
    .label("refunded_minor"),
)
IS_OVERDUE = orders.c.expires_at <= func.now()

At = Database | Transaction  # where a statement that may be a transaction by itself is run


async def get_order(tx: Transaction, order_id: str, *, lock: bool = False) -> Order | None:
    """One order with its lines; locked if asked."""
    row = (await tx.execute(_LOCK if lock else _GET, {"order_id": order_id})).first()
    return order_of(row) if row else None


async def find_order(at: At, hold_id: str, idempotency_key: str | None) -> Order | None:
    """The order that was made with this hold, or else with this key."""
    rows = await at.execute(_FIND, {"hold_id": hold_id, "key": idempotency_key})
    found = [order_of(row) for row in rows]
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
    query = select(*COLUMNS).order_by(orders.c.id.desc()).limit(limit)
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
    return [order_of(row) for row in await tx.execute(query)]


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


async def lock_orders(tx: Transaction, order_ids: Sequence[str]) -> list[Order]:
    """Orders with their lines, locked one after the other in the order of their ids."""
    query = select(*COLUMNS).where(orders.c.id.in_(order_ids)).order_by(orders.c.id)
    return [order_of(row) for row in await tx.execute(query.with_for_update(of=orders))]


async def cancel_paid(tx: Transaction, order_ids: Sequence[str], reason: str) -> None:
    """Take locked, paid orders to their end; somebody else takes their tickets back."""
    ended = {"state": OrderState.CANCELLED, "fulfilment": Fulfilment.TAKEN_BACK}
    changed = update(orders).where(orders.c.id.in_(order_ids))
    await tx.execute(changed.values(**ended, cancel_reason=reason))


async def start_issuing(at: At, order_id: str) -> bool:
    """Note that ticket_service is about to be asked; False when the order is not to be paid."""
    return bool(list(await at.execute(_START_ISSUING, {"order_id": order_id})))


async def make_due(tx: Transaction, order_id: str) -> None:
    """Have the order looked at as soon as this transaction commits."""
    now = {"next_attempt_at": func.now(), "is_left_over": False}
    await tx.execute(update(orders).where(orders.c.id == order_id).values(now))
    signal(tx, DUE)


@dataclass(frozen=True, slots=True)
class Claim:
    """An order to look at. `attempts` counts the looks since the last that settled it."""

    order_id: str
    attempts: int
    until: datetime  # nobody else looks at it before; after a crash it comes up again then


async def claim_due(
    tx: Transaction, limit: int, lease: timedelta, *, left_over: bool
) -> list[Claim]:
    """Orders that need attention, longest waiting first: those left over, or the others."""
    rows = await tx.execute(_CLAIM_DUE[left_over], {"limit": limit, "lease": lease})
    return [Claim(*row) for row in rows]


async def claim_order(tx: Transaction, order_id: str, lease: timedelta) -> Claim:
    """One order, to look at right now."""
    values = {"order_id": order_id, "lease": lease}
    return Claim(*(await tx.execute(_CLAIM, values)).one())


async def next_due_in_s(tx: Transaction, *, left_over: bool) -> float | None:
    """Seconds until one of them needs attention, by the database's clock; None: none does."""
    seconds = (await tx.execute(_NEXT_DUE[left_over])).scalar_one()
    return None if seconds is None else float(seconds)


async def postpone(tx: Transaction, claim: Claim, delay: timedelta) -> None:
    """Look at a claimed order again later, unless it was made due meanwhile."""
    await tx.execute(
        update(orders)
        .where(orders.c.id == claim.order_id, orders.c.next_attempt_at == claim.until)
        .values(next_attempt_at=func.now() + delay)
    )
    signal(tx, DUE)
    signal(tx, LEFT_OVER)


async def leave_over(tx: Transaction, claim: Claim) -> None:
    """Have a claimed order looked at by who has time for it, unless it was made due meanwhile."""
    await tx.execute(_LEAVE_OVER, {"order_id": claim.order_id, "claimed": claim.until})
    signal(tx, LEFT_OVER)


async def rest(at: At, claim: Claim, until: datetime | None) -> None:
    """Leave a settled order alone, for good if `until` is None; unless it was made due again."""
    values = {"order_id": claim.order_id, "claimed": claim.until, "until": until}
    await at.execute(_REST, values)


async def look_later(at: At, order_id: str, delay: timedelta) -> None:
    """Look at an order that waits for its deadline already after a while."""
    await at.execute(_LOOK_LATER, {"order_id": order_id, "delay": delay})


async def look_again(tx: Transaction, order_id: str, delay: timedelta) -> None:
    """Have a locked order looked at after a while, whoever is at it now and thinks to be the last.

    Of an order that is about to be paid it changes what `next_attempt_at` must be for that.
    """
    deadline = func.least(orders.c.expires_at, func.now() + delay)
    await tx.execute(update(orders).where(orders.c.id == order_id).values(next_attempt_at=deadline))


async def is_overdue(tx: Transaction, order_id: str) -> bool:
    """Whether the order's deadline has passed, by the database's clock."""
    query = select(IS_OVERDUE).where(orders.c.id == order_id)
    return bool((await tx.execute(query)).scalar_one())


async def may_be_cancelled(tx: Transaction, order_id: str) -> bool:
    """Whether the customer of a paid order may still cancel it, by the database's clock."""
    query = select(orders.c.cancellable_until >= func.now()).where(orders.c.id == order_id)
    return bool((await tx.execute(query)).scalar_one())


def order_of(row: Row[Any]) -> Order:
    """The order in a row of COLUMNS."""
    return Order(
        id=row.id,
        code=row.code,
        state=OrderState(row.state),
        event_id=row.event_id,
        organizer_id=row.organizer_id,
        hold_id=row.hold_id,
        currency_code=row.currency_code,
        total_minor=row.total_minor,
        customer=Customer(row.customer_email, row.customer_name, row.customer_phone),
        lines=tuple(OrderLine(*line) for line in row.lines),
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
        refunded_minor=row.refunded_minor or 0,
    )


_GET = select(*COLUMNS).where(orders.c.id == bindparam("order_id"))
_LOCK = _GET.with_for_update(of=orders)
_FIND = select(*COLUMNS).where(
    (orders.c.hold_id == bindparam("hold_id"))
    | (orders.c.idempotency_key == bindparam("key", type_=Text))
)

_lease = bindparam("lease", type_=Interval())
_CLAIMED = (orders.c.id, orders.c.attempts, orders.c.next_attempt_at)
_leased = {"next_attempt_at": func.now() + _lease, "attempts": orders.c.attempts + 1}


def _claiming(which: ColumnElement[bool]) -> ReturningUpdate[Any]:
    due = (
        select(orders.c.id)
        .where(which, orders.c.next_attempt_at <= func.now())
        .order_by(orders.c.next_attempt_at)
        .limit(bindparam("limit", type_=Integer))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    return update(orders).where(orders.c.id == due.c.id).values(_leased).returning(*_CLAIMED)


_which = {False: ~orders.c.is_left_over, True: orders.c.is_left_over}
_CLAIM_DUE = {left_over: _claiming(which) for left_over, which in _which.items()}
_CLAIM = (
    update(orders)
    .where(orders.c.id == bindparam("order_id"))
    .values({**_leased, "is_left_over": False})
    .returning(*_CLAIMED)
)
_next_due = select(func.extract("epoch", func.min(orders.c.next_attempt_at) - func.now()))
_NEXT_DUE = {left_over: _next_due.where(which) for left_over, which in _which.items()}
_LEAVE_OVER = (
    update(orders)
    .where(
        orders.c.id == bindparam("order_id"),
        orders.c.next_attempt_at == bindparam("claimed"),
    )
    .values(next_attempt_at=func.now(), attempts=0, is_left_over=True)
)
_REST = (
    update(orders)
    .where(
        orders.c.id == bindparam("order_id"),
        orders.c.next_attempt_at == bindparam("claimed"),
    )
    .values(next_attempt_at=bindparam("until", type_=DateTime(timezone=True)), attempts=0)
)
_LOOK_LATER = (
    update(orders)
    .where(
        orders.c.id == bindparam("order_id"),
        orders.c.state == OrderState.PENDING,
        orders.c.next_attempt_at == orders.c.expires_at,
    )
    .values(
        next_attempt_at=func.least(
            orders.c.expires_at, func.now() + bindparam("delay", type_=Interval())
        )
    )
)
_START_ISSUING = (
    update(orders)
    .where(
        orders.c.id == bindparam("order_id"),
        orders.c.state == OrderState.PENDING,
        orders.c.fulfilment != Fulfilment.ISSUED,
    )
    .values(fulfilment=Fulfilment.ISSUING)
    .returning(orders.c.id)
)
