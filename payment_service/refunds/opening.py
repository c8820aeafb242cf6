"""Deciding a refund, in somebody's transaction: it is reserved and stored, and a worker follows.

Orders are locked before payments, by everyone; the functions here lock both, again if need be.
"""

from collections.abc import Sequence

from tessera.payment.v1 import messages_pb2

from kit import outbox
from kit.database import Transaction
from kit.ids import new_id
from payment_service.disputes import store as disputes
from payment_service.ledger import postings
from payment_service.orders import store as orders
from payment_service.orders.domain import Order, OrderState, check_move
from payment_service.payments.domain import Payment
from payment_service.refunds import domain, store
from payment_service.refunds.domain import Plan, Refund, RefundOrigin, RefundState
from payment_service.vouchers import redemptions

EVENT_CANCELLED = RefundOrigin.EVENT_CANCELLED


async def return_charge(tx: Transaction, order: Order, payment: Payment) -> Refund | None:
    """Give back what is left of a charge that no order keeps, and that is booked so.

    None: it has gone back already.
    """
    await _lock(tx, order.id)
    left = await store.get_left(tx, payment.id)
    if not left:
        return None
    plan = Plan(left, domain.unallocated(left))
    return await open_refund(tx, order, payment.id, plan, RefundOrigin.AUTOMATIC)


async def cancel_paid_order(
    tx: Transaction,
    order: Order,
    payment: Payment | None,
    *,
    origin: RefundOrigin,
    fee_minor: int = 0,
    operation_id: str | None = None,
    reason: str = "",
) -> Refund | None:
    """Cancel a paid order with its tickets, and give back what is left of its money, less a fee.

    `payment` is the one that the order keeps; a free order has none. None: it is not paid (any
    more), so there is nothing to do.

    Raises:
        OrderDisputed: the customer's bank has the money, unless the event is cancelled anyway.
    """
    locked = await _lock(tx, order.id)
    if locked.state is not OrderState.PAID:
        return None
    payment_id = payment.id if payment else None
    if payment_id is not None:
        await store.lock_payments(tx, [payment_id])
        if await disputes.disputed_as(tx, payment_id) and origin is not EVENT_CANCELLED:
            raise domain.OrderDisputed
    known = await store.list_refunds(tx, order.id)
    plan = _plan_all(locked, payment_id, known, fee_minor)
    return await open_refund(
        tx,
        locked,
        payment_id,
        plan,
        origin,
        known=known,
        operation_id=operation_id,
        reason=reason,
    )


async def cancel_orders_of_event(
    tx: Transaction, found: Sequence[Order], operation_id: str
) -> None:
    """Cancel paid orders of a cancelled event, which are locked in order, all together.

    Each is what `cancel_paid_order` makes of it, in as many statements as one takes.
    """
    payment_ids = [order.payment_id for order in found if order.payment_id]
    await store.lock_payments(tx, payment_ids)
    known = await store.list_refunds_of(tx, [order.id for order in found])
    made = [
        _refund(
            order,
            order.payment_id,
            _plan_all(order, order.payment_id, known.get(order.id, ())),
            EVENT_CANCELLED,
            operation_id=operation_id,
        )
        for order in found
    ]
    await store.reserve_all(tx, made)
    await store.insert_refunds(tx, made)
    for order in found:
        check_move(order, OrderState.CANCELLED)
    await orders.cancel_paid(tx, [order.id for order in found], "EVENT_CANCELLED")
    await redemptions.give_back(tx, *(order.id for order in found if order.voucher_id))
    await outbox.add_all(tx, [_cancelled(order, "EVENT_CANCELLED") for order in found])


async def refund_rest(
    tx: Transaction, order: Order, *, origin: RefundOrigin, operation_id: str | None = None
) -> Refund:
    """Try again to give back what is left of what a locked, cancelled order kept.

    Raises:
        NothingToRefund: all of it has gone back, or the customer has it from their bank.
    """
    payment_id = order.payment_id
    if not payment_id or not await store.get_left(tx, payment_id):
        raise domain.NothingToRefund
    known = await store.list_refunds(tx, order.id)
    lost = await store.get_lost(tx, payment_id)
    plan = domain.plan_all(order.currency_code, kept_position(order, payment_id, known, lost), ())
    return await open_refund(tx, order, payment_id, plan, origin, operation_id=operation_id)


