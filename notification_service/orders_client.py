"""What notification_service asks of payment_service."""

from tessera.payment.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from kit.rpc_client import Mesh


class OrdersClient:
    """Calls to payment_service; its refusals arrive as RemoteError."""

    def __init__(self, mesh: Mesh) -> None:
        self._orders = order_service_pb2_grpc.OrderServiceStub(mesh.channel("payment_service"))

    async def order(self, order_id: str) -> order_pb2.Order:
        """An order in any state."""
        return await self._orders.GetOrder(order_service_pb2.GetOrderRequest(order_id=order_id))
