"""Taking an order from its payment to its tickets, one durable step at a time.

Whatever happens to an order (a webhook, a deadline, a cancellation) only stores what happened and
makes the order due. `settle` then looks at the order, takes the next step, and looks again. Every
step can be repeated, so a crash anywhere means the step is taken once more.
"""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from tessera.payment.v1 import messages_pb2

from kit import outbox, telemetry
from kit.clock import now, to_timestamp
from kit.database import Database, DatabaseUnavailable, Transaction
from kit.errors import TesseraError
from kit.proto_money import to_proto
from payment_service.ledger import postings
from payment_service.ledger import store as ledger
from payment_service.orders import ending
from payment_service.orders import store as orders
from payment_service.orders.domain import Fulfilment, Order, OrderState, check_move
from payment_service.orders.store import Claim
from payment_service.payments import domain as payment_domain
from payment_service.payments import observing
from payment_service.payments import store as payments
from payment_service.payments.domain import (
    CHARGED,
    PROCESSING,
    Fee,
    Intent,
    Payment,
    PaymentRefused,
    PaymentState,
    taker,
)
from payment_service.payments.operations import LATER, Preparer
from payment_service.payments.pacer import Lane, in_lane
from payment_service.payments.provider import PaymentProvider
from payment_service.payments.store import Sale
from payment_service.refunds import opening
from payment_service.settling import store
from payment_service.settling.domain import Next, Step, next_step
from payment_service.tickets_client import TicketsClient, TicketsRefused

LONGEST_DELAY_S = 60
MAX_STEPS = 100  # three for each of twenty payments, and then some; more is a loop
SHORTEST_LOOK = timedelta(seconds=5)
LONGEST_LOOK = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Means:
    """What settling takes."""

    database: Database
    provider: PaymentProvider
    tickets: TicketsClient
    preparer: Preparer


async def claim_due(
    database: Database, limit: int, *, left_over: bool = False
) -> tuple[list[Claim], float | None]:
    """The orders that are due, claimed; without any, in how many seconds the next one is."""
    lease = orders.LONG_LEASE if left_over else orders.LEASE
    async with database.begin() as tx:
        claims = await orders.claim_due(tx, limit, lease, left_over=left_over)
        return claims, None if claims else await orders.next_due_in_s(tx, left_over=left_over)


async def settle_claimed(
    means: Means, claim: Claim, sale: Sale | None = None, *, leaves_over: bool = False
) -> None:
    """Settle one order, whose sale may be known; if that fails, try again later.

    See `settle`.
    """
    try:
        await settle(means, claim, sale, leaves_over=leaves_over)
    except Exception as error:  # one order's trouble is not another's
        delay = timedelta(seconds=min(0.2 * 2 ** min(claim.attempts, 20), LONGEST_DELAY_S))
        if isinstance(error, TesseraError):
            telemetry.log.warning("settling delayed", order_id=claim.order_id, why=error.reason)
        else:
            telemetry.log.exception("settling failed", order_id=claim.order_id)
        with suppress(DatabaseUnavailable):  # then the lease runs out
            async with means.database.begin() as tx:
                await orders.postpone(tx, claim, delay)


class _Then(Enum):
    """What follows a step."""

    GO_ON = auto()  # with what is known
    LOOK = auto()  # at the order again
    REST = auto()  # until later
    STOP = auto()  # nothing is left to do, and that is stored


@dataclass(slots=True)
class _Known:
    """What was found out a moment ago: whether tickets were issued, whom Stripe was asked about."""

    issued: bool = False
    looked: set[str] = field(default_factory=set)


async def settle(
    means: Means, claim: Claim, sale: Sale | None = None, *, leaves_over: bool = False
) -> None:
    """Take an order as far as it can go now; what can wait may be left to somebody else."""
    known = _Known()
    for _ in range(MAX_STEPS):
        sale = sale or await payments.get_sale(means.database, claim.order_id)
        assert sale is not None, "orders are never deleted"
        step, payment = next_step(
            sale.order,
            sale.payments,
            overdue=sale.is_overdue,
            issued=known.issued,
            looked=known.looked,
        )
        if step is Step.NOTHING:
            await orders.rest(means.database, claim, _next_look(sale))
            return
        todo = Next(step, payment)
        if todo.can_wait and leaves_over:
            async with means.database.begin() as tx:
                await orders.leave_over(tx, claim)
            return
        with in_lane(Lane.BACKGROUND if todo.can_wait else Lane.SETTLING):
            then = await _take(means, claim, sale.order, todo, known)
        match then:
            case _Then.LOOK:
                sale = None
            case _Then.REST:
                later = min(now() + LATER, sale.order.expires_at)
                await orders.rest(means.database, claim, later)
                return
            case _Then.STOP:
                return
    raise RuntimeError(f"order {claim.order_id} does not settle")


