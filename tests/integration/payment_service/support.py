"""An installation that sells for real money, as far as the Stripe sandbox can tell."""

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc.aio
import httpx
import stripe
from google.protobuf.message import Message as Proto
from sqlalchemy import text
from tessera.payment.v1 import (
    dispute_service_pb2_grpc,
    insights_service_pb2_grpc,
    ledger_service_pb2_grpc,
    messages_pb2,
    operation_service_pb2_grpc,
    order_lookup_service_pb2_grpc,
    order_pb2,
    order_service_pb2,
    order_service_pb2_grpc,
    reconciliation_service_pb2_grpc,
    refund_service_pb2_grpc,
    voucher_service_pb2_grpc,
    webhook_service_pb2,
    webhook_service_pb2_grpc,
)
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_pb2, ticket_pb2, ticket_service_pb2

import gateway.settings
from deploy.local.environment import free_port
from gateway.app import build_app
from kit import auth, brokers
from kit.broker import Message, Queue
from kit.database import signal
from payment_service.orders.store import DUE
from tests.integration.payment_service.installation import Installation
from tests.integration.stripe_sandbox import support as stripe_sandbox
from tests.integration.stripe_sandbox.support import Sandbox
from tests.integration.ticket_service.support import (
    TicketApi,
    another_replicas_offers,
    event,
    eventually,
    ticket_type,
)
from tests.integration.ticket_service.support import hold as hold_request
from tests.support.invariants import assert_invariants, broken_money, undelivered, unsettled
from tests.support.tokens import Metadata
from ticket_service.holds.operations import expire_holds

CUSTOMER = {"email": "grace@customer.example", "full_name": "Grace Hopper"}
ANNOUNCEMENTS = Queue("tests", "payment.succeeded")
OTHER_ANNOUNCEMENTS = [
    Queue("tests", key)
    for key in (
        "payment.failed",
        "order.expired",
        "order.cancelled",
        "refund.issued",
        "order_event.updated",
        "order_lookup.requested",
    )
]
SETTLED_WITHIN_S = 30

Told = TypeVar("Told", bound=Proto)


