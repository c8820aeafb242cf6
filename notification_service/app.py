"""Puts notification_service together."""

import asyncio

from tessera.notification.v1 import document_service_pb2_grpc, notification_service_pb2_grpc

from kit import brokers, idempotency, inbox
from kit.rpc_server import Guard
from kit.service import Host, Service
from kit.user_keys import verifier
from notification_service.documents.operations import Renderer
from notification_service.documents.rpc import Documents
from notification_service.mailing.composer import Composer
from notification_service.mailing.operations import Dispatcher
from notification_service.mailing.previews import Previews
from notification_service.mailing.smtp import SmtpTransport
from notification_service.mailing.sources import Services
from notification_service.notifications.consumers import listening
from notification_service.notifications.operations import Desk
from notification_service.notifications.rpc import Notifications
from notification_service.orders_client import OrdersClient
from notification_service.settings import Settings
from notification_service.tickets_client import TicketsClient

FORGETTING_EVERY_S = 3600


async def build(host: Host) -> Service:
    """The service's RPCs, what it listens to and its background work."""
    settings = Settings.read(host.environment)
    database = host.database
    broker = brokers.connect(settings.amqp_url, settings.database_url)
    renderer = Renderer()
    tickets = TicketsClient(host.mesh)
    composer = Composer(
        Services(OrdersClient(host.mesh), tickets),
        renderer,
        settings.sender,
        settings.storefront_url,
    )
    transport = SmtpTransport(settings.smtp, settings.smtp_timeout_s)
    dispatcher = Dispatcher(database, composer, transport)
    previews = Previews(tickets, renderer, settings.sender, settings.storefront_url)
    desk = Desk(database)

    async def forget() -> None:
        async with database.begin() as tx:
            await idempotency.forget_old(tx)
            await inbox.forget_old(tx)
        await asyncio.sleep(FORGETTING_EVERY_S)

    async def start() -> None:
        await asyncio.gather(
            *(broker.consume(queue, handler) for queue, handler in listening(desk))
        )

    async def stop() -> None:
        await asyncio.gather(broker.close(), dispatcher.close())
        renderer.close()

    return Service(
        servicers=[
            (
                Notifications(database, previews),
                notification_service_pb2_grpc.add_NotificationServiceServicer_to_server,
            ),
            (Documents(renderer), document_service_pb2_grpc.add_DocumentServiceServicer_to_server),
        ],
        guard=Guard(verifier(host.mesh)),
        workers={
            "dispatch": dispatcher.dispatch_due,
            "renew": dispatcher.renew_claims,
            "forget": forget,
        },
        on_start=start,
        on_stop=stop,
    )
