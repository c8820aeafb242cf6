"""Who sees which orders, and what of them."""

import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio
import pytest
from google.api import httpbody_pb2
from tessera.notification.v1 import document_service_pb2, document_service_pb2_grpc
from tessera.payment.v1 import order_pb2, order_service_pb2, order_service_pb2_grpc

from kit import auth
from kit.rpc_server import Guard, Server
from kit.tls import Identity
from tests.integration.payment_service.support import Shop, opened_by, state_of
from tests.integration.ticket_service.support import refused
from tests.support.tokens import Metadata

PDF = b"%PDF of a test"


def with_token(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def get(order: order_pb2.Order) -> order_service_pb2.GetOrderRequest:
    return order_service_pb2.GetOrderRequest(order_id=order.id)


async def test_customer_sees_how_to_pay(shop: Shop) -> None:
    order = await shop.ordered()
    seen = await shop.get(order)
    assert seen.payment == order.payment
    assert seen.payment.client_secret
    assert not seen.access_token


async def test_customer_of_a_paid_order_needs_no_client_secret(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order)
    paid = await shop.becomes(order, "PAID")
    assert paid.payment.state == order_pb2.PAYMENT_STATE_SUCCEEDED
    assert not paid.payment.client_secret


@pytest.mark.parametrize("role", ["ADMIN", "SUPERADMIN"])
async def test_admins_see_the_order_but_nothing_to_pay_with(shop: Shop, role: str) -> None:
    order = await shop.ordered()
    organizer_id = shop.organizer_id if role == "ADMIN" else ""
    metadata = shop.installation.issuer.metadata(organizer_id, role)
    seen = await shop.payments.orders.GetOrder(get(order), metadata=metadata)
    assert (seen.id, seen.customer.email) == (order.id, "grace@customer.example")
    assert not seen.HasField("payment")
    assert not seen.access_token


async def test_notification_service_may_read_an_order(shop: Shop) -> None:
    order = await shop.ordered()
    channel = shop.installation.mesh("notification_service").channel("payment_service")
    stub = order_service_pb2_grpc.OrderServiceStub(channel)
    seen = await stub.GetOrder(get(order))
    assert seen.code == order.code
    assert not seen.HasField("payment")


async def test_order_of_somebody_else_is_not_found(shop: Shop) -> None:
    order, other = await shop.ordered(), await shop.ordered()
    stranger = shop.installation.issuer.metadata(f"org_{uuid.uuid4().hex}")
    for metadata in (stranger, opened_by(other)):
        with refused("ORDER_NOT_FOUND"):
            await shop.payments.orders.GetOrder(get(order), metadata=metadata)
        with refused("ORDER_NOT_FOUND"):
            await shop.cancel(order, by=metadata)
        with refused("ORDER_NOT_FOUND"):
            await shop.payments.orders.ListOrderTickets(
                order_service_pb2.ListOrderTicketsRequest(order_id=order.id), metadata=metadata
            )


async def test_callers_without_a_good_token_are_sent_away(shop: Shop) -> None:
    order = await shop.ordered()
    forged = with_token(order.access_token[:-1] + ("A" if order.access_token[-1] != "A" else "B"))
    with refused("INVALID_TOKEN"):
        await shop.payments.orders.GetOrder(get(order), metadata=forged)
    with refused("TOKEN_MISSING"):
        await shop.payments.orders.GetOrder(get(order))
    with refused("ROLE_NOT_ALLOWED"):
        await shop.payments.orders.GetOrder(
            get(order), metadata=shop.installation.issuer.metadata(shop.organizer_id, "STAFF")
        )
    with refused("ROLE_NOT_ALLOWED"):
        await shop.cancel(order, by=shop.installation.issuer.metadata("", "SUPERADMIN"))


async def list_orders(shop: Shop, **fields: Any) -> order_service_pb2.ListOrdersResponse:
    request = order_service_pb2.ListOrdersRequest(**fields)
    return await shop.payments.orders.ListOrders(request, metadata=shop.admin)


async def test_list_is_paged_newest_first_and_stable_under_writes(shop: Shop) -> None:
    event = await shop.event()
    made = [(await shop.order(await shop.hold(event))).id for _ in range(5)]
    first = await list_orders(shop, page_size=2)
    await shop.order(await shop.hold(event))
    second = await list_orders(shop, page_size=2, page_token=first.next_page_token)
    third = await list_orders(shop, page_size=2, page_token=second.next_page_token)
    pages = [[order.id for order in page.orders] for page in (first, second, third)]
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert not third.next_page_token


async def test_page_token_of_another_question_is_refused(shop: Shop) -> None:
    event = await shop.event()
    for _ in range(2):
        await shop.order(await shop.hold(event))
    page = await list_orders(shop, page_size=1)
    with refused("INVALID_PAGE_TOKEN", field="page_token"):
        await list_orders(shop, page_size=1, page_token=page.next_page_token, event_id=event.id)


async def test_list_is_filtered(shop: Shop) -> None:
    free, event = await shop.event(price="0.00"), await shop.event()
    paid = await shop.order(await shop.hold(free))
    pending = await shop.order(await shop.hold(event), email="Ada@Customer.example")

    async def found(**fields: Any) -> list[str]:
        return [order.id for order in (await list_orders(shop, **fields)).orders]

    assert await found() == [pending.id, paid.id]
    assert await found(event_id=free.id) == [paid.id]
    assert await found(state=order_pb2.ORDER_STATE_PAID) == [paid.id]
    assert await found(email="ada@customer.example") == [pending.id]
    assert await found(event_id=free.id, state=order_pb2.ORDER_STATE_PENDING) == []


async def test_list_holds_the_own_organizers_orders_only(shop: Shop) -> None:
    await shop.ordered()
    stranger = shop.installation.issuer.metadata(f"org_{uuid.uuid4().hex}")
    listed = await shop.payments.orders.ListOrders(
        order_service_pb2.ListOrdersRequest(), metadata=stranger
    )
    assert list(listed.orders) == []


async def test_superadmin_lists_every_organizers_orders(shop: Shop) -> None:
    order = await shop.ordered()
    root = shop.installation.issuer.metadata("", "SUPERADMIN")
    listed = await shop.payments.orders.ListOrders(
        order_service_pb2.ListOrdersRequest(), metadata=root
    )
    assert order.id in {found.id for found in listed.orders}


async def test_tickets_are_listed_once_the_order_is_paid(shop: Shop) -> None:
    order = await shop.ordered(quantity=2)
    request = order_service_pb2.ListOrderTicketsRequest(order_id=order.id)
    listed = await shop.payments.orders.ListOrderTickets(request, metadata=opened_by(order))
    assert list(listed.tickets) == []
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    for metadata in (opened_by(order), shop.admin):
        listed = await shop.payments.orders.ListOrderTickets(request, metadata=metadata)
        assert [ticket.holder_name for ticket in listed.tickets] == ["Grace Hopper"] * 2
        assert len({ticket.code for ticket in listed.tickets}) == 2


class Draughtsman(document_service_pb2_grpc.DocumentServiceServicer):
    """notification_service, as far as drawing goes; remembers what it was to draw."""

    def __init__(self) -> None:
        self.asked: list[document_service_pb2.RenderTicketsRequest] = []

    async def RenderTickets(
        self,
        request: document_service_pb2.RenderTicketsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> httpbody_pb2.HttpBody:
        self.asked.append(request)
        return httpbody_pb2.HttpBody(content_type="application/pdf", data=PDF)


@pytest.fixture
async def draughtsman(shop: Shop) -> AsyncIterator[Draughtsman]:
    servicer, installation = Draughtsman(), shop.installation
    server = Server(
        Identity.load(installation.tls_dir, "notification_service"),
        Guard(auth.TokenVerifier(installation.issuer.keys)),
        [(servicer, document_service_pb2_grpc.add_DocumentServiceServicer_to_server)],
    )
    await server.start(installation.variables["TESSERA_NOTIFICATION_SERVICE_ADDRESS"])
    yield servicer
    await server.stop(0)


async def test_tickets_are_drawn_from_the_order_its_event_and_its_tickets(
    shop: Shop, draughtsman: Draughtsman
) -> None:
    order = await shop.ordered(price="0.00", quantity=2)
    request = order_service_pb2.GetOrderTicketsPdfRequest(order_id=order.id)
    document = await shop.payments.orders.GetOrderTicketsPdf(request, metadata=opened_by(order))
    assert (document.content_type, document.data) == ("application/pdf", PDF)
    (asked,) = draughtsman.asked
    assert asked.event.title == "A Night of Strings"
    assert asked.order.code == order.code
    assert not asked.order.access_token
    assert list(asked.tickets) == await shop.issued(order)


async def test_nothing_is_drawn_before_the_order_is_paid(shop: Shop) -> None:
    order = await shop.ordered()
    assert state_of(order) == "PENDING"
    request = order_service_pb2.GetOrderTicketsPdfRequest(order_id=order.id)
    with refused("ORDER_NOT_PAID"):
        await shop.payments.orders.GetOrderTicketsPdf(request, metadata=opened_by(order))
