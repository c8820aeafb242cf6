"""What notification_service asks of payment_service."""

from tessera.payment.v1 import (
    order_lookup_service_pb2,
    order_lookup_service_pb2_grpc,
    order_pb2,
    order_service_pb2,
    order_service_pb2_grpc,
    refund_pb2,
    refund_service_pb2,
    refund_service_pb2_grpc,
)

from kit.rpc_client import Mesh


class OrdersClient:
    """Calls to payment_service; its refusals arrive as RemoteError."""

    def __init__(self, mesh: Mesh) -> None:
        channel = mesh.channel("payment_service")
        self._orders = order_service_pb2_grpc.OrderServiceStub(channel)
        self._refunds = refund_service_pb2_grpc.RefundServiceStub(channel)
        self._lookups = order_lookup_service_pb2_grpc.OrderLookupServiceStub(channel)

    async def order(self, order_id: str) -> order_pb2.Order:
        """An order in any state."""
        return await self._orders.GetOrder(order_service_pb2.GetOrderRequest(order_id=order_id))

    async def refund(self, order_id: str, refund_id: str) -> refund_pb2.Refund:
        """A refund in any state."""
        request = refund_service_pb2.GetRefundRequest(order_id=order_id, refund_id=refund_id)
        return await self._refunds.GetRefund(request)

    async def lookup_mail(self, lookup_id: str) -> order_lookup_service_pb2.OrderLookupMail:
        """What the mail says to who looks for their orders."""
        request = order_lookup_service_pb2.GetOrderLookupMailRequest(lookup_id=lookup_id)
        return await self._lookups.GetOrderLookupMail(request)
