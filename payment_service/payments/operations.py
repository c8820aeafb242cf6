"""Attempts to pay: begun by customers, prepared with Stripe, heard of through its webhooks."""

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from tessera.payment.v1 import order_pb2

from kit import delivery, telemetry
from kit.auth import Caller
from kit.database import Database, Transaction
from kit.errors import TesseraError
from kit.idempotency import Answered, Once
from kit.ids import new_id
from kit.rpc_client import deadline, remaining_s
from payment_service.disputes.domain import DisputeReport
from payment_service.disputes.observing import observe_dispute
from payment_service.orders import domain as order_domain
from payment_service.orders import store as orders
from payment_service.orders.access import seen_by
from payment_service.orders.domain import Fulfilment, Order, OrderState
from payment_service.orders.store import Claim
from payment_service.payments import domain, observing, store
from payment_service.payments.domain import Intent, Payment, PaymentState, Report
from payment_service.payments.provider import PaymentProvider
from payment_service.payments.store import Sale
from payment_service.refunds.domain import RefundReport
from payment_service.refunds.observing import observe_refund
from payment_service.settling.store import take_order

LATER = timedelta(seconds=60)  # when a payment that waits for its turn is looked after again
_PATIENCE_S = 3.0  # how long customers wait for their payment to be prepared
_MARGIN_S = 3.0  # what is left of a call's time for everything else


class Preparer:
    """Has Stripe know of payments, so that customers can confirm them.

    In a rush there is a long line in front of Stripe. Who has waited for a while is told to look
    again, and keeps the place in it.
    """

    def __init__(self, database: Database, provider: PaymentProvider) -> None:
        self._database = database
        self._provider = provider
        self._running: dict[str, asyncio.Task[Payment]] = {}

    async def prepare(self, payment: Payment) -> Payment:
        """The payment with what Stripe calls it; as it is, if that takes longer than one waits.

        Raises:
            PaymentProviderUnavailable: not now; the same later goes on where this stopped.
            PaymentRefused: Stripe will never take this payment, which has failed by that.
        """
        if payment.provider_id is not None or not payment.is_open:
            return payment
        task = self._running.get(payment.id) or self._start(payment)
        patience_s = max(0.0, min(_PATIENCE_S, remaining_s() - _MARGIN_S))
        done, _ = await asyncio.wait({task}, timeout=patience_s)
        if done:
            return task.result()
        await orders.look_later(self._database, payment.order_id, LATER)
        return payment

    async def stop(self) -> None:
        """Let who is at Stripe hear its answer; who stands in line will stand there anew."""
        running = set(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=_PATIENCE_S)
            await delivery.stop(late)

    def _start(self, payment: Payment) -> "asyncio.Task[Payment]":
        context = contextvars.copy_context()
        context.run(deadline.set, None)  # the line may be longer than the caller can wait
        task = asyncio.create_task(
            _prepare(self._database, self._provider, payment),
            name=f"prepare {payment.id}",
            context=context,
        )
        self._running[payment.id] = task
        task.add_done_callback(lambda done: self._ended(payment, done))
        return task

    def _ended(self, payment: Payment, task: "asyncio.Task[Payment]") -> None:
        del self._running[payment.id]
        if not task.cancelled() and (error := task.exception()):
            why = error.reason if isinstance(error, TesseraError) else repr(error)
            telemetry.log.warning("payment not prepared", order_id=payment.order_id, why=why)


async def _prepare(database: Database, provider: PaymentProvider, payment: Payment) -> Payment:
    try:
        intent = await provider.create(payment)
    except domain.PaymentProviderUnavailable as error:
        async with database.begin() as tx:
            if error.key_is_spent:
                await store.update_payment(tx, payment.id, key_number=payment.key_number + 1)
            current = await store.get_payment(tx, payment.id)
        if current and current.provider_id:
            return current  # a webhook, or the same request elsewhere, was faster
        raise
    except domain.PaymentRefused:
        async with database.begin() as tx:  # or its customer would get it again and again
            found = await store.lock_sale(tx, payment.id)
            assert found, "payments are never deleted"
            if found[1].is_open and found[1].provider_id is None:
                state = domain.move(found[1], PaymentState.FAILED)
                await store.update_payment(tx, payment.id, state=state)
        raise
    if await store.record_prepared(database, payment, intent):
        return domain.hear(payment, intent)
    async with database.begin() as tx:
        await observing.observe_intent(tx, intent)
        current = await store.get_payment(tx, payment.id)
    assert current is not None, "payments are never deleted"
    return current


class Starter(Protocol):
    """Settles orders whose payment was just heard of, as long as there is room."""

    @property
    def has_room(self) -> bool: ...

    def start(self, claim: Claim, sale: Sale | None = None) -> None: ...


