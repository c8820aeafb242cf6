"""A process that dies between any two steps of a sale: the sale completes, or nobody is charged."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy.engine import URL
from tessera.payment.v1 import order_pb2, order_service_pb2

from deploy.local.postgres import EmbeddedPostgres
from kit import auth
from kit.auth import Caller
from kit.database import Database, ensure_database, service_url
from kit.idempotency import Once
from kit.migrations import upgrade
from kit.service import ROOT
from payment_service.orders import operations as orders
from payment_service.orders import store
from payment_service.orders.domain import Customer, Order
from payment_service.orders.operations import OrderRequest
from payment_service.orders.proto import payment_proto
from payment_service.orders.store import LEASE, Claim
from payment_service.payments import operations as payments
from payment_service.payments.domain import Payment, shown
from payment_service.payments.operations import Preparer
from payment_service.payments.provider import PaymentProvider
from payment_service.payments.store import Sale
from payment_service.payments.stripe_api import StripeProvider
from payment_service.refunds import operations as refunds
from payment_service.refunds import store as refund_store
from payment_service.settling import operations as settling
from payment_service.settling.operations import Means
from payment_service.tickets_client import TicketsClient
from tests.integration.payment_service.dying import Fate, Killed, MortalDatabase, mortal
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import Announced, Shop, signature
from tests.support.invariants import assert_invariants, broken_money, unsettled

Thing = TypeVar("Thing")
MAX_STEPS = 80
CUSTOMER = Customer("grace@customer.example", "Grace Hopper", "")
VOUCHER = """
    INSERT INTO vouchers (id, organizer_id, code, percentage_ppm, max_redemptions)
    VALUES (:id, :organizer_id, 'HALF', 500000, 1)
