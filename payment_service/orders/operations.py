"""Opening, finding and giving up orders."""

from collections.abc import Sequence
from dataclasses import dataclass

from tessera.ticket.v1 import hold_pb2, hold_service_pb2, ticket_pb2

from kit import paging, telemetry
from kit.auth import Caller
from kit.clock import from_timestamp, now
from kit.database import Database, Transaction
from kit.errors import TesseraError
from kit.idempotency import IdempotencyKeyReused, Once
from kit.ids import new_code, new_id
from kit.proto_money import from_proto
from payment_service.documents_client import DocumentsClient
from payment_service.orders import domain, store
from payment_service.orders.domain import Customer, Fulfilment, Order, OrderLine, OrderState
from payment_service.payments import operations as payments
from payment_service.payments import store as payment_store
from payment_service.payments.domain import DECIDING, Payment
from payment_service.payments.provider import PaymentProvider
from payment_service.tickets_client import TicketsClient

CODE_LENGTH = 8  # of 29 letters: 5 · 10¹¹ codes


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a customer asks for. The fingerprint tells a repeated request from another one."""

    hold_id: str
    customer: Customer
    idempotency_key: str | None
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order and its payment, which a free order does not have."""

    order: Order
    payment: Payment | None


async def create_order(
    database: Database,
    provider: PaymentProvider,
    tickets: TicketsClient,
    request: OrderRequest,
) -> OpenOrder:
    """Open an order for a hold and prepare its payment; a free order is paid at once.

    Raises:
        HoldGone, HoldAlreadyOrdered: the hold cannot be ordered, or not by this customer.
        AmountTooSmall, UnchargeableAmount: a card cannot be charged with the total.
        IdempotencyKeyReused: the key came with another request before.
        PaymentProviderUnavailable: the same request again goes on where this one stopped.
    """
    order = await _find(database, request)
    if order is None:
        held = await tickets.hold(request.hold_id)
        if _is_live(held.hold):
            await _open(database, provider, request, held)
        order = await _find(database, request)  # this request's, or another's that was faster
        if order is None:
            raise domain.HoldGone
    _check_same(order, request)
    if order.is_free and order.state is OrderState.PENDING:
        async with database.begin() as tx:
            claim = await store.claim_order(tx, order.id, payments.LEASE)
        await payments.settle_claimed(database, provider, tickets, claim)
    elif order.state is OrderState.PENDING:
        await payments.prepare(database, provider, order.id)
    return await _reload(database, order.id)