async def receive_webhook(
    database: Database,
    provider: PaymentProvider,
    payload: bytes,
    signature: str,
    starter: Starter | None = None,
) -> None:
    """Keep what Stripe reports, once, and have the order it is about looked at.

    Reports about what is none of our business are not kept. Those that change nothing, which is
    every second one, take a single statement.

    Raises:
        InvalidSignature: the report is not Stripe's, or too old.
    """
    report = provider.verify(payload, signature)
    if report.about is None:
        return
    if isinstance(report.about, Intent):
        await _receive_intent(database, report, report.about, payload, starter)
        return
    async with database.begin() as tx:
        if not await store.add_webhook(tx, report, payload):
            return
        match report.about:
            case RefundReport():
                await observe_refund(tx, report.about)
            case DisputeReport():
                await observe_dispute(tx, report.about)


async def _receive_intent(
    database: Database, report: Report, intent: Intent, payload: bytes, starter: Starter | None
) -> None:
    """Most are news of an authorisation, or tell what our own capture was answered."""
    if intent.status in domain.LAST and await store.add_webhook_if_known(
        database, report, payload, intent
    ):
        return
    started = None
    async with database.begin() as tx:
        found = await store.add_webhook_and_lock_sale(tx, report, payload, intent.payment_id)
        if found:
            started = await _follow(tx, intent, *found, starter)
    if started and starter:
        starter.start(*started)


async def _follow(
    tx: Transaction, intent: Intent, order: Order, before: Payment, starter: Starter | None
) -> tuple[Claim, Sale | None] | None:
    """Store Stripe's word. If something follows, claim the order, or leave it to who comes."""
    has_room = starter is not None and starter.has_room
    payment = domain.hear(before, intent)
    if order.state is OrderState.PENDING and payment.has_money and has_room:
        if payment.provider_status == before.provider_status:
            return None
        claim = await take_order(tx, payment, orders.LEASE)
        issuing = replace(order, fulfilment=Fulfilment.ISSUING)
        return claim, Sale(issuing, (payment,), is_overdue=False)
    heard = await observing.hear_locked(tx, intent, order, before)
    if not heard.needs_settling:
        return None
    if not has_room:
        await orders.make_due(tx, order.id)
        return None
    return await orders.claim_order(tx, order.id, orders.LEASE), None


async def create_payment(
    database: Database, preparer: Preparer, caller: Caller, order_id: str, once: Once[Payment]
) -> tuple[Order, Payment]:
    """Begin another attempt to pay an order; the same key again answers the same attempt.

    Who asks for another while nobody has tried the latest gets that: each is a call to Stripe, and
    another at the end.

    Raises:
        OrderNotFound: there is no such order, or it is somebody else's.
        OrderAlreadyPaid, OrderExpired, OrderCancelled, PaymentInProgress: it needs no payment.
        TooManyPayments, TooManyOpenPayments: it had its attempts, or several are under way.
        PaymentProviderUnavailable, PaymentRefused: Stripe does not take it (now).
    """
    order, payment = await _begin(database, caller, order_id, once)
    return order, await preparer.prepare(payment)


async def _begin(
    database: Database, caller: Caller, order_id: str, once: Once[Payment]
) -> tuple[Order, Payment]:
    async with database.begin() as tx:
        try:
            await once.claim(tx)
        except Answered as answered:  # how it stands is told anew, with what Stripe calls it now
            known = order_pb2.Payment.FromString(answered.response).id
            payment = await store.get_payment(tx, known)
            order = await orders.get_order(tx, order_id)
            assert payment is not None, "payments are never deleted"
            return seen_by(caller, order), payment
        order = seen_by(caller, await orders.get_order(tx, order_id, lock=True))
        attempts = await store.list_payments(tx, order_id)
        order_domain.check_payable(order, overdue=await orders.is_overdue(tx, order_id))
        if order.is_free or any(each.has_money or each.is_under_way for each in attempts):
            raise order_domain.PaymentInProgress
        payment = domain.latest_untried(attempts)
        if payment is None:
            payment = await store.insert_payment(tx, new_payment(order))
            await orders.look_again(tx, order_id, LATER)
        return order, await once.record(tx, payment)


async def list_payments(
    database: Database, caller: Caller, order_id: str
) -> tuple[Order, Sequence[Payment]]:
    """An order and the attempts to pay it, oldest first.

    Raises:
        OrderNotFound: there is none, or it is somebody else's.
    """
    sale = await store.get_sale(database, order_id)
    order = seen_by(caller, sale.order if sale else None)
    return order, sale.payments if sale else ()


def new_payment(order: Order) -> Payment:
    """An attempt to charge an order's total that nobody knows of yet."""
    return Payment(
        id=new_id("pay"),
        order_id=order.id,
        event_id=order.event_id,
        state=PaymentState.CREATED,
        currency_code=order.currency_code,
        amount_minor=order.total_minor,
        provider_id=None,
        client_secret="",
        provider_status="",
        decline_code="",
        key_number=1,
    )
