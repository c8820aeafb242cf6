"""notification_service with everything around it: two services that know sales, mail and messages.

The two services are stand-ins that answer what a test put there, over real gRPC and mTLS, behind
the contract's own access rules.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.message import Message as Proto
from tessera.notification.v1 import (
    document_service_pb2_grpc,
    notification_pb2,
    notification_service_pb2,
    notification_service_pb2_grpc,
)
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
from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    ticket_service_pb2,
    ticket_service_pb2_grpc,
    waitlist_entry_pb2,
    waitlist_service_pb2,
    waitlist_service_pb2_grpc,
)

from deploy.local import smtp_sink
from deploy.local.environment import free_port
from deploy.local.smtp_sink import SmtpSink
from kit import auth, brokers
from kit.broker import Broker, Queue
from kit.errors import NotFound, Unavailable
from kit.rpc_errors import RemoteError
from kit.rpc_server import Guard, Server
from kit.service import Build
from kit.tls import Identity
from notification_service.app import build
from notification_service.notifications.consumers import PAYMENT_SUCCEEDED
from tests.integration.notification_service.sales import (
    Offer,
    Sale,
    announcement,
    offer,
    offer_announcement,
    published,
    sale,
)
from tests.support.services import TestMesh, running_services
from tests.support.tokens import Metadata, TokenIssuer

Context = grpc.aio.ServicerContext[Any, Any]
Notification = notification_pb2.Notification

PATIENCE_S = 45


class EventNotFound(NotFound):
    """There is no such event."""


class OrderLookupNotFound(NotFound):
    """There is no such lookup."""


class HoldNotFound(NotFound):
    """There is no such hold."""


class WaitlistEntryNotFound(NotFound):
    """There is no such entry."""


@dataclass(slots=True)
class Sales:
    """What the stand-ins for ticket_service and payment_service know.

    `away` has payment_service answer that it cannot.
    """

    known: dict[str, Sale] = field(default_factory=dict)
    offered: dict[str, Offer] = field(default_factory=dict)
    refunds: dict[str, refund_pb2.Refund] = field(default_factory=dict)
    lookups: dict[str, order_lookup_service_pb2.OrderLookupMail] = field(default_factory=dict)
    asked_for_events: int = 0
    away: bool = False

    def add(self, made: Sale) -> Sale:
        self.known[made.order.id] = self.known[made.event.id] = made
        return made

    def add_offer(self, made: Offer) -> Offer:
        for key in (made.entry.id, made.hold.id, made.event.id):
            self.offered[key] = made
        return made


class _Orders(order_service_pb2_grpc.OrderServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetOrder(
        self, request: order_service_pb2.GetOrderRequest, _: Context
    ) -> order_pb2.Order:
        if self._sales.away:
            raise Unavailable
        if request.order_id not in self._sales.known:
            raise auth.OrderNotFound
        return self._sales.known[request.order_id].order


class _Refunds(refund_service_pb2_grpc.RefundServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetRefund(
        self, request: refund_service_pb2.GetRefundRequest, _: Context
    ) -> refund_pb2.Refund:
        if request.order_id not in self._sales.known:
            raise auth.OrderNotFound
        return self._sales.refunds[request.refund_id]


class _Lookups(order_lookup_service_pb2_grpc.OrderLookupServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetOrderLookupMail(
        self, request: order_lookup_service_pb2.GetOrderLookupMailRequest, _: Context
    ) -> order_lookup_service_pb2.OrderLookupMail:
        if request.lookup_id not in self._sales.lookups:
            raise OrderLookupNotFound
        return self._sales.lookups[request.lookup_id]


class _Events(event_service_pb2_grpc.EventServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetEvent(
        self, request: event_service_pb2.GetEventRequest, _: Context
    ) -> event_pb2.Event:
        self._sales.asked_for_events += 1
        known, offered = self._sales.known, self._sales.offered
        found = known.get(request.event_id) or offered.get(request.event_id)
        if found is None:
            raise EventNotFound
        return found.event


class _Holds(hold_service_pb2_grpc.HoldServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetHold(self, request: hold_service_pb2.GetHoldRequest, _: Context) -> hold_pb2.Hold:
        if request.hold_id not in self._sales.offered:
            raise HoldNotFound
        return self._sales.offered[request.hold_id].hold


class _Waitlist(waitlist_service_pb2_grpc.WaitlistServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def GetWaitlistEntry(
        self, request: waitlist_service_pb2.GetWaitlistEntryRequest, _: Context
    ) -> waitlist_entry_pb2.WaitlistEntry:
        if self._sales.away:
            raise Unavailable
        if request.waitlist_entry_id not in self._sales.offered:
            raise WaitlistEntryNotFound
        return self._sales.offered[request.waitlist_entry_id].entry


class _Tickets(ticket_service_pb2_grpc.TicketServiceServicer):
    def __init__(self, sales: Sales) -> None:
        self._sales = sales

    async def ListTickets(
        self, request: ticket_service_pb2.ListTicketsRequest, _: Context
    ) -> ticket_service_pb2.ListTicketsResponse:
        found = self._sales.known.get(request.order_id)
        return ticket_service_pb2.ListTicketsResponse(tickets=found.tickets if found else [])


@dataclass(slots=True)
class PostOffice:
    """notification_service's surroundings, and the service itself while `open` lasts."""

    variables: dict[str, str]
    tls_dir: Path
    sales: Sales
    issuer: TokenIssuer
    broker: Broker
    mail_dir: Path
    sink: SmtpSink
    mesh: TestMesh | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run notification_service."""
        builds: dict[str, Build] = {"notification_service": build}
        async with running_services(builds, self.variables, self.tls_dir) as self.mesh:
            yield

    async def sell(self, **facts: Any) -> Sale:
        """A sale that is announced."""
        made = self.sales.add(sale(**facts))
        await self.broker.publish(announcement(made))
        return made

    async def offer(self, **facts: Any) -> Offer:
        """An offer that is announced."""
        made = self.sales.add_offer(offer(**facts))
        await self.broker.publish(offer_announcement(made))
        return made

    async def announce(self, body: Proto, message_id: str = "") -> None:
        """A service says that something happened."""
        await self.broker.publish(published(body, message_id))

    async def close_mail_server(self) -> None:
        """Nothing listens any more at the mail server's address."""
        await self.sink.stop()

    async def open_mail_server(self) -> None:
        """At the same address, with the same mail."""
        self.sink = await smtp_sink.start(self.mail_dir, port=self.smtp_port)

    @property
    def smtp_port(self) -> int:
        return int(self.variables["TESSERA_SMTP_URL"].rpartition(":")[2])

    @property
    def log(self) -> "notification_service_pb2_grpc.NotificationServiceAsyncStub":
        """NotificationService, by way of the gateway."""
        assert self.mesh
        channel = self.mesh.as_service("gateway").channel("notification_service")
        return notification_service_pb2_grpc.NotificationServiceStub(channel)

    def documents(self, caller: str) -> "document_service_pb2_grpc.DocumentServiceAsyncStub":
        """DocumentService, called by this service."""
        assert self.mesh
        channel = self.mesh.as_service(caller).channel("notification_service")
        return document_service_pb2_grpc.DocumentServiceStub(channel)

    def admin(self, organizer_id: str) -> Metadata:
        return self.issuer.metadata(organizer_id)

    @property
    def superadmin(self) -> Metadata:
        return self.issuer.metadata("", "SUPERADMIN")

    async def notifications(
        self, as_user: Metadata = (), **fields: Any
    ) -> notification_service_pb2.ListNotificationsResponse:
        request = notification_service_pb2.ListNotificationsRequest(**fields)
        return await self.log.ListNotifications(request, metadata=as_user or self.superadmin)

    async def resend(
        self, notification_id: str, as_user: Metadata = (), *, key: str = ""
    ) -> Notification:
        request = notification_service_pb2.ResendNotificationRequest(
            notification_id=notification_id, idempotency_key=key
        )
        return await self.log.ResendNotification(request, metadata=as_user or self.superadmin)

    async def about(
        self, of: Sale | Offer, condition: Callable[[Notification], bool], kind: str = ""
    ) -> Notification:
        """The notification of a sale or an offer, of this kind, once the condition holds for it."""
        found: list[Notification] = []

        async def holds() -> bool:
            found[:] = await self.of_kind(kind, **of.about)
            return len(found) == 1 and condition(found[0])

        await eventually(holds)
        return found[0]

    async def of_kind(self, kind: str = "", **fields: Any) -> list[Notification]:
        """The notifications of a kind, or of all, that the filters admit."""
        listed = (await self.notifications((), **fields)).notifications
        return [each for each in listed if not kind or kind_of(each) == kind]

    async def sent(self, of: Sale | Offer, kind: str = "") -> Notification:
        return await self.about(of, in_state("SENT"), kind)

    def mails(self, of: Sale | None = None) -> list[EmailMessage]:
        """All mail, or what is about a sale: its order's code names the attached file."""
        return [
            mail
            for mail in self.sink.messages()
            if of is None or f"tickets-{of.order.code}.pdf" in str(mail)
        ]


