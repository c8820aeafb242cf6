"""Giving up an order that was not paid, in somebody's transaction."""

from tessera.payment.v1 import messages_pb2

from kit import outbox
from kit.database import Transaction
from payment_service.orders import store
from payment_service.orders.domain import Order, OrderState
from payment_service.vouchers import redemptions


async def expire(tx: Transaction, order: Order) -> None:
    """A locked order was not paid in time; whoever settles it goes on with its payments."""
    await _end(tx, order, OrderState.EXPIRED)
    await outbox.add(
        tx,
        messages_pb2.OrderExpired(
            order_id=order.id,
            event_id=order.event_id,
            organizer_id=order.organizer_id,
            notify=order.notify_on_expiry,
        ),
    )


async def cancel(tx: Transaction, order: Order, reason: str) -> None:
    """A locked order that waits for its payment is given up: its payments are voided at once."""
    await _end(tx, order, OrderState.CANCELLED, reason)
    await store.make_due(tx, order.id)


async def fail(tx: Transaction, order: Order, reason: str) -> None:
    """There are no tickets for a locked order whose payment went through: its customer is told.

    Whoever settles it goes on with its payments.
    """
    await _end(tx, order, OrderState.CANCELLED, reason)
    await outbox.add(
        tx,
        messages_pb2.OrderCancelled(
            order_id=order.id,
            event_id=order.event_id,
            organizer_id=order.organizer_id,
            reason=reason,
        ),
    )


async def _end(tx: Transaction, order: Order, state: OrderState, reason: str = "") -> None:
    await store.move_order(tx, order, state, cancel_reason=reason)
    if order.voucher_id is not None:
        await redemptions.give_back(tx, order.id)
