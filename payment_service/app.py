"""Puts payment_service together."""

import asyncio
from functools import partial

from tessera.payment.v1 import (
    dispute_service_pb2_grpc,
    insights_service_pb2_grpc,
    ledger_service_pb2_grpc,
    operation_service_pb2_grpc,
    order_lookup_service_pb2_grpc,
    order_service_pb2_grpc,
    reconciliation_service_pb2_grpc,
    refund_service_pb2_grpc,
    voucher_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

from kit import brokers, idempotency, inbox, outbox
from kit.rpc_server import Guard
from kit.service import Host, Service
from kit.user_keys import verifier
from payment_service.bulk.consumers import (
    EVENT_CANCELLED,
    EVENT_UPDATED,
    take_event_cancelled,
    take_event_updated,
)
from payment_service.bulk.operations import carry_on
from payment_service.bulk.rpc import Operations
from payment_service.disputes.operations import Follower
from payment_service.disputes.rpc import Disputes
from payment_service.documents_client import DocumentsClient
from payment_service.insights.rpc import InsightsRpc
from payment_service.ledger.rpc import Ledger
from payment_service.lookups import store as lookup_store
from payment_service.lookups.codes import LookupCodes
from payment_service.lookups.rpc import OrderLookups
from payment_service.orders.rpc import Orders
from payment_service.orders.tokens import OrderTokens
from payment_service.payments import store as payment_store
from payment_service.payments.operations import Preparer
from payment_service.payments.pacer import Pacer
from payment_service.payments.rpc import Webhooks
from payment_service.payments.stripe_api import StripeProvider
from payment_service.reconciliation.operations import Reconciler
from payment_service.reconciliation.rpc import Reconciliations
from payment_service.refunds.rpc import Refunds
from payment_service.refunds.store import Line
from payment_service.refunds.worker import Refunder
from payment_service.settings import Settings
from payment_service.settling.operations import Means
from payment_service.settling.worker import Settler
from payment_service.tickets_client import TicketsClient
from payment_service.vouchers.rpc import Vouchers

RELAY_POLL_S = 2.0
FORGETTING_EVERY_S = 3600
WEBHOOKS_KEPT_DAYS = 30


async def build(host: Host) -> Service:
    """The service's RPCs and its background work."""
    settings = Settings.read(host.environment)
    database = host.database
    pacer = Pacer(database, settings.stripe_calls_per_second)
    provider = StripeProvider(
        settings.stripe_secret_key,
        settings.stripe_publishable_key,
        settings.stripe_webhook_secret,
        settings.stripe_api_base,
        pacer,
    )
    broker = brokers.connect(settings.amqp_url, settings.database_url)
    tickets, documents = TicketsClient(host.mesh), DocumentsClient(host.mesh)
    tokens = OrderTokens(settings.order_token_secret)
    preparer = Preparer(database, provider)
    means = Means(database, provider, tickets, preparer)
    settler, left_over = Settler(means), Settler(means, of_left_over=True)
    ticket_taker = Refunder(database, provider, tickets, Line.TICKETS)
    refunder = Refunder(database, provider, tickets, Line.MONEY)
    mass_refunder = Refunder(database, provider, tickets, Line.OPERATIONS)
    follower = Follower(database, tickets)
    reconciler = Reconciler(database, provider, settings.reconciliation_patience_s)

    async def relay() -> None:
        if not await outbox.relay(database, broker):
            await database.wait(outbox.SIGNAL, RELAY_POLL_S)

    async def forget() -> None:
        async with database.begin() as tx:
            await idempotency.forget_old(tx)
            await inbox.forget_old(tx)
            await payment_store.forget_webhooks(tx, WEBHOOKS_KEPT_DAYS)
            await lookup_store.forget_old(tx)
        await asyncio.sleep(FORGETTING_EVERY_S)

    async def start() -> None:
        await broker.consume(EVENT_CANCELLED, take_event_cancelled(database))
        await broker.consume(EVENT_UPDATED, take_event_updated(database))

    async def stop() -> None:
        await preparer.stop()
        await asyncio.gather(settler.stop(), left_over.stop())
        await ticket_taker.stop()
        await refunder.stop()
        await mass_refunder.stop()
        await follower.stop()
        await broker.close()
        await pacer.close()
        await provider.close()

    return Service(
        servicers=[
            (
                Orders(means, documents, tokens),
                order_service_pb2_grpc.add_OrderServiceServicer_to_server,
            ),
            (
                Webhooks(database, provider, settler),
                webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server,
            ),
            (
                InsightsRpc(database, tickets),
                insights_service_pb2_grpc.add_InsightsServiceServicer_to_server,
            ),
            (
                Refunds(database, tickets),
                refund_service_pb2_grpc.add_RefundServiceServicer_to_server,
            ),
            (Disputes(database), dispute_service_pb2_grpc.add_DisputeServiceServicer_to_server),
            (
                Operations(database),
                operation_service_pb2_grpc.add_OperationServiceServicer_to_server,
            ),
            (Ledger(database), ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server),
            (
                Reconciliations(database),
                reconciliation_service_pb2_grpc.add_ReconciliationServiceServicer_to_server,
            ),
            (
                OrderLookups(database, LookupCodes(settings.order_token_secret), tokens),
                order_lookup_service_pb2_grpc.add_OrderLookupServiceServicer_to_server,
            ),
            (
                Vouchers(database, tickets),
                voucher_service_pb2_grpc.add_VoucherServiceServicer_to_server,
            ),
        ],
        guard=Guard(verifier(host.mesh), tokens.order_of),
        workers={
            "settle": settler.settle_due,
            "settle_left_over": left_over.settle_due,
            "take_tickets": ticket_taker.refund_due,
            "refund": refunder.refund_due,
            "refund_of_operations": mass_refunder.refund_due,
            "reconcile": reconciler.run_due,
            "follow": follower.follow_due,
            "operate": partial(carry_on, database),
            "relay": relay,
            "forget": forget,
        },
        on_start=start,
        on_stop=stop,
    )
