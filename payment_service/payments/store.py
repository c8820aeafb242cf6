"""Every SQL statement about payments and webhooks."""

from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction
from payment_service.payments.domain import Payment, PaymentState
from payment_service.tables import payments, webhooks


async def insert_payment(
    tx: Transaction, payment_id: str, order_id: str, event_id: str, currency_code: str, minor: int
) -> None:
    """A payment that the provider does not know of yet."""
    await tx.execute(
        insert(payments).values(
            id=payment_id,
            order_id=order_id,
            event_id=event_id,
            state=PaymentState.CREATED,
            currency_code=currency_code,
            amount_minor=minor,
        )
    )


async def get_payment(tx: Transaction, order_id: str) -> Payment | None:
    """An order's payment; a free order has none."""
    return await _find(tx, payments.c.order_id == order_id)


async def find_order_id(tx: Transaction, payment_id: str) -> str | None:
    """The order that a payment is for."""
    query = select(payments.c.order_id).where(payments.c.id == payment_id)
    return (await tx.execute(query)).scalar_one_or_none()


async def lock_payment(tx: Transaction, payment_id: str) -> Payment | None:
    """A payment by its id, locked; its order is locked first, by everyone."""
    return await _find(tx, payments.c.id == payment_id, lock=True)


async def update_payment(tx: Transaction, payment_id: str, **values: Any) -> None:
    """Change columns of a payment."""
    await tx.execute(update(payments).where(payments.c.id == payment_id).values(values))


async def add_webhook(tx: Transaction, webhook_id: str, kind: str, payload: bytes) -> bool:
    """Keep a webhook; False when it was delivered before."""
    kept = upsert(webhooks).values(id=webhook_id, type=kind, payload=payload)
    first = kept.on_conflict_do_nothing().returning(webhooks.c.id)
    return (await tx.execute(first)).first() is not None


async def forget_webhooks(tx: Transaction, days: int) -> None:
    """Drop the webhooks that Stripe no longer repeats (it does for three days)."""
    old = webhooks.c.received_at < func.now() - func.make_interval(0, 0, 0, days)
    await tx.execute(webhooks.delete().where(old))


async def _find(tx: Transaction, condition: Any, *, lock: bool = False) -> Payment | None:
    query = select(payments).where(condition)
    row = (await tx.execute(query.with_for_update() if lock else query)).first()
    if row is None:
        return None
    return Payment(
        id=row.id,
        order_id=row.order_id,
        event_id=row.event_id,
        state=PaymentState(row.state),
        currency_code=row.currency_code,
        amount_minor=row.amount_minor,
        provider_id=row.provider_id,
        client_secret=row.client_secret,
        provider_status=row.provider_status,
        decline_code=row.decline_code,
        key_number=row.key_number,
    )