async def _take(means: Means, claim: Claim, order: Order, todo: Next, known: _Known) -> _Then:
    """Take one step."""
    step, payment = todo
    if step is Step.ISSUE:
        known.issued = await _issue(means, order)
        return _Then.GO_ON if known.issued else _Then.LOOK
    if step in (Step.CAPTURE, Step.FINISH):
        known.looked.clear()  # its fee is another question
        return _Then.STOP if await _take_money(means, claim, order, payment) else _Then.LOOK
    if step is Step.TAKE_BACK:
        await _take_back(means, order)
        return _Then.LOOK
    if step is Step.EXPIRE:
        await _expire(means, order)
        return _Then.LOOK
    assert payment is not None, "the other steps are about a payment"
    if step is Step.PREPARE:
        return _Then.LOOK if await _prepare(means, payment) else _Then.REST
    known.looked.discard(payment.id)
    await _attend(means, step, payment)
    if step in (Step.LOOK, Step.FEE):
        known.looked.add(payment.id)
    return _Then.LOOK


def _next_look(sale: Sale) -> datetime | None:
    """When to look again: at the deadline, or while a bank takes its time, ever more seldom."""
    if sale.order.state is OrderState.PENDING and not sale.is_overdue:
        return sale.order.expires_at
    waiting = [
        payment.created_at or sale.order.created_at
        for payment in sale.payments
        if (payment.is_open and payment.provider_status == PROCESSING)
        or (payment.state is PaymentState.SUCCEEDED and not payment.fee_booked)
    ]
    if not waiting:
        return None
    return now() + max(SHORTEST_LOOK, min((now() - max(waiting)) / 4, LONGEST_LOOK))


async def _issue(means: Means, order: Order) -> bool:
    """Have the tickets issued; False when there are none, or the order is not to be paid."""
    if order.fulfilment is not Fulfilment.ISSUING and not await orders.start_issuing(
        means.database, order.id
    ):
        return False
    try:
        await means.tickets.issue(order)
    except TicketsRefused as refused:
        async with means.database.begin() as tx:
            locked = await _lock(tx, order.id)
            if locked.state is OrderState.PENDING:
                await ending.fail(tx, locked, refused.reason)
        return False
    return True


async def _take_money(means: Means, claim: Claim, order: Order, payment: Payment | None) -> bool:
    """Charge what is authorised, and record that the order is paid.

    Whether that is all: False when something is left to be done, or it is not paid after all.
    """
    if payment is None:
        return bool(await _finish(means, claim, order, None, None))
    intent, charged = None, payment
    if payment.provider_status != CHARGED:
        intent = await _capture(means, order, payment)
        charged = payment_domain.hear(payment, intent)
    if charged.provider_status == CHARGED:
        finished = await _finish(means, claim, order, charged, intent.fee if intent else None)
        if finished is not None:
            return finished
    if intent:  # the order was given up meanwhile, or the money was not there any more
        async with means.database.begin() as tx:
            await observing.hear(tx, intent)
    return False


async def _capture(means: Means, order: Order, payment: Payment) -> Intent:
    assert payment.provider_id, "what is authorised has the provider's id"
    try:
        return await means.provider.capture(payment.provider_id)
    except PaymentRefused as refused:
        telemetry.log.warning("capture refused", order_id=order.id, why=refused.message)
        return await means.provider.cancel(payment.provider_id)


