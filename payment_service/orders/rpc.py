"""OrderService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.payment.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from kit import auth, idempotency
from kit.database import Database
from kit.idempotency import Once
from payment_service.documents_client import DocumentsClient
from payment_service.orders import operations
from payment_service.orders.domain import Customer, OrderState
from payment_service.orders.operations import OpenOrder, OrderRequest
from payment_service.orders.proto import order_proto
from payment_service.orders.tokens import OrderTokens
from payment_service.payments.provider import PaymentProvider
from payment_service.tickets_client import TicketsClient

Context = grpc.aio.ServicerContext[Any, Any]


class Orders(order_service_pb2_grpc.OrderServiceServicer):
    """The RPCs of orders."""

    def __init__(
        self,
        database: Database,
        provider: PaymentProvider,
        tickets: TicketsClient,
        documents: DocumentsClient,
        tokens: OrderTokens,
    ) -> None:
        self._database = database
        self._provider = provider
        self._tickets = tickets
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
        )
        opened = await operations.create_order(self._database, self._provider, self._tickets, asked)
        proto = self._customers_view(opened)
        proto.access_token = self._tokens.token(opened.order.id)
        return proto

    async def GetOrder(
        self, request: order_service_pb2.GetOrderRequest, _context: Context
    ) -> order_pb2.Order:
        caller = auth.current()
        opened = await operations.get_order(self._database, caller, request.order_id)
        return self._view(caller, opened)

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

        def render(opened: OpenOrder) -> order_pb2.Order:
            return self._view(caller, opened)

        opened = await operations.cancel_order(
            self._database, self._tickets, caller, request.order_id, Once(request, render)
        )
        return render(opened)

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

    def _view(self, caller: auth.Caller, opened: OpenOrder) -> order_pb2.Order:
        return self._customers_view(opened) if caller.order_id else order_proto(opened.order)

    def _customers_view(self, opened: OpenOrder) -> order_pb2.Order:
        """With what the browser needs to pay, for as long as it may."""
        proto = order_proto(opened.order)
        is_payable = opened.order.state is OrderState.PENDING
        if payment := opened.payment:
            proto.payment.CopyFrom(
                order_pb2.Payment(
                    id=payment.id,
                    state=order_pb2.PaymentState.Value(f"PAYMENT_STATE_{payment.state}"),
                    client_secret=payment.client_secret if is_payable else "",
                    publishable_key=self._provider.publishable_key,
                    api_base=self._provider.api_base,
                    decline_code=payment.decline_code,
                )
            )
        return proto