"""


class Started:
    """What a webhook had this process start with."""

    has_room = True

    def __init__(self) -> None:
        self.found: list[tuple[Claim, Sale | None]] = []

    def start(self, claim: Claim, sale: Sale | None = None) -> None:
        self.found.append((claim, sale))


@dataclass(frozen=True, slots=True)
class Process:
    """What a process of payment_service has at hand."""

    means: Means

    @classmethod
    def of(cls, database: Database, provider: PaymentProvider, tickets: TicketsClient) -> "Process":
        return cls(Means(database, provider, tickets, Preparer(database, provider)))

    async def create(self, request: OrderRequest) -> Sale:
        return await orders.create_order(self.means, request)

    async def attempt(self, order_id: str) -> tuple[Order, Payment]:
        auth.set_current(Caller("gateway", order_id=order_id))
        request = order_service_pb2.CreatePaymentRequest(
            order_id=order_id, idempotency_key="the same key"
        )
        return await payments.create_payment(
            self.means.database,
            self.means.preparer,
            auth.current(),
            order_id,
            Once(request, payment_proto),
        )

    async def hear(self, payload: bytes, signed: str) -> None:
        started = Started()
        await payments.receive_webhook(
            self.means.database, self.means.provider, payload, signed, started
        )
        for claim, sale in started.found:
            await settling.settle_claimed(self.means, claim, sale)

    async def settle(self, order_id: str) -> None:
        """As when a lease has run out."""
        async with self.means.database.begin() as tx:
            claim = await store.claim_order(tx, order_id, LEASE)
        await settling.settle_claimed(self.means, claim)

    async def refund(self) -> None:
        means = self.means
        async with means.database.begin() as tx:
            claims = await refund_store.claim_due(tx, refund_store.Line.MONEY, 10, LEASE)
        for claim in claims:
            await refunds.refund_claimed(means.database, means.provider, means.tickets, claim)


class Life:
    """A process that may die at any step; whoever asked it for something then asks the next."""

    def __init__(self, process: Process, url: URL, fate: Fate) -> None:
        self._next = process
        self._database = MortalDatabase(url, fate)
        self._mortal = Process.of(
            self._database,
            mortal(process.means.provider, fate),
            mortal(process.means.tickets, fate),
        )

    async def ask(self, act: Callable[[Process], Awaitable[Thing]]) -> Thing:
        try:
            return await act(self._mortal)
        except Killed:
            return await act(self._next)

    async def close(self) -> None:
        await self._database.close()


@dataclass(frozen=True, slots=True)
class Stage:
    """A ticket_service and a Stripe, but no payment_service: the tests are its processes."""

    shop: Shop
    process: Process

    @asynccontextmanager
    async def life(self, fate: Fate) -> AsyncIterator[Life]:
        url = service_url(self.shop.installation.database_url, "payment")
        life = Life(self.process, url, fate)
        yield life
        await life.close()

    async def order(self, order_id: str) -> Order:
        async with self.process.means.database.begin() as tx:
            found = await store.get_order(tx, order_id)
        assert found is not None
        return found


@pytest.fixture(scope="module")
async def stage(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation:
        await installation.start("ticket_service")
        payment_url = service_url(url, "payment")
        await ensure_database(payment_url)
        await upgrade(ROOT / "payment_service", payment_url)
        keys, sandbox = installation.sandbox.keys, installation.sandbox
        provider = StripeProvider(
            keys.secret_key, keys.publishable_key, keys.webhook_secret, sandbox.url
        )
        tickets = TicketsClient(installation.mesh("payment_service"))
        process = Process.of(installation.database("payment"), provider, tickets)
        yield Stage(Shop(installation, Announced()), process)
        await process.means.preparer.stop()
        await provider.close()


@dataclass(frozen=True, slots=True)
class Story:
    """How a sale goes."""

    end: str
    price: str = "50.00"
    charged: bool = False  # by methods that cannot be authorised first
    sold_out: bool = False
    voucher: bool = False
    attempts: int = 1  # all of which the customer pays
    lapses: bool = False  # before anybody hears of the authorisation


async def sale(stage: Stage, life: Life, story: Story) -> Order:
    """One order from its creation to its end."""
    shop = Shop(stage.shop.installation, stage.shop.announced)
    event = await shop.event(price=story.price, stock=1)
    held = await shop.hold(event)
    if story.voucher:
        await shop.installation.execute(
            "payment", VOUCHER, id=f"vch_{held.id}", organizer_id=shop.organizer_id
        )
    request = OrderRequest(
        held.id, CUSTOMER, None, b"the same request", "HALF" if story.voucher else ""
    )
    opened = await life.ask(partial(Process.create, request=request))
    tries = [to_pay(shop, opened.order, shown(opened.payments, None))]
    for _ in range(story.attempts - 1):  # the bank has declined those before
        assert (await shop.pay(tries[-1], "pm_card_chargeDeclined")).status_code == 402
        await hear_all(shop, life, tries[-1])
        more = await life.ask(partial(Process.attempt, order_id=opened.order.id))
        tries.append(to_pay(shop, *more))
    if story.price != "0.00":
        await pay(shop, tries, story)
    if story.sold_out:
        await shop.give_to_others(tries[0], event)
    for order in tries:
        await hear_all(shop, life, order)
    if story.lapses:
        overdue = "UPDATE orders SET expires_at = now() WHERE id = :id"
        await shop.installation.execute("payment", overdue, id=opened.order.id)
    await life.ask(partial(Process.settle, order_id=opened.order.id))
    await stage.process.refund()
    return await stage.order(opened.order.id)


async def hear_all(shop: Shop, life: Life, order: order_pb2.Order) -> None:
    for report in await shop.events(order):
        payload = json.dumps(report).encode()
        signed = signature(payload, shop.sandbox.keys.webhook_secret)
        await life.ask(partial(Process.hear, payload=payload, signed=signed))


async def pay(shop: Shop, tries: list[order_pb2.Order], story: Story) -> None:
    for order in tries:
        if story.charged:
            await shop.charges_at_once(order)
        assert (await shop.pay(order)).status_code == 200
        if story.lapses:
            intent = order.payment.client_secret.partition("_secret_")[0]
            await shop.sandbox.ask(f"/payment_intents/{intent}/lapse")


def to_pay(shop: Shop, ordered: Order, payment: Payment | None) -> order_pb2.Order:
    """What the customer's browser needs to pay."""
    order = order_pb2.Order(id=ordered.id, hold_id=ordered.hold_id)
    if payment:
        order.payment.client_secret = payment.client_secret
        order.payment.publishable_key = shop.sandbox.keys.publishable_key
        order.payment.api_base = shop.sandbox.url
    return order


