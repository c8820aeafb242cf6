"""OrderLookupService: proto to operation to proto."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from tessera.payment.v1 import (
    order_lookup_service_pb2,
    order_lookup_service_pb2_grpc,
    order_pb2,
)

from kit.clock import to_timestamp
from kit.database import Database
from kit.idempotency import Once
from payment_service.lookups import operations
from payment_service.lookups.codes import LookupCodes
from payment_service.orders.domain import Order
from payment_service.orders.proto import order_proto
from payment_service.orders.tokens import OrderTokens

Context = grpc.aio.ServicerContext[Any, Any]


class OrderLookups(order_lookup_service_pb2_grpc.OrderLookupServiceServicer):
    """The RPCs of order lookups."""

    def __init__(self, database: Database, codes: LookupCodes, tokens: OrderTokens) -> None:
        self._database = database
        self._codes = codes
        self._tokens = tokens

    async def CreateOrderLookup(
        self, request: order_lookup_service_pb2.CreateOrderLookupRequest, _context: Context
    ) -> order_lookup_service_pb2.OrderLookup:
        once = Once(request, _lookup_proto)
        return _lookup_proto(await operations.create_lookup(self._database, request.email, once))

    async def RedeemOrderLookup(
        self, request: order_lookup_service_pb2.RedeemOrderLookupRequest, _context: Context
    ) -> order_lookup_service_pb2.RedeemOrderLookupResponse:
        found = await operations.redeem_lookup(
            self._database,
            self._codes,
            request.lookup_id,
            request.code,
            Once(request, self._orders_proto),
        )
        return self._orders_proto(found)

    async def GetOrderLookupMail(
        self, request: order_lookup_service_pb2.GetOrderLookupMailRequest, _context: Context
    ) -> order_lookup_service_pb2.OrderLookupMail:
        mail = await operations.get_mail(self._database, request.lookup_id)
        return order_lookup_service_pb2.OrderLookupMail(
            email=mail.email,
            code=self._codes.code(mail.lookup_id),
            expires_at=to_timestamp(mail.expires_at),
        )

    def _orders_proto(
        self, orders: Sequence[Order]
    ) -> order_lookup_service_pb2.RedeemOrderLookupResponse:
        return order_lookup_service_pb2.RedeemOrderLookupResponse(
            orders=[self._opened(order) for order in orders]
        )

    def _opened(self, order: Order) -> order_pb2.Order:
        """An order with the token that opens it."""
        proto = order_proto(order)
        proto.access_token = self._tokens.token(order.id)
        return proto


def _lookup_proto(lookup: operations.Lookup) -> order_lookup_service_pb2.OrderLookup:
    lookup_id, expires_at = lookup
    return order_lookup_service_pb2.OrderLookup(id=lookup_id, expires_at=to_timestamp(expires_at))
