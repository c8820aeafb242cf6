"""Every SQL statement about payments and webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningUpdate

from kit.database import Transaction
from payment_service.orders import store as orders_store
from payment_service.orders.domain import Fulfilment, Order, OrderState
from payment_service.orders.store import At, Claim
from payment_service.payments.domain import Intent, Payment, PaymentState
from payment_service.tables import orders, payments, webhooks

_OPEN = (PaymentState.CREATED, PaymentState.REQUIRES_ACTION, PaymentState.AUTHORIZED)
_FIELDS = (
    payments.c.id,
    payments.c.order_id,
    payments.c.event_id,
    payments.c.state,
    payments.c.currency_code,
    payments.c.amount_minor,
    payments.c.provider_id,
    payments.c.client_secret,
    payments.c.provider_status,
    payments.c.decline_code,
    payments.c.key_number,
    payments.c.refunded_minor,
    payments.c.failure_announced,
    payments.c.fee_booked,
    payments.c.created_at,
)


@dataclass(frozen=True, slots=True)
class Sale:
    """An order, all its attempts to be paid, oldest first, and whether its deadline has passed."""

    order: Order
    payments: tuple[Payment, ...]
    is_overdue: bool


async def insert_payment(tx: Transaction, payment: Payment) -> Payment:
    """A payment that the provider does not know of yet; answers it with its time."""
    made = insert(payments).values(
        id=payment.id,
        order_id=payment.order_id,
        event_id=payment.event_id,
        state=payment.state,
        currency_code=payment.currency_code,
        amount_minor=payment.amount_minor,
    )
    created_at = (await tx.execute(made.returning(payments.c.created_at))).scalar_one()
    return replace(payment, created_at=created_at)


async def get_sale(at: At, order_id: str) -> Sale | None:
    """An order and its payments as they are at one moment; nothing is locked."""
    row = next(iter(await at.execute(_SALE, {"order_id": order_id})), None)
    if row is None:
        return None
    found = [_payment(*fields) for fields in row.payments or ()]
    return Sale(orders_store.order_of(row), tuple(found), row.is_overdue)


async def lock_sale(tx: Transaction, payment_id: str) -> tuple[Order, Payment] | None:
    """An order and one of its payments, locked in this order, as everyone does."""
    row = (await tx.execute(_LOCK_SALE, {"payment_id": payment_id})).first()
    if row is None:
        return None
    return orders_store.order_of(row), _payment(*row[-len(_FIELDS) :])


async def list_payments(tx: Transaction, order_id: str) -> list[Payment]:
    """An order's payments, oldest first."""
    query = select(*_FIELDS).where(payments.c.order_id == order_id).order_by(payments.c.id)
    return [_payment(*row) for row in await tx.execute(query)]


async def get_payment(tx: Transaction, payment_id: str) -> Payment | None:
    """A payment by its id."""
    row = (await tx.execute(_GET, {"payment_id": payment_id})).first()
    return _payment(*row) if row else None


async def find_payments(tx: Transaction, payment_ids: Sequence[str]) -> dict[str, Payment]:
    """Those of the payments that are ours, by their id."""
    query = select(*_FIELDS).where(payments.c.id.in_(payment_ids))
    return {row.id: _payment(*row) for row in await tx.execute(query)}


async def find_order_id(tx: Transaction, payment_id: str) -> str | None:
    """The order that a payment is for."""
    query = select(payments.c.order_id).where(payments.c.id == payment_id)
    return (await tx.execute(query)).scalar_one_or_none()


async def lock_payment(tx: Transaction, payment_id: str) -> Payment | None:
    """A payment by its id, locked; its order is locked first, by everyone."""
    row = (await tx.execute(_LOCK, {"payment_id": payment_id})).first()
    return _payment(*row) if row else None


async def update_payment(tx: Transaction, payment_id: str, **values: Any) -> None:
    """Change columns of a payment."""
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def save_heard(tx: Transaction, payment: Payment) -> None:
    """Store what a report made of a locked payment."""
    await update_payment(
        tx,
        payment.id,
        state=payment.state,
        provider_id=payment.provider_id,
        client_secret=payment.client_secret,
        provider_status=payment.provider_status,
        decline_code=payment.decline_code,
    )


async def record_prepared(at: At, payment: Payment, intent: Intent) -> bool:
    """Note what the provider calls a new payment; False when more has happened to it meanwhile.

    Nothing follows from it for the order, so it need not be locked.
    """
    rows = await at.execute(
        _RECORD_PREPARED,
        {
            "payment_id": payment.id,
            "intent_id": intent.provider_id,
            "secret": intent.client_secret,
            "status": intent.status,
        },
    )
    return bool(list(rows))


