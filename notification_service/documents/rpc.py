"""DocumentService: proto to document."""

from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.notification.v1 import document_service_pb2, document_service_pb2_grpc

from notification_service.documents.operations import Renderer
from notification_service.documents.proto import event_facts, order_facts, ticket_facts

PDF = "application/pdf"


class Documents(document_service_pb2_grpc.DocumentServiceServicer):
    """The RPCs of documents."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def RenderTickets(
        self,
        request: document_service_pb2.RenderTicketsRequest,
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> httpbody_pb2.HttpBody:
        data = await self._renderer.tickets(
            event_facts(request.event),
            order_facts(request.order),
            ticket_facts(request.tickets, request.order),
        )
        return httpbody_pb2.HttpBody(content_type=PDF, data=data)
