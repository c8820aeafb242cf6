"""Opening, finding and giving up orders."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tessera.ticket.v1 import ticket_pb2

from kit import paging, telemetry
from kit.auth import Caller
from kit.clock import now
from kit.database import Database, Transaction
from kit.errors import TesseraError
from kit.idempotency import IdempotencyKeyReused, Once
from kit.ids import new_code, new_id
from payment_service.documents_client import DocumentsClient
from payment_service.orders import domain, ending, store, terms
from payment_service.orders.access import seen_by, ticket_seen_by, to_print
from payment_service.orders.domain import Customer, Fulfilment, Order, OrderState
from payment_service.orders.insertion import insert_order
from payment_service.orders.store import Claim
from payment_service.orders.terms import Terms
from payment_service.payments import store as payment_store
from payment_service.payments.domain import PaymentState, shown, taker
from payment_service.payments.operations import new_payment
from payment_service.payments.store import Sale
from payment_service.pricing.domain import Price, price, step_of
from payment_service.refunds import opening
from payment_service.refunds import operations as refunding
from payment_service.refunds.domain import Refund, RefundOrigin, TicketAdmitted
from payment_service.settling import operations as settling
from payment_service.settling.operations import Means
from payment_service.tickets_client import TicketsClient
from payment_service.vouchers import domain as voucher_domain
from payment_service.vouchers import redemptions
from payment_service.vouchers.domain import VoucherUse

CODE_LENGTH = 8  # of 29 letters: 5 · 10¹¹ codes


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a customer asks for. The fingerprint tells a repeated request from another one."""

    hold_id: str
    customer: Customer
    idempotency_key: str | None
    fingerprint: bytes
    voucher_code: str = ""
    notify_on_expiry: bool = False


async def create_order(means: Means, request: OrderRequest) -> Sale:
    """Open an order for a hold and prepare its payment; a free order is paid at once.

    In a rush the payment may come without what it is confirmed with, which then follows soon.

    Raises:
        HoldGone, HoldAlreadyOrdered: the hold cannot be ordered, or not by this customer.
        VoucherNotFound, VoucherNotApplicable, VoucherExhausted, VoucherRequired: of its voucher.
        AmountTooSmall, UnchargeableAmount: a card cannot be charged with the total.
        IdempotencyKeyReused: the key came with another request before.
        PaymentProviderUnavailable: the same request again goes on where this one stopped.
    """
    sale, claim = await _open_or_find(means, request)
    order = sale.order
    if order.state is not OrderState.PENDING:
        return sale
    if order.is_free:
        claim = claim or await _claim(means.database, order.id)
        await settling.settle_claimed(means, claim, sale)
        return await _read(means.database, order.id)
    payment = shown(sale.payments, order.payment_id)
    assert payment, "an order that is not free has a payment"
    prepared = await means.preparer.prepare(payment)
    if prepared.state is PaymentState.REQUIRES_ACTION:
        others = tuple(each for each in sale.payments if each.id != payment.id)
        return replace(sale, payments=(*others, prepared))
    return await _read(means.database, order.id)  # something else happened meanwhile


async def get_order(database: Database, caller: Caller, order_id: str) -> Sale:
    """An order as its customer, its admins and the services may see it, with its payments.

    Raises:
        OrderNotFound: there is none, or it is somebody else's.
    """
    sale = await payment_store.get_sale(database, order_id)
    if sale is None:
        raise domain.OrderNotFound
    seen_by(caller, sale.order)
    return sale


async def list_orders(
    database: Database,
    organizer_id: str,
    *,
    event_id: str,
    state: str,
    email: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Order], str]:
    """A page of an organizer's orders, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's orders.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{event_id}|{state}|{email}"
    async with database.begin() as tx:
        found = await store.list_orders(
            tx,
            organizer_id=organizer_id,
            event_id=event_id,
            state=state,
            email=email,
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda order: (order.id,))


async def cancel_order(
    database: Database, tickets: TicketsClient, caller: Caller, order_id: str, once: Once[Sale]
) -> Sale:
    """Give an order up.

    Of one that waits for its payment nothing stays reserved. The tickets of a paid one are
    cancelled and its money goes back: by an admin all of it, by the customer as long as the event's
    terms allow, less their fee.

    Raises:
        OrderNotFound, OrderExpired, PaymentInProgress: it cannot be given up.
        OrderNotCancellable, TicketAdmitted, OrderDisputed: it is paid, and stays so.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        order = seen_by(caller, await store.get_order(tx, order_id))
    if order.state is OrderState.PAID:
        await _check_nobody_entered(tickets, order_id)
    async with database.begin() as tx:
        await once.claim(tx)
        order = seen_by(caller, await store.get_order(tx, order_id, lock=True))
        refund = await _cancel(tx, caller, order)
        answer = await once.record(tx, await _read(tx, order_id))
    if order.state is OrderState.PENDING:
        try:
            await tickets.release(order.hold_id)
        except TesseraError as error:  # the hold's own deadline puts the tickets back
            telemetry.log.warning("hold not released", order_id=order_id, why=error.reason)
    if refund:
        await refunding.take_tickets(database, tickets, refund)
    return answer