async def finish_sale(tx: Transaction, order: Order, payment: Payment | None, claim: Claim) -> bool:
    """A locked order is paid, by a locked payment if it is not free.

    Whether nothing is left to be done for it: no other attempt, and no fee that is not known yet.
    """
    values = {"sold_id": order.id, "claimed": claim.until}
    if payment is None:
        return bool((await tx.execute(_FINISH_FREE, values)).scalar_one())
    values = {
        **values,
        "payment_id": payment.id,
        "kept_state": payment.state,
        "kept_status": payment.provider_status,
        "kept_decline_code": payment.decline_code,
        "kept_fee_booked": payment.fee_booked,
    }
    return bool((await tx.execute(_FINISH, values)).scalar_one())


async def add_webhook(tx: Transaction, webhook_id: str, kind: str, payload: bytes) -> bool:
    """Keep a webhook; False when it was delivered before."""
    kept = await tx.execute(_ADD_WEBHOOK, {"id": webhook_id, "type": kind, "payload": payload})
    return kept.first() is not None


async def forget_webhooks(tx: Transaction, days: int) -> None:
    """Drop the webhooks that Stripe no longer repeats (it does for three days)."""
    old = webhooks.c.received_at < func.now() - func.make_interval(0, 0, 0, days)
    await tx.execute(webhooks.delete().where(old))


def _payment(*fields: Any) -> Payment:
    """A payment of _FIELDS; JSON has no moments, but texts."""
    values = dict(zip(_NAMES, fields, strict=True))
    values["state"] = PaymentState(values["state"])
    if isinstance(values["created_at"], str):
        values["created_at"] = datetime.fromisoformat(values["created_at"])
    return Payment(**values)


_NAMES = tuple(field.name for field in _FIELDS)
_GET = select(*_FIELDS).where(payments.c.id == bindparam("payment_id"))
_LOCK = _GET.with_for_update(of=payments)
_all_payments = func.json_agg(
    aggregate_order_by(func.json_build_array(*_FIELDS), payments.c.id), type_=JSON
)
_SALE = select(
    *orders_store.COLUMNS,
    select(_all_payments)
    .where(payments.c.order_id == orders.c.id)
    .correlate(orders)
    .scalar_subquery()
    .label("payments"),
    orders_store.IS_OVERDUE.label("is_overdue"),
).where(orders.c.id == bindparam("order_id"))
_LOCK_SALE = (
    select(*orders_store.COLUMNS, *(field.label(f"p_{field.name}") for field in _FIELDS))
    .select_from(orders.join(payments, payments.c.order_id == orders.c.id))
    .where(payments.c.id == bindparam("payment_id"))
    .with_for_update(of=(orders, payments))
)
_RECORD_PREPARED = (
    update(payments)
    .where(
        payments.c.id == bindparam("payment_id"),
        payments.c.state == PaymentState.CREATED,
        payments.c.provider_id.is_(None),
    )
    .values(
        provider_id=bindparam("intent_id"),
        client_secret=bindparam("secret"),
        provider_status=bindparam("status"),
        state=PaymentState.REQUIRES_ACTION,
    )
    .returning(payments.c.id)
)
_ADD_WEBHOOK = (
    upsert(webhooks)
    .values(id=bindparam("id"), type=bindparam("type"), payload=bindparam("payload"))
    .on_conflict_do_nothing()
    .returning(webhooks.c.id)
)


def _finish(*, others_are_done: ColumnElement[bool], **values: Any) -> ReturningUpdate[Any]:
    is_all = and_(orders.c.next_attempt_at == bindparam("claimed"), others_are_done)
    return (
        update(orders)
        .where(orders.c.id == bindparam("sold_id"))
        .values(
            state=OrderState.PAID,
            fulfilment=Fulfilment.ISSUED,
            paid_at=func.now(),
            next_attempt_at=case((is_all, null()), else_=orders.c.next_attempt_at),
            attempts=case((is_all, 0), else_=orders.c.attempts),
            **values,
        )
        .returning(orders.c.next_attempt_at.is_(None))
    )


_kept = bindparam("payment_id", type_=Text)
_others = exists().where(
    payments.c.order_id == bindparam("sold_id"),
    payments.c.id != _kept,
    or_(
        payments.c.state.in_(_OPEN),
        and_(payments.c.state == PaymentState.SUCCEEDED, ~payments.c.fee_booked),
    ),
)
_FINISH_FREE = _finish(others_are_done=true())
_FINISH = _finish(
    others_are_done=and_(bindparam("kept_fee_booked", type_=Boolean), ~_others), payment_id=_kept
).add_cte(
    update(payments)
    .where(payments.c.id == _kept)
    .values(
        state=bindparam("kept_state", type_=Text),
        provider_status=bindparam("kept_status", type_=Text),
        decline_code=bindparam("kept_decline_code", type_=Text),
        fee_booked=bindparam("kept_fee_booked", type_=Boolean),
    )
    .cte("kept")
)
