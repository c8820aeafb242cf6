"""Storing Stripe's word on a refund, in somebody's transaction: a webhook's or an answer's."""

from dataclasses import replace

from tessera.payment.v1 import messages_pb2

from kit import outbox
from kit.database import Transaction
from kit.ids import new_id
from payment_service.bulk import store as bulk
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import store as orders
from payment_service.orders.domain import Order
from payment_service.payments import store as payments
from payment_service.payments.domain import Payment
from payment_service.refunds import domain, store
from payment_service.refunds.domain import Refund, RefundOrigin, RefundReport, RefundState


async def observe_refund(tx: Transaction, report: RefundReport) -> bool:
    """Take a refund forwards to where Stripe says it is; whether that was news.

    What Stripe accepts is booked and announced, what a bank sends back is booked back. One that was
    made in Stripe's dashboard is recorded: it leaves the tickets alone.

    Raises:
        RefundedElsewhere: it leaves less than a refund of ours needs, which Stripe will refuse.
    """
    payment_id = await store.find_payment_id(tx, report.payment_provider_id)
    if payment_id is None:
        return False
    found = await payments.find_order_id(tx, payment_id)
    order = await orders.get_order(tx, found, lock=True) if found else None
    payment = await payments.lock_payment(tx, payment_id)
    assert order is not None, "a payment has an order"
    assert payment is not None, "payments are never deleted"
    known = await _known(tx, payment_id, report)
    refund = known or _adopted(order, payment, report)
    state = domain.observe(refund, report.status)
    if state is refund.state:
        return False
    reserved = known.amount_minor if known else 0
    if state is RefundState.FAILED:
        await store.reserve(tx, payment.id, -reserved)
    elif refund.state is RefundState.CREATED:
        await _reserve(tx, payment, report.amount_minor - reserved)
    if known is None:
        await store.insert_refund(tx, refund, is_due=False)
    elif refund.state is RefundState.CREATED and refund.amount_minor != report.amount_minor:
        # Stripe had made it before it was fitted into what was left.
        refund = domain.resized(refund, report.amount_minor)
        await store.resize(tx, refund)
    await _record(tx, order, refund, state, report)
    return True


async def finish(tx: Transaction, order: Order, refund: Refund) -> None:
    """A locked refund without money in it is through once its tickets are cancelled."""
    state = domain.move(refund, RefundState.SUCCEEDED)
    await store.update_refund(tx, refund.id, state=state, next_attempt_at=None)
    await ledger.book(tx, postings.refund(order, refund.id, refund.allocation, refund.reason))


async def refuse(tx: Transaction, refund: Refund, reason: str) -> None:
    """Stripe will never make this locked refund, for which nothing is reserved any more."""
    state = domain.move(refund, RefundState.FAILED)
    await store.update_refund(
        tx, refund.id, state=state, failure_reason=reason, next_attempt_at=None
    )
    if refund.operation_id:
        await bulk.wake(tx, refund.operation_id)


async def _known(tx: Transaction, payment_id: str, report: RefundReport) -> Refund | None:
    """The refund of a locked payment that a report is about."""
    if report.refund_id:
        refund = await store.get_refund(tx, report.refund_id, lock=True)
        # Were it made twice, the second would be somebody else's doing, and is recorded as such.
        if refund and refund.payment_id == payment_id and domain.is_about(report, refund):
            return refund
    return await store.find_refund(tx, report.provider_id)


async def _reserve(tx: Transaction, payment: Payment, minor: int) -> None:
    if minor > payment.amount_minor - payment.refunded_minor:
        raise domain.RefundedElsewhere
    if minor:
        await store.reserve(tx, payment.id, minor)


def _adopted(order: Order, payment: Payment, report: RefundReport) -> Refund:
    """A refund that was made without us, as if it had been about to be made by us."""
    minor = report.amount_minor
    is_kept = order.may_keep(payment.id)
    return Refund(
        id=new_id("ref"),
        order_id=order.id,
        payment_id=payment.id,
        event_id=order.event_id,
        state=RefundState.CREATED,
        origin=RefundOrigin.PROVIDER,
        currency_code=payment.currency_code,
        amount_minor=minor,
        allocation=domain.goodwill(minor) if is_kept else domain.unallocated(minor),
        provider_id=report.provider_id,
    )


async def _record(
    tx: Transaction, order: Order, refund: Refund, state: RefundState, report: RefundReport
) -> None:
    """Store, book and announce a locked refund's new state."""
    later = store.LOOK_AFTER if state is RefundState.PENDING else None
    await store.advance(
        tx,
        replace(
            refund,
            state=domain.move(refund, state),
            provider_id=report.provider_id,
            failure_reason=report.failure_reason,
        ),
        later,
    )
    if refund.state is RefundState.CREATED:
        await ledger.book(tx, postings.refund(order, refund.id, refund.allocation, refund.reason))
    if state is RefundState.FAILED:
        await ledger.book(tx, postings.refund_failed(order, refund.id, refund.allocation))
        if refund.operation_id:
            await bulk.wake(tx, refund.operation_id)
    elif refund.state is RefundState.CREATED:
        await outbox.add(
            tx,
            messages_pb2.RefundIssued(
                refund_id=refund.id,
                order_id=order.id,
                event_id=order.event_id,
                organizer_id=order.organizer_id,
            ),
        )
