"""Taking an order from its payment to its tickets, one durable step at a time.

Whatever happens to an order (a webhook, a deadline, a cancellation) only stores what happened and
makes the order due. `settle` then looks at the order, takes the next step, and looks again. Every
step can be repeated, so a crash anywhere means the step is taken once more.
"""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

from tessera.payment.v1 import messages_pb2

from kit import delivery, outbox, telemetry
from kit.clock import now, to_timestamp
from kit.database import Database, DatabaseUnavailable, Transaction
from kit.errors import TesseraError
from kit.proto_money import to_proto
from payment_service.disputes.domain import DisputeReport
from payment_service.disputes.observing import observe_dispute
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import store as orders
from payment_service.orders.domain import Fulfilment, Order, OrderState
from payment_service.orders.store import Claim
from payment_service.payments import domain, store
from payment_service.payments.domain import Intent, Payment, PaymentState, Step
from payment_service.payments.provider import PaymentProvider
from payment_service.refunds import opening
from payment_service.refunds.domain import RefundReport
from payment_service.refunds.observing import observe_refund
from payment_service.tickets_client import TicketsClient, TicketsRefused

LEASE = timedelta(seconds=30)  # two calls to Stripe that time out; after a crash, the wait
AT_ONCE = 8
SHORTEST_SLEEP_S = 0.05
LONGEST_SLEEP_S = 2.0
LONGEST_DELAY_S = 60
MAX_STEPS = 12  # the longest path has six; more is a loop that must not spin
PROCESSING_CHECK = timedelta(seconds=30)


async def prepare(database: Database, provider: PaymentProvider, order_id: str) -> None:
    """Have the provider know the order's payment, so that the customer can confirm it.

    Raises:
        PaymentProviderUnavailable: not now; the same call later goes on where this one stopped.
        PaymentRefused: the provider will never take this payment.
    """
    async with database.begin() as tx:
        payment = await store.get_payment(tx, order_id)
    if payment is None or payment.provider_id or not payment.is_open:
        return
    try:
        intent = await provider.create(payment)
    except domain.PaymentProviderUnavailable as error:
        async with database.begin() as tx:
            if error.key_is_spent:
                await store.update_payment(tx, payment.id, key_number=payment.key_number + 1)
            current = await store.get_payment(tx, order_id)
        if current and current.provider_id:
            return  # the same request came twice at once, and the other got through
        raise
    async with database.begin() as tx:
        await _observe(tx, intent)


async def receive_webhook(
    database: Database, provider: PaymentProvider, payload: bytes, signature: str
) -> None:
    """Keep what Stripe reports, once, and have the order it is about looked at.

    Raises:
        InvalidSignature: the report is not Stripe's, or too old.
    """
    report = provider.verify(payload, signature)
    async with database.begin() as tx:
        if not await store.add_webhook(tx, report.id, report.type, payload):
            return
        match report.about:
            case Intent():
                await _observe(tx, report.about)
            case RefundReport():
                await observe_refund(tx, report.about)
            case DisputeReport():
                await observe_dispute(tx, report.about)


