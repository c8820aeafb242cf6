"""Storing Stripe's word on a dispute, in somebody's transaction: a webhook's or an answer's."""

from kit.database import Transaction
from kit.ids import new_id
from payment_service.disputes import domain, store
from payment_service.disputes.domain import Dispute, DisputeReport, DisputeState
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import store as orders
from payment_service.orders.domain import Order, OrderState
from payment_service.payments import store as payments
from payment_service.payments.domain import Payment
from payment_service.refunds import opening
from payment_service.refunds import store as refunds


async def observe_dispute(tx: Transaction, report: DisputeReport) -> bool:
    """Take a dispute forwards to where Stripe says it is; whether that was news.

    Its money and fees are booked, and a worker has the tickets follow. Nothing is recorded of an
    inquiry, which moves none and is answered in Stripe's dashboard.
    """
    state = domain.state_of(report)
    payment_id = await refunds.find_payment_id(tx, report.payment_provider_id)
    if state is None or payment_id is None:
        return False
    found = await payments.find_order_id(tx, payment_id)
    order = await orders.get_order(tx, found, lock=True) if found else None
    payment = await payments.lock_payment(tx, payment_id)
    assert order is not None, "a payment has an order"
    assert payment is not None, "payments are never deleted"
    known = await store.find_dispute(tx, report.provider_id)
    dispute = known or await _open(tx, order, payment, report)
    if report.evidence_due_at != dispute.evidence_due_at:
        await store.update_dispute(tx, dispute.id, evidence_due_at=report.evidence_due_at)
    has_fees = await _book_fees(tx, order, dispute, report)
    ended = domain.observe(dispute, state)
    if ended is not dispute.state:
        await _close(tx, order, dispute, ended)
    return known is None or has_fees or ended is not dispute.state


async def _open(tx: Transaction, order: Order, payment: Payment, report: DisputeReport) -> Dispute:
    dispute = Dispute(
        id=new_id("dsp"),
        provider_id=report.provider_id,
        payment_id=payment.id,
        order_id=order.id,
        event_id=order.event_id,
        organizer_id=order.organizer_id,
        state=DisputeState.OPEN,
        currency_code=report.currency_code,
        amount_minor=report.amount_minor,
        reason=report.reason,
        opened_at=report.opened_at,
        evidence_due_at=report.evidence_due_at,
    )
    await store.insert_dispute(tx, dispute)
    opened = postings.dispute_opened(order, dispute.id, dispute.amount_minor, dispute.reason)
    await ledger.book(tx, opened)
    return dispute


async def _book_fees(
    tx: Transaction, order: Order, dispute: Dispute, report: DisputeReport
) -> bool:
    """Reports made before Stripe moved the money know of no fee yet."""
    currency = report.fee_currency_code
    taken = postings.dispute_fee(order, dispute.id, report.fee_minor, currency)
    returned = postings.dispute_fee_returned(order, dispute.id, report.fee_returned_minor, currency)
    booked = [await ledger.book(tx, fee) for fee in (taken, returned)]
    return any(booked)


async def _close(tx: Transaction, order: Order, dispute: Dispute, state: DisputeState) -> None:
    """The bank's last word: the money is back, or gone with the tickets."""
    await store.close(tx, dispute.id, domain.move(dispute, state))
    is_owed = not order.may_keep(dispute.payment_id)
    if state is DisputeState.WON:
        if dispute.state is DisputeState.LOST:
            regained = postings.dispute_regained(
                order, dispute.id, dispute.amount_minor, is_owed=is_owed
            )
            await ledger.book(tx, regained)
        await ledger.book(tx, postings.dispute_won(order, dispute.id, dispute.amount_minor))
    else:
        lost = postings.dispute_lost(order, dispute.id, dispute.amount_minor, is_owed=is_owed)
        await ledger.book(tx, lost)
        if order.state is OrderState.PAID and order.payment_id == dispute.payment_id:
            await opening.cancel_order(tx, order, "DISPUTE_LOST")
    await refunds.wake(tx, dispute.payment_id)
