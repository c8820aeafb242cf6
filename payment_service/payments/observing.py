"""Storing Stripe's word on a payment, in somebody's transaction: a webhook's or an answer's."""

from dataclasses import dataclass, replace
from datetime import timedelta

from tessera.payment.v1 import messages_pb2

from kit import outbox
from kit.database import Transaction
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import store as orders
from payment_service.orders.domain import Order, OrderState
from payment_service.payments import domain, store
from payment_service.payments.domain import DECIDING, Intent, Payment, PaymentState

FAILURES_APART = timedelta(minutes=15)  # those of one order that its customer is told of


@dataclass(frozen=True, slots=True)
class Heard:
    """A locked order and payment after a report about the payment."""

    order: Order
    payment: Payment
    is_news: bool

    @property
    def needs_settling(self) -> bool:
        """Whether something follows for the order."""
        is_decided = self.payment.provider_status in DECIDING
        return self.is_news and (is_decided or self.order.state is not OrderState.PENDING)


async def observe_intent(tx: Transaction, intent: Intent) -> bool:
    """Take a payment forwards to where Stripe says it is; whether that was news.

    Its order becomes due if something follows.
    """
    heard = await hear(tx, intent)
    if heard and heard.needs_settling:
        await orders.make_due(tx, heard.order.id)
    return heard is not None and heard.is_news


async def hear(tx: Transaction, intent: Intent) -> Heard | None:
    """Lock a payment and store Stripe's word on it; None: it is none of ours.

    What follows for its order is left to the caller.
    """
    found = await store.lock_sale(tx, intent.payment_id) if intent.payment_id else None
    if found is None:
        return None
    return await hear_locked(tx, intent, *found)


async def hear_locked(tx: Transaction, intent: Intent, order: Order, before: Payment) -> Heard:
    """Store Stripe's word on a locked payment of a locked order."""
    payment = domain.hear(before, intent)
    if payment != before:
        await store.save_heard(tx, payment)
    is_charge = payment.state is PaymentState.SUCCEEDED and not payment.fee_booked
    if is_charge and intent.fee and payment.provider_id == intent.provider_id:
        payment = await _book_fee(tx, order, payment, intent.fee)
    if payment.decline_code and order.state is OrderState.PENDING and payment.is_open:
        payment = await announce_failure(tx, order, payment)
    return Heard(order, payment, is_news=payment.provider_status != before.provider_status)


async def announce_failure(tx: Transaction, order: Order, payment: Payment) -> Payment:
    """Tell that an attempt to pay failed, the first time that it does.

    The customer gets a mail for it, and whoever orders may name anybody its customer: so of the
    failures that come soon after another of the same order nothing is told.
    """
    if payment.failure_announced_at or payment.has_money:
        return payment
    announced_at = await store.note_failure(tx, payment, FAILURES_APART)
    if announced_at is None:
        return payment
    await outbox.add(
        tx,
        messages_pb2.PaymentFailed(
            payment_id=payment.id,
            order_id=order.id,
            event_id=order.event_id,
            organizer_id=order.organizer_id,
            decline_code=payment.decline_code,
        ),
    )
    return replace(payment, failure_announced_at=announced_at)


async def _book_fee(tx: Transaction, order: Order, payment: Payment, fee: domain.Fee) -> Payment:
    await ledger.book(tx, postings.provider_fee(order, payment.id, fee.minor, fee.currency_code))
    await store.update_payment(tx, payment.id, fee_booked=True)
    return replace(payment, fee_booked=True)