async def list_order_tickets(
    database: Database, tickets: TicketsClient, caller: Caller, order_id: str
) -> Sequence[ticket_pb2.Ticket]:
    """The tickets of a paid order; none before. Given away, they have no code for the giver."""
    sale = await get_order(database, caller, order_id)
    if sale.order.state is not OrderState.PAID:
        return []
    return [ticket_seen_by(caller, each) for each in await tickets.tickets(order_id)]


async def draw_order_tickets(
    database: Database,
    tickets: TicketsClient,
    documents: DocumentsClient,
    caller: Caller,
    order_id: str,
) -> tuple[str, bytes]:
    """The content type and bytes of a paid order's tickets, for printing.

    Raises:
        OrderNotPaid, NoTicketsLeft: there are no tickets yet, or none any more.
        RemoteError: TOO_MANY_DOCUMENTS when many are drawn right now.
    """
    order = await _paid(database, caller, order_id)
    issued = to_print(caller, await tickets.tickets(order_id))
    event = await tickets.event(order.event_id)
    return await documents.draw_tickets(event, order, issued)


async def change_ticket(
    database: Database,
    caller: Caller,
    order_id: str,
    change: Callable[[], Awaitable[ticket_pb2.Ticket]],
    once: Once[ticket_pb2.Ticket],
) -> ticket_pb2.Ticket:
    """Have ticket_service change one of a paid order's tickets, which twice is the same as once.

    Raises:
        OrderNotFound, OrderNotPaid: there is no such ticket (any more).
    """
    async with database.begin() as tx:
        await once.claim(tx)
    await _paid(database, caller, order_id)
    changed = ticket_seen_by(caller, await change())
    async with database.begin() as tx:
        await once.claim(tx)
        return await once.record(tx, changed)


async def _open_or_find(means: Means, request: OrderRequest) -> tuple[Sale, Claim | None]:
    """The order of a request: a new one, claimed if it is free, or the one that it made before."""
    refusal: TesseraError = domain.HoldGone()
    try:
        opened = await _open(means, request)
    except TesseraError as error:  # what was ordered is answered, whatever has changed since
        opened, refusal = None, error
    if opened:
        return opened
    order = await store.find_order(means.database, request.hold_id, request.idempotency_key)
    if order is None:
        raise refusal
    if order.fingerprint == request.fingerprint:
        return await _read(means.database, order.id), None
    if request.idempotency_key and order.idempotency_key == request.idempotency_key:
        raise IdempotencyKeyReused
    raise domain.HoldAlreadyOrdered


async def _open(means: Means, request: OrderRequest) -> tuple[Sale, Claim | None] | None:
    """Store a new order; None when its hold is gone, or another request was first."""
    held = await means.tickets.hold(request.hold_id)
    if not terms.is_live(held.hold):
        return None
    offered = terms.read(held)
    if not request.voucher_code:
        voucher_domain.check_opened(offered.hidden_type_ids)
        asked = price(offered.currency_code, offered.items, offered.booking_fee)
        return await _store(means, means.database, _order(request, offered, asked))
    use = _use(request, offered)
    async with means.database.begin() as tx:
        voucher = await redemptions.admit(tx, use)
        lines = [(item.ticket_type_id, item.list_minor) for item in offered.items]
        asked = price(
            offered.currency_code,
            offered.items,
            offered.booking_fee,
            discount_minor=voucher_domain.discount(
                voucher, lines, step=step_of(offered.currency_code)
            ),
            discounted_type_ids={each for each, _ in lines if voucher.is_for(each)},
        )
        order = replace(
            _order(request, offered, asked), voucher_id=voucher.id, voucher_code=voucher.code
        )
        opened = await _store(means, tx, order)
        if opened:
            await redemptions.record(tx, voucher, order.id, use)
    return opened