class PaymentApi:
    """The RPCs of payment_service, through one caller's channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.orders = order_service_pb2_grpc.OrderServiceStub(channel)
        self.reconciliations = reconciliation_service_pb2_grpc.ReconciliationServiceStub(channel)
        self.refunds = refund_service_pb2_grpc.RefundServiceStub(channel)
        self.disputes = dispute_service_pb2_grpc.DisputeServiceStub(channel)
        self.operations = operation_service_pb2_grpc.OperationServiceStub(channel)
        self.insights = insights_service_pb2_grpc.InsightsServiceStub(channel)
        self.ledger = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self.webhooks = webhook_service_pb2_grpc.WebhookServiceStub(channel)
        self.vouchers = voucher_service_pb2_grpc.VoucherServiceStub(channel)
        self.lookups = order_lookup_service_pb2_grpc.OrderLookupServiceStub(channel)


@dataclass
class Announced:
    """What payment_service told the world."""

    messages: list[messages_pb2.PaymentSucceeded] = field(default_factory=list)
    others: list[Proto] = field(default_factory=list)

    async def handle(self, message: Message) -> None:
        from google.protobuf import json_format

        found = json_format.Parse(message.body, messages_pb2.PaymentSucceeded())
        self.messages.append(found)

    async def handle_other(self, message: Message) -> None:
        from google.protobuf import json_format

        proto = getattr(messages_pb2, message.type.rpartition(".")[2])()
        self.others.append(json_format.Parse(message.body, proto))

    def of(self, order_id: str) -> list[messages_pb2.PaymentSucceeded]:
        return [message for message in self.messages if message.order_id == order_id]

    def that(self, kind: type[Told], order_id: str) -> list[Told]:
        """What else was said of this kind about an order, in the order it came."""
        said = [message for message in self.others if isinstance(message, kind)]
        return [message for message in said if message.order_id == order_id]  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Shop:
    """Whatever organizers, customers, browsers and Stripe do, in one call each."""

    installation: Installation
    announced: Announced
    webhooks_url: str = ""
    organizer_id: str = field(default_factory=lambda: f"org_{uuid.uuid4().hex}")

    @property
    def sandbox(self) -> Sandbox:
        return self.installation.sandbox

    @property
    def tickets(self) -> TicketApi:
        return TicketApi(self.installation.mesh("gateway").channel("ticket_service"))

    @property
    def payments(self) -> PaymentApi:
        return PaymentApi(self.installation.mesh("gateway").channel("payment_service"))

    @property
    def admin(self) -> Metadata:
        user_id = self.organizer_id.replace("org_", "usr_")
        return self.installation.issuer.metadata(self.organizer_id, user_id=user_id)

    # The organizer

    async def event(
        self, *, price: str = "50.00", stock: int = 10, currency: str = "EUR", **fields: Any
    ) -> event_pb2.Event:
        """A published event with one ticket type."""
        draft = await self.tickets.events.CreateEvent(
            event(currency_code=currency, **fields), metadata=self.admin
        )
        cost = {"currency_code": currency, "amount": price}
        request = ticket_type(draft.id, price=cost, total_stock=stock)
        await self.tickets.events.CreateTicketType(request, metadata=self.admin)
        publish = event_service_pb2.PublishEventRequest(event_id=draft.id)
        return await self.tickets.events.PublishEvent(publish, metadata=self.admin)

    async def call_off(self, of: event_pb2.Event) -> None:
        cancel = event_service_pb2.CancelEventRequest(event_id=of.id)
        await self.tickets.events.CancelEvent(cancel, metadata=self.admin)

    async def remaining(self, of: event_pb2.Event) -> int:
        request = event_service_pb2.GetEventRequest(event_id=of.id)
        return (await self.tickets.events.GetEvent(request)).ticket_types[0].remaining

    # The customer

    async def hold(self, of: event_pb2.Event, quantity: int = 1) -> hold_pb2.Hold:
        return await self.tickets.holds.CreateHold(hold_request(of, quantity))

    async def order(
        self, held: hold_pb2.Hold, *, key: str = "", **customer: str
    ) -> order_pb2.Order:
        request = order_service_pb2.CreateOrderRequest(
            hold_id=held.id,
            customer=order_service_pb2.CreateOrderCustomer(**{**CUSTOMER, **customer}),
            idempotency_key=key,
        )
        return await self.payments.orders.CreateOrder(request)

    async def ordered(self, *, quantity: int = 1, **event_fields: Any) -> order_pb2.Order:
        """An order for a new event, not yet paid."""
        return await self.order(await self.hold(await self.event(**event_fields), quantity))

    async def stored(self, held: hold_pb2.Hold) -> order_pb2.Order:
        """The order of a hold, for a customer who has no answer yet."""
        find = "SELECT id FROM orders WHERE hold_id = :id"
        (row,) = await self.installation.execute("payment", find, id=held.id)
        return order_pb2.Order(id=row.id, hold_id=held.id)

    async def booked(self, order: order_pb2.Order) -> dict[str, int]:
        """What each transaction of the ledger moved at the provider, by the start of its source."""
        find = """
            SELECT split_part(source, ':', 1) AS what, sum(amount_minor)::bigint AS moved
            FROM ledger_transactions booked JOIN ledger_entries ON transaction_id = booked.id
            WHERE order_id = :id AND account = 'PROVIDER' GROUP BY 1
        """
        return {
            row.what: row.moved
            for row in await self.installation.execute("payment", find, id=order.id)
        }

    async def get(self, order: order_pb2.Order) -> order_pb2.Order:
        request = order_service_pb2.GetOrderRequest(order_id=order.id)
        return await self.payments.orders.GetOrder(request, metadata=opened_by(order))

    async def attempt(self, order: order_pb2.Order, key: str = "") -> order_pb2.Order:
        """Another attempt to pay: the order with a payment of its own."""
        request = order_service_pb2.CreatePaymentRequest(order_id=order.id, idempotency_key=key)
        payment = await self.payments.orders.CreatePayment(request, metadata=opened_by(order))
        found = order_pb2.Order()
        found.CopyFrom(order)
        found.payment.CopyFrom(payment)
        return found

    async def attempts(
        self, order: order_pb2.Order, by: Metadata | None = None
    ) -> list[order_pb2.Payment]:
        request = order_service_pb2.ListPaymentsRequest(order_id=order.id)
        found = await self.payments.orders.ListPayments(request, metadata=by or opened_by(order))
        return list(found.payments)

    async def another(self, order: order_pb2.Order) -> order_pb2.Order:
        """Another attempt, after the bank has declined this one; both may then be paid."""
        await self.decline(order)
        return await self.attempt(order)

    async def decline(self, order: order_pb2.Order, method: str = "chargeDeclined") -> None:
        """Have the bank decline a payment, until that is known."""
        assert (await self.pay(order, f"pm_card_{method}")).status_code == 402

        async def is_known() -> bool:
            found = {each.id: each for each in await self.attempts(order)}
            return bool(found[order.payment.id].decline_code)

        await eventually(is_known)

    async def cancel(
        self, order: order_pb2.Order, by: Metadata | None = None, key: str = ""
    ) -> order_pb2.Order:
        request = order_service_pb2.CancelOrderRequest(order_id=order.id, idempotency_key=key)
        return await self.payments.orders.CancelOrder(request, metadata=by or opened_by(order))

    async def issued(self, order: order_pb2.Order) -> list[ticket_pb2.Ticket]:
        """The order's tickets as ticket_service has them, whatever the order's state."""
        channel = self.installation.mesh("payment_service").channel("ticket_service")
        request = ticket_service_pb2.ListTicketsRequest(order_id=order.id)
        return list((await TicketApi(channel).tickets.ListTickets(request)).tickets)

    async def becomes(self, order: order_pb2.Order, state: str) -> order_pb2.Order:
        """The order, once it is in a state."""
        wanted = order_pb2.OrderState.Value(f"ORDER_STATE_{state}")
        found = [order]

        async def look() -> bool:
            found.append(await self.get(order))
            return found[-1].state == wanted

        await eventually(look, SETTLED_WITHIN_S)
        return found[-1]

    # The browser, and Stripe

    async def pay(
        self, order: order_pb2.Order, method: str = "pm_card_visa", **params: str
    ) -> httpx.Response:
        """Confirm the payment as Stripe.js does."""
        data = {"client_secret": order.payment.client_secret, "payment_method": method, **params}
        return await self.sandbox.http.post(
            f"{order.payment.api_base}/v1/payment_intents/{intent_id(order)}/confirm",
            headers={"Authorization": f"Bearer {order.payment.publishable_key}"},
            data=data,
        )

    async def intent(self, order: order_pb2.Order) -> stripe.PaymentIntent:
        return await self.sandbox.stripe.v1.payment_intents.retrieve_async(
            intent_id(order), {"expand": ["latest_charge"]}
        )

    async def count_intents(self, order: order_pb2.Order) -> int:
        """How many PaymentIntents Stripe has for an order."""
        page = await self.sandbox.stripe.v1.payment_intents.list_async({"limit": 100})
        owners = [intent.to_dict()["metadata"].get("order_id") for intent in page.data]
        return owners.count(order.id)

    async def charge(self, order: order_pb2.Order) -> stripe.Charge:
        return stripe_sandbox.charge_of(await self.intent(order))

    async def charges_at_once(self, order: order_pb2.Order) -> None:
        """Have Stripe charge this payment when it is confirmed, as some methods do."""
        at_once: Any = {"card": {"capture_method": "automatic"}}
        await self.sandbox.stripe.v1.payment_intents.update_async(
            intent_id(order), {"payment_method_options": at_once}
        )

    async def spoil(self, path: str, /, **fault: Any) -> None:
        """Make the next matching call to Stripe go wrong."""
        await self.sandbox.ask("/faults", path=path, **fault)

    async def calls(self, path_end: str) -> int:
        """How many calls Stripe got for a path."""
        calls = (await self.sandbox.look("/calls"))["data"]
        return sum(call["path"].endswith(path_end) for call in calls)

    async def events(self, order: order_pb2.Order) -> list[Any]:
        """What Stripe has to report about an order's payment, as sent in webhooks, oldest first."""
        page = await self.sandbox.http.get(
            f"{self.sandbox.url}/v1/events?limit=100",
            headers={"Authorization": f"Bearer {self.sandbox.keys.secret_key}"},
        )
        about = intent_id(order)
        found = page.raise_for_status().json()["data"][::-1]
        return [found for found in found if found["data"]["object"]["id"] == about]

    async def deliver(self, payload: bytes, signature: str) -> None:
        """Hand a webhook over, as the gateway does."""
        request = webhook_service_pb2.ReceiveStripeWebhookRequest(
            payload={"content_type": "application/json", "data": payload}, signature=signature
        )
        await self.payments.webhooks.ReceiveStripeWebhook(request)

    # Time, and the truth

    async def reach_deadline(self, order: order_pb2.Order) -> None:
        """Let the time to pay run out now, everywhere."""
        overdue = "UPDATE holds SET expires_at = now() WHERE id = :id"
        await self.installation.execute("ticket", overdue, id=order.hold_id)
        overdue = "UPDATE orders SET expires_at = now() WHERE id = :id"
        await self.installation.execute("payment", overdue, id=order.id)
        await self.attempt_now(order)

    async def expire_hold(self, hold_id: str) -> None:
        """Let the time of a hold run out now, and its tickets be back on sale."""
        overdue = "UPDATE holds SET expires_at = now() WHERE id = :id"
        await self.installation.execute("ticket", overdue, id=hold_id)
        database = self.installation.hosts["ticket_service"].database
        live = "SELECT count(*) FROM holds WHERE id = :id AND state = 'ACTIVE'"

        async def is_over() -> bool:  # the service itself may be about to expire it
            await expire_holds(database, another_replicas_offers())
            ((count,),) = await self.installation.execute("ticket", live, id=hold_id)
            return bool(count == 0)

        await eventually(is_over)

    async def give_to_others(self, order: order_pb2.Order, of: event_pb2.Event) -> None:
        """Let an order's hold run out, and somebody else hold what it gives back."""
        await self.expire_hold(order.hold_id)
        await self.hold(of, await self.remaining(of))

    async def attempt_now(self, order: order_pb2.Order) -> None:
        """Let the pause before the next attempt end now."""
        due = text("UPDATE orders SET next_attempt_at = now() WHERE id = :id")
        async with self.installation.hosts["payment_service"].database.begin() as tx:
            await tx.execute(due, {"id": order.id})
            signal(tx, DUE)

    async def settled(self) -> None:
        """Wait until no order needs anything, then check every invariant."""
        url, sandbox = self.installation.database_url, self.sandbox
        left: list[str] = []

        async def look() -> bool:
            left[:] = [*await unsettled(url), *await undelivered(url, "payment")]
            return not left

        try:
            await eventually(look, SETTLED_WITHIN_S)
        except TimeoutError:
            raise AssertionError(left) from None
        await assert_invariants(url)
        assert await broken_money(url, sandbox.url, sandbox.keys.secret_key) == []