@pytest.mark.parametrize(
    "story",
    [
        pytest.param(Story("PAID"), id="paid"),
        pytest.param(Story("PAID", charged=True), id="charged-at-once"),
        pytest.param(Story("CANCELLED", sold_out=True), id="sold-out"),
        pytest.param(
            Story("CANCELLED", sold_out=True, charged=True), id="charged-at-once-and-sold-out"
        ),
        pytest.param(Story("PAID", price="0.00"), id="free"),
        pytest.param(Story("PAID", voucher=True), id="with-a-voucher"),
        pytest.param(Story("CANCELLED", voucher=True, sold_out=True), id="voucher-and-sold-out"),
        pytest.param(Story("PAID", attempts=2), id="authorised-twice"),
        pytest.param(Story("PAID", attempts=2, charged=True), id="charged-twice"),
        pytest.param(Story("EXPIRED", lapses=True), id="lapsed"),
    ],
)
async def test_process_may_die_at_any_step_of_a_sale(stage: Stage, story: Story) -> None:
    """Each life dies one step later than the one before, until one lives to the end."""
    for steps in range(1, MAX_STEPS):
        fate = Fate(steps)
        async with stage.life(fate) as life:
            ended = await sale(stage, life, story)
        assert ended.state == story.end, f"died at step {steps}"
        if not fate.is_fulfilled:
            break
    else:
        raise AssertionError("a sale never ended")
    url, sandbox = stage.shop.installation.database_url, stage.shop.sandbox
    assert await unsettled(url) == []
    await assert_invariants(url)
    assert await broken_money(url, sandbox.url, sandbox.keys.secret_key) == []
    paid = "SELECT count(*) AS paid FROM orders WHERE state = 'PAID'"
    announced = "SELECT count(*) AS n FROM outbox WHERE routing_key = 'payment.succeeded'"
    ((orders_paid,),) = await stage.shop.installation.execute("payment", paid)
    ((messages,),) = await stage.shop.installation.execute("payment", announced)
    assert messages == orders_paid


@pytest.mark.parametrize("price", ["50.00", "0.00"])
async def test_processes_that_settle_the_same_order_at_once_do_it_once(
    stage: Stage, price: str
) -> None:
    """A lease that runs out while its holder is only slow leaves two of them at work."""
    shop, process = stage.shop, stage.process
    event = await shop.event(price=price, stock=2)
    held = await shop.hold(event, 2)
    request = OrderRequest(held.id, CUSTOMER, None, b"the same request")
    opened = await asyncio.gather(*(process.create(request) for _ in range(5)))
    payment = shown(opened[0].payments, None)
    assert len({found.order.id for found in opened}) == 1
    order = to_pay(shop, opened[0].order, payment)
    if payment:
        await shop.pay(order)
        payload = json.dumps((await shop.events(order))[-1]).encode()
        signed = signature(payload, shop.sandbox.keys.webhook_secret)
        means = process.means
        await payments.receive_webhook(means.database, means.provider, payload, signed)
    await asyncio.gather(*(process.settle(order.id) for _ in range(5)))
    await process.settle(order.id)
    assert (await stage.order(order.id)).state == "PAID"
    assert len(await shop.issued(order)) == 2
    found = "SELECT 1 FROM outbox WHERE convert_from(body, 'UTF8') LIKE :about"
    announced = await shop.installation.execute("payment", found, about=f"%{order.id}%")
    assert len(announced) == 1
    sandbox = shop.sandbox
    url, key = shop.installation.database_url, sandbox.keys.secret_key
    assert await broken_money(url, sandbox.url, key) == []