async def get_order(database: Database, caller: Caller, order_id: str) -> OpenOrder:
    """An order as its customer, its admins and the services may see it.

    Raises:
        OrderNotFound: there is none, or it is somebody else's.
    """
    async with database.begin() as tx:
        order = await _visible(tx, caller, order_id)
        return OpenOrder(order, await payment_store.get_payment(tx, order_id))


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
    database: Database,
    tickets: TicketsClient,
    caller: Caller,
    order_id: str,
    once: Once[OpenOrder],
) -> OpenOrder:
    """Give an unpaid order up: nothing stays reserved, and its tickets are back on sale.

    Raises:
        OrderNotFound, OrderAlreadyPaid, OrderExpired, PaymentInProgress: it cannot be given up.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        order = await _visible(tx, caller, order_id, lock=True)
        if domain.check_cancellable(order):
            payment = await payment_store.get_payment(tx, order_id)
            if payment and payment.provider_status in DECIDING:
                raise domain.PaymentInProgress
            await store.move_order(tx, order, OrderState.CANCELLED, cancel_reason="CANCELLED")
            await store.make_due(tx, order_id)
        cancelled = await _visible(tx, caller, order_id)
        payment = await payment_store.get_payment(tx, order_id)
        answer = await once.record(tx, OpenOrder(cancelled, payment))
    try:
        await tickets.release(order.hold_id)
    except TesseraError as error:  # the hold's own deadline puts the tickets back
        telemetry.log.warning("hold not released", order_id=order_id, why=error.reason)
    return answer


async def list_order_tickets(
    database: Database, tickets: TicketsClient, caller: Caller, order_id: str
) -> Sequence[ticket_pb2.Ticket]:
    """The tickets of a paid order; none before."""
    opened = await get_order(database, caller, order_id)
    if opened.order.state is not OrderState.PAID:
        return []
    return await tickets.tickets(order_id)


async def draw_order_tickets(
    database: Database,
    tickets: TicketsClient,
    documents: DocumentsClient,
    caller: Caller,
    order_id: str,
) -> tuple[str, bytes]:
    """The content type and bytes of a paid order's tickets, for printing.

    Raises:
        OrderNotPaid: there are no tickets yet.
    """
    opened = await get_order(database, caller, order_id)
    if opened.order.state is not OrderState.PAID:
        raise domain.OrderNotPaid
    issued = await tickets.tickets(order_id)
    event = await tickets.event(opened.order.event_id)
    return await documents.draw_tickets(event, opened.order, issued)


async def _open(
    database: Database,
    provider: PaymentProvider,
    request: OrderRequest,
    held: hold_service_pb2.GetHoldForOrderResponse,
) -> None:
    """Store a new order, unless another request with the same hold or key was first."""
    hold = held.hold
    total = from_proto(hold.total, field="total")
    if total.minor:
        provider.check_amount(total.currency_code, total.minor)
    lines = [
        OrderLine(
            item.ticket_type_id,
            item.ticket_type_name,
            item.quantity,
            from_proto(item.unit_price, field="unit_price").minor,
            from_proto(item.amount, field="amount").minor,
        )
        for item in hold.items
    ]
    values = {
        "id": new_id("ord"),
        "code": new_code(CODE_LENGTH),
        "state": OrderState.PENDING,
        "event_id": hold.event_id,
        "organizer_id": held.event.organizer_id,
        "hold_id": hold.id,
        "currency_code": total.currency_code,
        "total_minor": total.minor,
        "customer_email": request.customer.email,
        "customer_name": request.customer.full_name,
        "customer_phone": request.customer.phone_number,
        "fulfilment": Fulfilment.NONE,
        "idempotency_key": request.idempotency_key,
        "fingerprint": request.fingerprint,
        "expires_at": from_timestamp(hold.expires_at),
        "next_attempt_at": from_timestamp(hold.expires_at if total.minor else hold.created_at),
    }
    async with database.begin() as tx:
        if await store.insert_order(tx, values, lines) and total.minor:
            await payment_store.insert_payment(
                tx,
                new_id("pay"),
                str(values["id"]),
                hold.event_id,
                total.currency_code,
                total.minor,
            )


def _is_live(hold: hold_pb2.Hold) -> bool:
    return hold.state == hold_pb2.HOLD_STATE_ACTIVE and from_timestamp(hold.expires_at) > now()


async def _find(database: Database, request: OrderRequest) -> Order | None:
    async with database.begin() as tx:
        return await store.find_order(tx, request.hold_id, request.idempotency_key)


def _check_same(order: Order, request: OrderRequest) -> None:
    if order.fingerprint == request.fingerprint:
        return
    if request.idempotency_key and order.idempotency_key == request.idempotency_key:
        raise IdempotencyKeyReused
    raise domain.HoldAlreadyOrdered


async def _reload(database: Database, order_id: str) -> OpenOrder:
    async with database.begin() as tx:
        order = await store.get_order(tx, order_id)
        assert order is not None, "orders are never deleted"
        return OpenOrder(order, await payment_store.get_payment(tx, order_id))


async def _visible(tx: Transaction, caller: Caller, order_id: str, *, lock: bool = False) -> Order:
    order = await store.get_order(tx, order_id, lock=lock)
    if order is None or not (caller.order_id == order_id or caller.works_for(order.organizer_id)):
        raise domain.OrderNotFound
    return order