def opened_by(order: order_pb2.Order) -> Metadata:
    """What the holder of the order's token sends."""
    return (("authorization", f"Bearer {order.access_token}"),)


def intent_id(order: order_pb2.Order) -> str:
    return order.payment.client_secret.partition("_secret_")[0]


def state_of(order: order_pb2.Order) -> str:
    return order_pb2.OrderState.Name(order.state).removeprefix("ORDER_STATE_")


def signature(payload: bytes, secret: str, *, age_s: int = 0) -> str:
    """The header that Stripe sends: https://docs.stripe.com/webhooks#verify-manually."""
    at = int(time.time()) - age_s
    mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


@asynccontextmanager
async def open_shop(installation: Installation) -> AsyncIterator[Shop]:
    """Both services run, Stripe's webhooks come in through the gateway, somebody listens."""
    announced, port = Announced(), free_port()
    broker = brokers.connect("", installation.database_url)
    await broker.consume(ANNOUNCEMENTS, announced.handle)
    for queue in OTHER_ANNOUNCEMENTS:
        await broker.consume(queue, announced.handle_other)
    await installation.start("ticket_service")
    await installation.start("payment_service")
    verifier = auth.TokenVerifier(installation.issuer.keys)
    app = build_app(gateway.settings.Settings(), installation.mesh("gateway"), verifier)
    webhooks_url = f"http://127.0.0.1:{port}/v1/webhooks/stripe"
    async with stripe_sandbox.served(app, port):
        await installation.sandbox.ask("/webhooks/endpoint", url=webhooks_url)
        yield Shop(installation, announced, webhooks_url)
        await installation.sandbox.ask("/webhooks/endpoint", url=None)
    await broker.close()


async def at_once(*calls: Any) -> list[Any]:
    """The outcomes of calls that are made at the same time: answers, or what they raised."""
    return list(await asyncio.gather(*calls, return_exceptions=True))