async def open_refund(
    tx: Transaction,
    order: Order,
    payment_id: str | None,
    plan: Plan,
    origin: RefundOrigin,
    *,
    known: Sequence[Refund] = (),
    operation_id: str | None = None,
    reason: str = "",
    keep_off_sale: bool = False,
    include_admitted: bool = False,
) -> Refund:
    """Reserve and store what was planned for a locked order, whose payment is locked too.

    The order is cancelled once none of its tickets is left, those gone that the `known` refunds
    cancel.
    """
    refund = _refund(
        order,
        payment_id,
        plan,
        origin,
        operation_id=operation_id,
        reason=reason,
        keep_off_sale=keep_off_sale,
        include_admitted=include_admitted,
    )
    if payment_id and plan.amount_minor:
        await store.reserve(tx, payment_id, plan.amount_minor)
    await store.insert_refund(tx, refund)
    if order.state is OrderState.PAID and not valid_numbers(order, [*known, refund]):
        is_called_off = origin is EVENT_CANCELLED
        await cancel_order(tx, order, "EVENT_CANCELLED" if is_called_off else "CANCELLED")
    return refund


async def cancel_order(tx: Transaction, order: Order, reason: str) -> None:
    """A locked, paid order ends, and everybody is told. Somebody else takes its tickets back."""
    check_move(order, OrderState.CANCELLED)
    await orders.cancel_paid(tx, [order.id], reason)
    if order.voucher_id is not None:
        await redemptions.give_back(tx, order.id)
    await outbox.add(tx, _cancelled(order, reason))


def kept_position(
    order: Order, payment_id: str, known: Sequence[Refund], lost_minor: int = 0
) -> dict[tuple[str, str], int]:
    """How the accounts of an order stand that keeps this payment."""
    charged = postings.charge_of_order(order, payment_id).entries
    of_payment = [each for each in known if each.payment_id == payment_id]
    return domain.position(charged, of_payment, lost_minor)


def valid_numbers(order: Order, known: Sequence[Refund]) -> set[int]:
    """The numbers of an order's tickets that no refund cancels."""
    if order.state is not OrderState.PAID:
        return set()
    count = sum(line.quantity for line in order.lines)
    return set(range(1, count + 1)) - domain.cancelled_numbers(known)


def _plan_all(
    order: Order, payment_id: str | None, known: Sequence[Refund], fee_minor: int = 0
) -> Plan:
    stand = kept_position(order, payment_id, known) if payment_id else {}
    valid = valid_numbers(order, known)
    return domain.plan_all(order.currency_code, stand, valid, fee_minor=fee_minor)


def _refund(
    order: Order,
    payment_id: str | None,
    plan: Plan,
    origin: RefundOrigin,
    *,
    operation_id: str | None = None,
    reason: str = "",
    keep_off_sale: bool = False,
    include_admitted: bool = False,
) -> Refund:
    return Refund(
        id=new_id("ref"),
        order_id=order.id,
        payment_id=payment_id,
        event_id=order.event_id,
        state=RefundState.CREATED,
        origin=origin,
        currency_code=order.currency_code,
        amount_minor=plan.amount_minor,
        allocation=plan.allocation,
        ticket_numbers=plan.ticket_numbers,
        keep_off_sale=keep_off_sale,
        tickets_cancelled=not plan.ticket_numbers,
        include_admitted=include_admitted or origin is EVENT_CANCELLED,
        reason=reason,
        operation_id=operation_id,
    )


def _cancelled(order: Order, reason: str) -> messages_pb2.OrderCancelled:
    return messages_pb2.OrderCancelled(
        order_id=order.id,
        event_id=order.event_id,
        organizer_id=order.organizer_id,
        reason=reason,
    )


async def _lock(tx: Transaction, order_id: str) -> Order:
    order = await orders.get_order(tx, order_id, lock=True)
    assert order is not None, "orders are never deleted"
    return order