def kind_of(notification: Notification) -> str:
    name = notification_pb2.NotificationKind.Name(notification.kind)
    return name.removeprefix("NOTIFICATION_KIND_")


def in_state(state: str) -> Callable[[Notification], bool]:
    wanted = notification_pb2.NotificationState.Value(f"NOTIFICATION_STATE_{state}")
    return lambda notification: notification.state == wanted


@asynccontextmanager
async def surroundings(
    database_url: str, tls_dir: Path, mail_dir: Path
) -> AsyncIterator[PostOffice]:
    """A post office that is not open yet."""
    names = ("user_service", "ticket_service", "payment_service")
    addresses = {name: f"127.0.0.1:{free_port()}" for name in names}
    issuer, sales = TokenIssuer(), Sales()
    sink = await smtp_sink.start(mail_dir)
    office = PostOffice(
        variables={
            **{f"TESSERA_{name.upper()}_ADDRESS": each for name, each in addresses.items()},
            "TESSERA_DATABASE_URL": database_url,
            "TESSERA_SMTP_URL": sink.url,
            "TESSERA_SMTP_TIMEOUT_SECONDS": "2",
            "TESSERA_MAIL_FROM": "Verona Nights <tickets@example.org>",
        },
        tls_dir=tls_dir,
        sales=sales,
        issuer=issuer,
        broker=brokers.connect("", database_url),
        mail_dir=mail_dir,
        sink=sink,
    )
    async with (
        issuer.serving(addresses["user_service"], tls_dir),
        _serving(sales, addresses, issuer, tls_dir),
    ):
        yield office
    await office.broker.close()
    await office.sink.stop()