class Settler:
    """Settles orders as they need it: some at once, so that a slow one delays no other."""

    def __init__(
        self, database: Database, provider: PaymentProvider, tickets: TicketsClient
    ) -> None:
        self._database = database
        self._provider = provider
        self._tickets = tickets
        self._running: set[asyncio.Task[None]] = set()

    async def settle_due(self) -> None:
        """Start with the orders that are due; then sleep until there may be more."""
        free = AT_ONCE - len(self._running)
        async with self._database.begin() as tx:
            claims = await orders.claim_due(tx, free, LEASE)
            due_in_s = None if claims else await orders.next_due_in_s(tx)
        for claim in claims:
            work = settle_claimed(self._database, self._provider, self._tickets, claim)
            task = asyncio.create_task(work, name=f"settle {claim.order_id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if len(self._running) == AT_ONCE:
            await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
        elif not claims:
            sleep_s = LONGEST_SLEEP_S if due_in_s is None else max(due_in_s, SHORTEST_SLEEP_S)
            await self._database.wait(orders.DUE, min(sleep_s, LONGEST_SLEEP_S))

    async def stop(self) -> None:
        """Let what has begun come to an end."""
        await delivery.finish(self._running)


async def settle_claimed(
    database: Database, provider: PaymentProvider, tickets: TicketsClient, claim: Claim
) -> None:
    """Settle one order; if that fails, try again later."""
    try:
        await settle(database, provider, tickets, claim)
    except Exception as error:  # one order's trouble is not another's
        delay = timedelta(seconds=min(0.2 * 2 ** min(claim.attempts, 20), LONGEST_DELAY_S))
        if isinstance(error, TesseraError):
            telemetry.log.warning("settling delayed", order_id=claim.order_id, why=error.reason)
        else:
            telemetry.log.exception("settling failed", order_id=claim.order_id)
        with suppress(DatabaseUnavailable):  # then the lease runs out
            async with database.begin() as tx:
                await orders.postpone(tx, claim, delay)


async def settle(
    database: Database, provider: PaymentProvider, tickets: TicketsClient, claim: Claim
) -> None:
    """Take an order as far as it can go now."""
    looked = False
    for _ in range(MAX_STEPS):
        async with database.begin() as tx:
            order = await orders.get_order(tx, claim.order_id)
            payment = await store.get_payment(tx, claim.order_id)
            assert order is not None, "orders are never deleted"
            overdue = await orders.is_overdue(tx, claim.order_id)
            step = domain.next_step(order, payment, overdue=overdue, looked=looked)
            if step is Step.NOTHING:
                await orders.rest(tx, claim, _next_look(order, payment, overdue=overdue))
                return
        if payment is None:
            await _settle_free(database, tickets, order, step)
        else:
            await _take(database, provider, tickets, order, payment, step)
        looked = looked or step is Step.LOOK
    raise RuntimeError(f"order {claim.order_id} does not settle")


def _next_look(order: Order, payment: Payment | None, *, overdue: bool) -> datetime | None:
    if order.state is OrderState.PENDING and not overdue:
        return order.expires_at
    is_under_way = payment is not None and payment.is_open
    return now() + PROCESSING_CHECK if is_under_way else None


async def _settle_free(
    database: Database, tickets: TicketsClient, order: Order, step: Step
) -> None:
    if step is Step.ISSUE:
        await _issue(database, tickets, order)
    elif step is Step.FINISH:
        await _finish(database, order, None)
    elif step is Step.TAKE_BACK:
        await _take_back(database, tickets, order)


async def _take(
    database: Database,
    provider: PaymentProvider,
    tickets: TicketsClient,
    order: Order,
    payment: Payment,
    step: Step,
) -> None:
    match step:
        case Step.ISSUE:
            await _issue(database, tickets, order)
        case Step.CAPTURE:
            await _capture(database, provider, order, payment)
        case Step.FINISH:
            await _finish(database, order, payment)
        case Step.CLOSE:
            await _close(database, order, payment)
        case Step.LOOK:
            await _look(database, provider, payment)
        case Step.EXPIRE:
            await _expire(database, order)
        case Step.TAKE_BACK:
            await _take_back(database, tickets, order)
        case Step.VOID:
            await _void(database, provider, payment)
        case Step.REFUND:
            await _refund(database, payment)


async def _issue(database: Database, tickets: TicketsClient, order: Order) -> None:
    async with database.begin() as tx:
        locked = await _lock(tx, order.id)
        if locked.state is not OrderState.PENDING or locked.fulfilment is Fulfilment.ISSUED:
            return
        await orders.set_fulfilment(tx, order.id, Fulfilment.ISSUING)
    try:
        await tickets.issue(order)
    except TicketsRefused as refused:
        async with database.begin() as tx:
            locked = await _lock(tx, order.id)
            if locked.fulfilment is Fulfilment.ISSUING and locked.state is OrderState.PENDING:
                await orders.move_order(
                    tx, locked, OrderState.CANCELLED, cancel_reason=refused.reason
                )
        return
    async with database.begin() as tx:
        locked = await _lock(tx, order.id)
        if locked.state is not OrderState.PAID:  # if it was given up meanwhile, they are taken back
            await orders.set_fulfilment(tx, order.id, Fulfilment.ISSUED)


async def _capture(
    database: Database, provider: PaymentProvider, order: Order, payment: Payment
) -> None:
    assert payment.provider_id, "what is authorised has the provider's id"
    try:
        intent = await provider.capture(payment.provider_id)
    except domain.PaymentRefused as refused:
        telemetry.log.warning("capture refused", order_id=order.id, why=refused.message)
        intent = await provider.cancel(payment.provider_id)
    async with database.begin() as tx:
        await _observe(tx, intent, settling=True)


async def _finish(database: Database, order: Order, payment: Payment | None) -> None:
    async with database.begin() as tx:
        locked = await _lock(tx, order.id)
        if locked.state is not OrderState.PENDING:
            return
        await orders.move_order(tx, locked, OrderState.PAID)
        if payment:
            state = domain.move(payment, PaymentState.SUCCEEDED)
            await store.update_payment(tx, payment.id, state=state)
        await outbox.add(
            tx,
            messages_pb2.PaymentSucceeded(
                order_id=order.id,
                order_code=order.code,
                event_id=order.event_id,
                organizer_id=order.organizer_id,
                payment_id=payment.id if payment else "",
                total=to_proto(order.currency_code, order.total_minor),
                succeeded_at=to_timestamp(now()),
            ),
        )


async def _close(database: Database, order: Order, payment: Payment) -> None:
    """Stripe cancelled the payment: it failed if the order still wanted it."""
    async with database.begin() as tx:
        locked = await _lock(tx, order.id)
        current = await store.lock_payment(tx, payment.id)
        if current is None or not current.is_open:
            return
        wanted = locked.state is OrderState.PENDING
        state = PaymentState.FAILED if wanted else PaymentState.CANCELLED
        await store.update_payment(tx, payment.id, state=domain.move(current, state))
        if wanted:
            await orders.move_order(
                tx, locked, OrderState.CANCELLED, cancel_reason="PAYMENT_FAILED"
            )


async def _look(database: Database, provider: PaymentProvider, payment: Payment) -> None:
    """Hear Stripe before giving up: a webhook may be late or lost."""
    if payment.provider_id:
        intent = await provider.retrieve(payment.provider_id)
        async with database.begin() as tx:
            await _observe(tx, intent, settling=True)


async def _void(database: Database, provider: PaymentProvider, payment: Payment) -> None:
    if payment.provider_id is None:
        # The answer to its creation may have been lost; nobody can confirm it without its secret.
        async with database.begin() as tx:
            await _lock(tx, payment.order_id)
            current = await store.lock_payment(tx, payment.id)
            if current and current.is_open and current.provider_id is None:
                state = domain.move(current, PaymentState.CANCELLED)
                await store.update_payment(tx, payment.id, state=state)
        return
    intent = await provider.cancel(payment.provider_id)
    async with database.begin() as tx:
        await _observe(tx, intent, settling=True)


async def _refund(database: Database, payment: Payment) -> None:
    """A charge that no order keeps goes back: the refund's worker sees to it."""
    async with database.begin() as tx:
        order = await _lock(tx, payment.order_id)
        current = await store.lock_payment(tx, payment.id)
        if current is None or not current.is_open:
            return
        state = domain.move(current, PaymentState.SUCCEEDED)
        await store.update_payment(tx, payment.id, state=state)
        await ledger.book(tx, postings.charge_of_nobody(order, payment))
        await opening.return_charge(tx, order, payment)


async def _take_back(database: Database, tickets: TicketsClient, order: Order) -> None:
    await tickets.cancel(order)
    async with database.begin() as tx:
        await _lock(tx, order.id)
        await orders.set_fulfilment(tx, order.id, Fulfilment.TAKEN_BACK)


async def _expire(database: Database, order: Order) -> None:
    """Give an overdue order up, unless its payment got ahead of us meanwhile."""
    async with database.begin() as tx:
        locked = await _lock(tx, order.id)
        payment = await store.get_payment(tx, order.id)
        if locked.state is OrderState.PENDING and not (
            payment and payment.provider_status in domain.DECIDING
        ):
            await orders.move_order(tx, locked, OrderState.EXPIRED)


async def _observe(tx: Transaction, intent: Intent, *, settling: bool = False) -> None:
    """Store Stripe's word on a payment, if it is ours and news.

    Its order becomes due, unless it is being settled: then the next step comes anyway.
    """
    order_id = await store.find_order_id(tx, intent.payment_id)
    if order_id is None:
        return
    order = await _lock(tx, order_id)
    payment = await store.lock_payment(tx, intent.payment_id)
    # An attempt whose answer was lost may have left a second intent; nobody has its secret.
    if payment is None or payment.provider_id not in (None, intent.provider_id):
        return
    if not payment.is_open:
        return
    status, state = domain.observe(payment, intent.status)
    await store.update_payment(
        tx,
        payment.id,
        provider_id=payment.provider_id or intent.provider_id,
        client_secret=payment.client_secret or intent.client_secret,
        provider_status=status,
        decline_code=intent.decline_code if status == intent.status else payment.decline_code,
        state=state,
    )
    is_decided = status in domain.DECIDING or order.state is not OrderState.PENDING
    if not settling and status != payment.provider_status and is_decided:
        await orders.make_due(tx, order_id)


async def _lock(tx: Transaction, order_id: str) -> Order:
    order = await orders.get_order(tx, order_id, lock=True)
    assert order is not None, "orders are never deleted"
    return order