async def _finish(
    means: Means, claim: Claim, order: Order, payment: Payment | None, fee: Fee | None
) -> bool | None:
    """An order is paid: store, book and announce it. None: it did not wait for that any more."""
    check_move(order, OrderState.PAID)
    booked = []
    if payment is not None:
        state = payment_domain.move(payment, PaymentState.SUCCEEDED)
        payment = replace(payment, state=state, fee_booked=fee is not None)
        booked.append(postings.charge_of_order(order, payment.id))
        if fee:
            booked.append(postings.provider_fee(order, payment.id, fee.minor, fee.currency_code))
    announced = messages_pb2.PaymentSucceeded(
        order_id=order.id,
        order_code=order.code,
        event_id=order.event_id,
        organizer_id=order.organizer_id,
        payment_id=payment.id if payment else "",
        total=to_proto(order.currency_code, order.total_minor),
        succeeded_at=to_timestamp(now()),
    )
    database = means.database
    finished = await store.finish_sale(database, order, payment, claim, booked, announced)
    database.wake(outbox.SIGNAL)
    return finished


async def _take_back(means: Means, order: Order) -> None:
    await means.tickets.cancel(order)
    async with means.database.begin() as tx:
        await _lock(tx, order.id)
        await orders.set_fulfilment(tx, order.id, Fulfilment.TAKEN_BACK)


async def _expire(means: Means, order: Order) -> None:
    """Give an overdue order up, unless a payment got ahead of us meanwhile."""
    async with means.database.begin() as tx:
        locked = await _lock(tx, order.id)
        current = await payments.list_payments(tx, order.id)
        if locked.state is OrderState.PENDING and taker(current) is None:
            await ending.expire(tx, locked)


async def _attend(means: Means, step: Step, payment: Payment) -> None:
    """Do what is to be done about a payment that the order does not wait for (any more)."""
    match step:
        case Step.CLOSE:
            await _close(means, payment)
        case Step.LOOK | Step.FEE:
            await _look(means, payment)
        case Step.VOID:
            await _void(means, payment)
        case Step.REFUND:
            await _refund(means, payment)


async def _prepare(means: Means, payment: Payment) -> bool:
    """Have Stripe know of a payment; False when its turn comes later."""
    try:
        prepared = await means.preparer.prepare(payment)
    except PaymentRefused as refused:
        telemetry.log.warning("payment refused", order_id=payment.order_id, why=refused.message)
        return True  # it has failed
    return prepared.provider_id is not None


async def _close(means: Means, payment: Payment) -> None:
    """Stripe cancelled the payment: it failed if the order still waits for one."""
    async with means.database.begin() as tx:
        order = await _lock(tx, payment.order_id)
        wanted = order.state is OrderState.PENDING
        state = PaymentState.FAILED if wanted else PaymentState.CANCELLED
        closed = await _end(tx, payment, state)
        if wanted and closed:
            await observing.announce_failure(tx, order, closed)


async def _look(means: Means, payment: Payment) -> None:
    """Hear Stripe: a webhook may be late or lost, and tells no fees."""
    assert payment.provider_id, "what Stripe knows has its id"
    intent = await means.provider.retrieve(payment.provider_id)
    async with means.database.begin() as tx:
        await observing.hear(tx, intent)


async def _void(means: Means, payment: Payment) -> None:
    if payment.provider_id is None:
        # The answer to its creation may have been lost; nobody can confirm it without its secret.
        async with means.database.begin() as tx:
            await _lock(tx, payment.order_id)
            await _end(tx, payment, PaymentState.CANCELLED, known=False)
        return
    intent = await means.provider.cancel(payment.provider_id)
    async with means.database.begin() as tx:
        await observing.hear(tx, intent)


async def _refund(means: Means, payment: Payment) -> None:
    """A charge that no order keeps goes back: the refund's worker sees to it."""
    async with means.database.begin() as tx:
        order = await _lock(tx, payment.order_id)
        closed = await _end(tx, payment, PaymentState.SUCCEEDED)
        if closed:
            await ledger.book(tx, postings.charge_of_nobody(order, closed))
            await opening.return_charge(tx, order, closed)


async def _end(
    tx: Transaction, payment: Payment, state: PaymentState, *, known: bool = True
) -> Payment | None:
    """Close a payment of a locked order; None when it is closed, or not as (un)known any more."""
    current = await payments.lock_payment(tx, payment.id)
    if current is None or not current.is_open or (current.provider_id is not None) != known:
        return None
    await payments.update_payment(tx, payment.id, state=payment_domain.move(current, state))
    return replace(current, state=state)


async def _lock(tx: Transaction, order_id: str) -> Order:
    order = await orders.get_order(tx, order_id, lock=True)
    assert order is not None, "orders are never deleted"
    return order
