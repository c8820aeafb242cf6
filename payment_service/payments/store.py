"""Every SQL statement about payments and webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BindParameter,
    Text,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.types import Interval

from kit.database import Transaction
from payment_service.orders import store as orders_store
from payment_service.orders.domain import Order
from payment_service.orders.store import At
from payment_service.payments.domain import Intent, Payment, PaymentState, Report
from payment_service.tables import orders, payments, webhooks

OPEN = (PaymentState.CREATED, PaymentState.REQUIRES_ACTION, PaymentState.AUTHORIZED)
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
    payments.c.failure_announced_at,
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


async def note_failure(tx: Transaction, payment: Payment, apart: timedelta) -> datetime | None:
    """Note that a payment of a locked order failed, which is to be announced, and when that was.

    None: this was, or another of the order's payments less than `apart` ago.
    """
    values = {"payment_id": payment.id, "of_order": payment.order_id, "apart": apart}
    moment: datetime | None = (await tx.execute(_NOTE_FAILURE, values)).scalar_one_or_none()
    return moment


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


async def add_webhook(tx: Transaction, report: Report, payload: bytes) -> bool:
    """Keep a webhook; False when it was delivered before."""
    kept = await tx.execute(_ADD_WEBHOOK, _webhook(report, payload))
    return kept.first() is not None


async def add_webhook_and_lock_sale(
    tx: Transaction, report: Report, payload: bytes, payment_id: str
) -> tuple[Order, Payment] | None:
    """Keep a webhook, and lock what it is about; None when that is nothing, or nothing new."""
    values = {**_webhook(report, payload), "payment_id": payment_id}
    row = (await tx.execute(_ADD_WEBHOOK_AND_LOCK, values)).first()
    if row is None:
        return None
    return orders_store.order_of(row), _payment(*row[-len(_FIELDS) :])


async def add_webhook_if_known(at: At, report: Report, payload: bytes, intent: Intent) -> bool:
    """Keep a webhook that says what is known of a payment: whether it does. Nothing follows."""
    values = {
        **_webhook(report, payload),
        "payment_id": intent.payment_id,
        "intent_id": intent.provider_id,
        "status": intent.status,
    }
    rows = await at.execute(_ADD_WEBHOOK_IF_KNOWN, values)
    return bool(next(iter(rows))[0])


async def forget_webhooks(tx: Transaction, days: int) -> None:
    """Drop the webhooks that Stripe no longer repeats (it does for three days)."""
    old = webhooks.c.received_at < func.now() - func.make_interval(0, 0, 0, days)
    await tx.execute(webhooks.delete().where(old))


def _webhook(report: Report, payload: bytes) -> dict[str, Any]:
    return {
        "webhook_id": report.id,
        "webhook_type": report.type,
        "webhook_payload": payload,
    }


def _payment(*fields: Any) -> Payment:
    """A payment of _FIELDS; JSON has no moments, but texts."""
    values = dict(zip(_NAMES, fields, strict=True))
    values["state"] = PaymentState(values["state"])
    for name in ("failure_announced_at", "created_at"):
        if isinstance(values[name], str):
            values[name] = datetime.fromisoformat(values[name])
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
_told = payments.alias("told")
_NOTE_FAILURE = (
    update(payments)
    .where(
        payments.c.id == bindparam("payment_id"),
        payments.c.failure_announced_at.is_(None),
        ~exists().where(
            _told.c.order_id == bindparam("of_order"),
            _told.c.failure_announced_at > func.now() - bindparam("apart", type_=Interval()),
        ),
    )
    .values(failure_announced_at=func.now())
    .returning(payments.c.failure_announced_at)
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
_webhook_values: dict[Any, BindParameter[Any]] = {
    webhooks.c.id: bindparam("webhook_id"),
    webhooks.c.type: bindparam("webhook_type"),
    webhooks.c.payload: bindparam("webhook_payload"),
}
_ADD_WEBHOOK = (
    upsert(webhooks).values(_webhook_values).on_conflict_do_nothing().returning(webhooks.c.id)
)
_ADD_WEBHOOK_AND_LOCK = _LOCK_SALE.where(exists().select_from(_ADD_WEBHOOK.cte("added")))
_known = (
    select(payments.c.id)
    .where(
        payments.c.id == bindparam("payment_id"),
        payments.c.provider_id == bindparam("intent_id"),
        or_(
            payments.c.state.not_in(OPEN),
            payments.c.provider_status == bindparam("status", type_=Text),
        ),
    )
    .cte("known")
)
_ADD_WEBHOOK_IF_KNOWN = select(exists().select_from(_known)).add_cte(
    upsert(webhooks)
    .from_select(
        [column.name for column in _webhook_values],
        select(
            *(bindparam(value.key, type_=column.type) for column, value in _webhook_values.items())
        ).select_from(_known),
    )
    .on_conflict_do_nothing()
    .cte("added")
)
