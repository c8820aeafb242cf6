"""WebhookService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import webhook_service_pb2, webhook_service_pb2_grpc

from kit.database import Database
from payment_service.payments import operations
from payment_service.payments.operations import Starter
from payment_service.payments.provider import PaymentProvider


class Webhooks(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Where Stripe reports what happened."""

    def __init__(self, database: Database, provider: PaymentProvider, starter: Starter) -> None:
        self._database = database
        self._provider = provider
        self._starter = starter

    async def ReceiveStripeWebhook(
        self,
        request: webhook_service_pb2.ReceiveStripeWebhookRequest,
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> webhook_service_pb2.ReceiveStripeWebhookResponse:
        await operations.receive_webhook(
            self._database,
            self._provider,
            request.payload.data,
            request.signature,
            self._starter,
        )
        return webhook_service_pb2.ReceiveStripeWebhookResponse()
