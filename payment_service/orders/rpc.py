"""OrderService: proto to operation to proto."""

from functools import partial
from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.payment.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc
from tessera.ticket.v1 import ticket_pb2

from kit import auth, idempotency
from kit.idempotency import Once
from payment_service.documents_client import DocumentsClient
from payment_service.orders import operations
from payment_service.orders.domain import Customer, Order, OrderState
from payment_service.orders.operations import OrderRequest
from payment_service.orders.proto import order_proto, payment_proto
from payment_service.orders.tokens import OrderTokens
from payment_service.payments import operations as payments
from payment_service.payments.domain import Payment, shown
from payment_service.payments.store import Sale
from payment_service.settling.operations import Means

Context = grpc.aio.ServicerContext[Any, Any]


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """The RPCs of orders."""

    def __init__(self, means: Means, documents: DocumentsClient, tokens: OrderTokens) -> None:
        self._means = means
        self._database = means.database
        self._tickets = means.tickets
        self._documents = documents
        self._tokens = tokens

    async def CreateOrder(
        self, request: order_service_pb2.CreateOrderRequest, _context: Context
    ) -> order_pb2.Order:
        key = f"{auth.current().name} {request.idempotency_key}"
        asked = OrderRequest(
            hold_id=request.hold_id,
            customer=Customer(
                request.customer.email, request.customer.full_name, request.customer.phone_number
            ),
            idempotency_key=key if request.idempotency_key else None,
            fingerprint=idempotency.fingerprint(request),
            voucher_code=request.voucher_code,
            notify_on_expiry=request.notify_on_expiry,
        )
        opened = await operations.create_order(self._means, asked)
        proto = self._customers_view(opened)
        proto.access_token = self._tokens.token(opened.order.id)
        return proto

    async def GetOrder(
        self, request: order_service_pb2.GetOrderRequest, _context: Context
    ) -> order_pb2.Order:
        caller = auth.current()
        sale = await operations.get_order(self._database, caller, request.order_id)
        return self._view(caller, sale)

    async def ListOrders(
        self, request: order_service_pb2.ListOrdersRequest, _context: Context
    ) -> order_service_pb2.ListOrdersResponse:
        state = order_pb2.OrderState.Name(request.state).removeprefix("ORDER_STATE_")
        orders, token = await operations.list_orders(
            self._database,
            auth.current().organizer_id,
            event_id=request.event_id,
            state=state if request.state else "",
            email=request.email,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return order_service_pb2.ListOrdersResponse(
            orders=[order_proto(order) for order in orders], next_page_token=token
        )

    async def CancelOrder(
        self, request: order_service_pb2.CancelOrderRequest, _context: Context
    ) -> order_pb2.Order:
        caller = auth.current()
        render = partial(self._view, caller)
        sale = await operations.cancel_order(
            self._database, self._tickets, caller, request.order_id, Once(request, render)
        )
        return render(sale)

    async def CreatePayment(
        self, request: order_service_pb2.CreatePaymentRequest, _context: Context
    ) -> order_pb2.Payment:
        order, payment = await payments.create_payment(
            self._database,
            self._means.preparer,
            auth.current(),
            request.order_id,
            Once(request, payment_proto),
        )
        return self._customers_payment(order, payment)

    async def ListPayments(
        self, request: order_service_pb2.ListPaymentsRequest, _context: Context
    ) -> order_service_pb2.ListPaymentsResponse:
        caller = auth.current()
        order, found = await payments.list_payments(self._database, caller, request.order_id)
        render = partial(self._customers_payment, order) if caller.order_id else payment_proto
        return order_service_pb2.ListPaymentsResponse(payments=[render(each) for each in found])

    async def RenameOrderTicket(
        self, request: order_service_pb2.RenameOrderTicketRequest, _context: Context
    ) -> ticket_pb2.Ticket:
        caller = auth.current()
        change = partial(
            self._tickets.rename,
            request.order_id,
            request.ticket_id,
            request.holder_name,
            by_organizer=caller.user is not None,
        )
        once = Once[ticket_pb2.Ticket](request, _same)
        return await operations.change_ticket(
            self._database, caller, request.order_id, change, once
        )

    async def TransferOrderTicket(
        self, request: order_service_pb2.TransferOrderTicketRequest, _context: Context
    ) -> ticket_pb2.Ticket:
        caller = auth.current()
        change = partial(
            self._tickets.transfer,
            request.order_id,
            request.ticket_id,
            request.holder_name,
            request.holder_email,
            by_organizer=caller.user is not None,
        )
        once = Once[ticket_pb2.Ticket](request, _same)
        return await operations.change_ticket(
            self._database, caller, request.order_id, change, once
        )

    async def ListOrderTickets(
        self, request: order_service_pb2.ListOrderTicketsRequest, _context: Context
    ) -> order_service_pb2.ListOrderTicketsResponse:
        tickets = await operations.list_order_tickets(
            self._database, self._tickets, auth.current(), request.order_id
        )
        return order_service_pb2.ListOrderTicketsResponse(tickets=tickets)

    async def GetOrderTicketsPdf(
        self, request: order_service_pb2.GetOrderTicketsPdfRequest, _context: Context
    ) -> httpbody_pb2.HttpBody:
        content_type, data = await operations.draw_order_tickets(
            self._database, self._tickets, self._documents, auth.current(), request.order_id
        )
        return httpbody_pb2.HttpBody(content_type=content_type, data=data)

    def _view(self, caller: auth.Caller, sale: Sale) -> order_pb2.Order:
        return self._customers_view(sale) if caller.order_id else order_proto(sale.order)

    def _customers_view(self, sale: Sale) -> order_pb2.Order:
        """With what the browser needs to pay, for as long as it may."""
        proto = order_proto(sale.order)
        if payment := shown(sale.payments, sale.order.payment_id):
            proto.payment.CopyFrom(self._customers_payment(sale.order, payment))
        return proto

    def _customers_payment(self, order: Order, payment: Payment) -> order_pb2.Payment:
        proto = payment_proto(payment)
        proto.publishable_key = self._means.provider.publishable_key
        proto.api_base = self._means.provider.api_base
        if order.state is OrderState.PENDING and payment.is_open:
            proto.client_secret = payment.client_secret
        return proto


def _same(ticket: ticket_pb2.Ticket) -> ticket_pb2.Ticket:
    return ticket
