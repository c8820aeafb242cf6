"""What is ours alone: is every payment and refund booked, every order paid, is a customer owed?"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from kit.database import Transaction
from kit.money import Money
from payment_service.disputes import store as disputes
from payment_service.disputes.domain import DisputeState
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import store as orders
from payment_service.orders.domain import Order
from payment_service.payments import store as payments
from payment_service.payments.domain import PaymentState
from payment_service.reconciliation import domain, store
from payment_service.reconciliation.domain import Finding, FindingKind
from payment_service.reconciliation.work import Work
from payment_service.refunds import domain as refund_domain
from payment_service.refunds import store as refunds
from payment_service.refunds.domain import RefundState

Scan = Callable[[Transaction, str, int], Awaitable[tuple[list[str], str]]]


async def compare_books(work: Work) -> None:
    """Book what the ledger lacks, such as what was paid before there was one."""
    await _each(work, store.unbooked_payments, _book_charge)
    await _each(work, store.unbooked_refunds, _book_refund)
    await _each(work, store.paid_for_nothing, _report_order)


async def compare_debts(work: Work) -> None:
    """Report what is owed to customers. It is not tried again: what failed may need another way.

    https://docs.stripe.com/refunds#failed-refunds
    """
    await _each(work, store.maybe_owed, _report_debt)


async def _each(work: Work, scan: Scan, take: Callable[[Work, str], Awaitable[None]]) -> None:
    after = ""
    while True:
        async with work.database.begin() as tx:
            found, after = await scan(tx, after, work.scanned_at_once)
        for key in found:
            await take(work, key)
        await work.proceed()
        if not after:
            return


async def _book_charge(work: Work, payment_id: str) -> None:
    async with work.database.begin() as tx:
        order_id = await payments.find_order_id(tx, payment_id)
        assert order_id, "a payment has an order"
        order = await _lock(tx, order_id)
        payment = await payments.lock_payment(tx, payment_id)
        assert payment, "payments are never deleted"
        if payment.state is not PaymentState.SUCCEEDED:
            return
        if order.payment_id == payment.id:
            charge = replace(postings.charge_of_order(order, payment.id), booked_at=order.paid_at)
        else:
            charge = postings.charge_of_nobody(order, payment)
            charge = replace(charge, booked_at=payment.created_at)
        if await ledger.book(tx, charge):
            detail = f"The ledger had no charge for order {order.code}."
            await work.add(tx, Finding(FindingKind.MISSING_CHARGE, payment.id, detail, True))


async def _book_refund(work: Work, refund_id: str) -> None:
    async with work.database.begin() as tx:
        known = await refunds.get_refund(tx, refund_id)
        assert known, "refunds are never deleted"
        order = await _lock(tx, known.order_id)
        refund = await refunds.get_refund(tx, refund_id, lock=True)
        assert refund, "refunds are never deleted"
        # Before there was a ledger, a refund gave all of a charge back that no order kept.
        allocation = refund.allocation or refund_domain.unallocated(refund.amount_minor)
        if refund.state is RefundState.FAILED:
            lacking = postings.refund_failed(order, refund.id, allocation)
        else:
            lacking = postings.refund(order, refund.id, allocation, refund.reason)
            lacking = replace(lacking, booked_at=refund.created_at)
        if await ledger.book(tx, lacking):
            detail = f"The ledger had no {lacking.kind} for a refund of order {order.code}."
            await work.add(tx, Finding(FindingKind.MISSING_REFUND, refund.id, detail, True))


async def _report_order(work: Work, order_id: str) -> None:
    detail = "The order is paid, but it keeps no payment that was charged."
    await work.report(Finding(FindingKind.PAID_WITHOUT_CHARGE, order_id, detail))


async def _report_debt(work: Work, payment_id: str) -> None:
    async with work.database.begin() as tx:
        sale = await payments.lock_sale(tx, payment_id)
        assert sale, "payments are never deleted"
        order, payment = sale
        if DisputeState.OPEN in await disputes.states_about(tx, payment_id):
            return  # the bank has it, and decides
        left = await refunds.get_left(tx, payment_id)
        minor = domain.owed(order, payment_id, left, await refunds.list_refunds(tx, order.id))
        if minor:
            amount = Money(payment.currency_code, minor)
            detail = (
                f"{amount} of order {order.code} were to go back to the customer; they did not."
            )
            await work.add(tx, Finding(FindingKind.OWED_TO_CUSTOMER, payment_id, detail))


async def _lock(tx: Transaction, order_id: str) -> Order:
    order = await orders.get_order(tx, order_id, lock=True)
    assert order, "orders are never deleted"
    return order