@asynccontextmanager
async def _serving(
    sales: Sales, addresses: dict[str, str], issuer: TokenIssuer, tls_dir: Path
) -> AsyncIterator[None]:
    """Answer for ticket_service and payment_service."""
    events = _Events(sales)  # type: ignore[abstract]  # what a mail does not need stays away
    tickets = _Tickets(sales)  # type: ignore[abstract]  # as above
    holds = _Holds(sales)  # type: ignore[abstract]  # as above
    waitlist = _Waitlist(sales)  # type: ignore[abstract]  # as above
    orders = _Orders(sales)  # type: ignore[abstract]  # as above
    refunds = _Refunds(sales)  # type: ignore[abstract]  # as above
    lookups = _Lookups(sales)  # type: ignore[abstract]  # as above
    served: dict[str, list[tuple[Any, Any]]] = {
        "ticket_service": [
            (events, event_service_pb2_grpc.add_EventServiceServicer_to_server),
            (tickets, ticket_service_pb2_grpc.add_TicketServiceServicer_to_server),
            (holds, hold_service_pb2_grpc.add_HoldServiceServicer_to_server),
            (waitlist, waitlist_service_pb2_grpc.add_WaitlistServiceServicer_to_server),
        ],
        "payment_service": [
            (orders, order_service_pb2_grpc.add_OrderServiceServicer_to_server),
            (refunds, refund_service_pb2_grpc.add_RefundServiceServicer_to_server),
            (lookups, order_lookup_service_pb2_grpc.add_OrderLookupServiceServicer_to_server),
        ],
    }
    guard = Guard(auth.TokenVerifier(issuer.keys))
    async with AsyncExitStack() as stack:
        for name, servicers in served.items():
            server = Server(Identity.load(tls_dir, name), guard, servicers)
            await server.start(addresses[name])
            stack.push_async_callback(server.stop, 0)
        yield


async def dead_letters(office: PostOffice, queue: Queue = PAYMENT_SUCCEEDED.queue) -> int:
    return await office.broker.dead_letters(queue)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.05)


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """What happens inside is refused for this reason."""
    with pytest.raises(RemoteError) as caught:
        yield
    assert caught.value.reason == reason, caught.value