async def _store(means: Means, at: store.At, order: Order) -> tuple[Sale, Claim | None] | None:
    if order.is_free:
        inserted = await insert_order(at, order, payment_id=None, lease=store.LEASE)
        if inserted is None:
            return None
        sale = Sale(replace(order, created_at=inserted.created_at), (), is_overdue=False)
        return sale, Claim(order.id, 1, inserted.next_attempt_at)
    means.provider.check_amount(order.currency_code, order.total_minor)
    payment = new_payment(order)
    inserted = await insert_order(at, order, payment_id=payment.id)
    if inserted is None:
        return None
    order = replace(order, created_at=inserted.created_at)
    return Sale(order, (replace(payment, created_at=inserted.created_at),), is_overdue=False), None


def _order(request: OrderRequest, offered: Terms, asked: Price) -> Order:
    return Order(
        id=new_id("ord"),
        code=new_code(CODE_LENGTH),
        state=OrderState.PENDING,
        event_id=offered.event_id,
        organizer_id=offered.organizer_id,
        hold_id=offered.hold_id,
        currency_code=offered.currency_code,
        total_minor=asked.total_minor,
        customer=request.customer,
        lines=asked.lines,
        fulfilment=Fulfilment.NONE,
        cancel_reason="",
        expires_at=offered.expires_at,
        created_at=now(),
        paid_at=None,
        fingerprint=request.fingerprint,
        idempotency_key=request.idempotency_key,
        booking_fee_minor=asked.booking_fee_minor,
        booking_fee_tax_ppm=offered.booking_fee.tax_ppm,
        booking_fee_tax_minor=asked.booking_fee_tax_minor,
        discount_minor=asked.discount_minor,
        notify_on_expiry=request.notify_on_expiry,
        cancellable_until=offered.cancellable_until,
        cancellation_fee_minor=offered.cancellation_fee_minor,
        cancellation_fee_ppm=offered.cancellation_fee_ppm,
    )


def _use(request: OrderRequest, offered: Terms) -> VoucherUse:
    return VoucherUse(
        organizer_id=offered.organizer_id,
        event_id=offered.event_id,
        code=request.voucher_code,
        customer_email=request.customer.email,
        currency_code=offered.currency_code,
        ticket_type_ids=[item.ticket_type_id for item in offered.items],
        hidden_type_ids=offered.hidden_type_ids,
        hold_id=offered.hold_id,
    )


async def _cancel(tx: Transaction, caller: Caller, order: Order) -> Refund | None:
    """Give up a locked order that the caller sees, unless it is given up already.

    Answers the refund of one that was paid.
    """
    is_customer = caller.order_id == order.id
    match order.state:
        case OrderState.CANCELLED:
            return None
        case OrderState.EXPIRED:
            raise domain.OrderExpired
        case OrderState.PENDING:
            payments = await payment_store.list_payments(tx, order.id)
            is_free_and_under_way = order.is_free and order.fulfilment is not Fulfilment.NONE
            if taker(payments) or is_free_and_under_way:
                raise domain.PaymentInProgress
            await ending.cancel(tx, order, "CANCELLED")
            return None
        case OrderState.PAID:
            if is_customer and not await store.may_be_cancelled(tx, order.id):
                raise domain.OrderNotCancellable
            kept = None
            if order.payment_id:
                kept = await payment_store.lock_payment(tx, order.payment_id)
                assert kept, "payments are never deleted"
                # What the order says is as of before its lock was waited for.
                order = replace(order, refunded_minor=kept.refunded_minor)
            return await opening.cancel_paid_order(
                tx,
                order,
                kept,
                origin=RefundOrigin.CUSTOMER if is_customer else RefundOrigin.ADMIN,
                fee_minor=domain.cancellation_fee(order) if is_customer else 0,
            )


async def _check_nobody_entered(tickets: TicketsClient, order_id: str) -> None:
    """Raise TicketAdmitted when one of the order's tickets was used."""
    if any(ticket.HasField("admitted_at") for ticket in await tickets.tickets(order_id)):
        raise TicketAdmitted


async def _claim(database: Database, order_id: str) -> Claim:
    async with database.begin() as tx:
        return await store.claim_order(tx, order_id, store.LEASE)


async def _paid(database: Database, caller: Caller, order_id: str) -> Order:
    sale = await get_order(database, caller, order_id)
    if sale.order.state is not OrderState.PAID:
        raise domain.OrderNotPaid
    return sale.order


async def _read(at: store.At, order_id: str) -> Sale:
    sale = await payment_store.get_sale(at, order_id)
    assert sale is not None, "orders are never deleted"
    return sale
