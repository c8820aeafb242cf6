"""What payment_service asks of notification_service."""

from collections.abc import Sequence

from tessera.notification.v1 import document_service_pb2, document_service_pb2_grpc
from tessera.ticket.v1 import event_pb2, ticket_pb2

from kit.rpc_client import Mesh
from payment_service.orders.domain import Order
from payment_service.orders.proto import order_proto


class DocumentsClient:
    """Calls that draw documents."""

    def __init__(self, mesh: Mesh) -> None:
        channel = mesh.channel("notification_service")
        self._documents = document_service_pb2_grpc.DocumentServiceStub(channel)

    async def draw_tickets(
        self, event: event_pb2.Event, order: Order, tickets: Sequence[ticket_pb2.Ticket]
    ) -> tuple[str, bytes]:
        """The content type and bytes of tickets for printing."""
        drawn = await self._documents.RenderTickets(
            document_service_pb2.RenderTicketsRequest(
                event=event, order=order_proto(order), tickets=tickets
            )
        )
        return drawn.content_type, drawn.data
