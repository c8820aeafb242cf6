"""A process that dies between any two steps of a sale: the sale completes, or nobody is charged."""

import asyncio
import inspect
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from sqlalchemy.engine import URL
from tessera.payment.v1 import order_pb2

from deploy.local.postgres import EmbeddedPostgres
from kit.database import Database, Transaction, ensure_database, service_url
from kit.migrations import upgrade
from kit.service import ROOT
from payment_service.orders import operations as orders
from payment_service.orders import store
from payment_service.orders.domain import Customer
from payment_service.orders.operations import OpenOrder, OrderRequest
from payment_service.payments import operations as payments
from payment_service.payments.provider import PaymentProvider
from payment_service.payments.stripe_api import StripeProvider
from payment_service.tickets_client import TicketsClient
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import (
    Announced,
    Shop,
    signature,
)
from tests.support.invariants import assert_invariants, broken_money, unsettled

Thing = TypeVar("Thing")
MAX_STEPS = 60
CUSTOMER = Customer("grace@customer.example", "Grace Hopper", "")


class Killed(BaseException):
    """SIGKILL: nothing in the process gets to react."""


class Fate:
    """Ends a process at its n-th step: before or after a call, or after a commit."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property
    def is_fulfilled(self) -> bool:
        return self._left <= 0

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


class MortalDatabase(Database):
    def __init__(self, url: URL, fate: Fate) -> None:
        super().__init__(url, pool_size=2)
        self._fate = fate

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with super().begin() as tx:
            yield tx
        self._fate.step()


class _Mortal:
    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*args: Any) -> Any:
            self._fate.step()
            answer = await attribute(*args)
            self._fate.step()
            return answer

        return call


def mortal(inner: Thing, fate: Fate) -> Thing:
    """The same, in a process that may die around each of its calls."""
    return cast(Thing, _Mortal(inner, fate))


@dataclass(frozen=True, slots=True)
class Process:
    """What a process of payment_service has at hand."""

    database: Database
    provider: PaymentProvider
    tickets: TicketsClient

    async def create(self, request: OrderRequest) -> OpenOrder:
        return await orders.create_order(self.database, self.provider, self.tickets, request)

    async def hear(self, payload: bytes, signed: str) -> None:
        await payments.receive_webhook(self.database, self.provider, payload, signed)

    async def settle(self, order_id: str) -> None:
        async with self.database.begin() as tx:
            claim = await store.claim_order(tx, order_id, payments.LEASE)
        await payments.settle_claimed(self.database, self.provider, self.tickets, claim)


class Life:
    """A process that may die at any step; whoever asked it for something then asks the next."""

    def __init__(self, process: Process, url: URL, fate: Fate) -> None:
        self._next = process
        self._mortal = Process(
            MortalDatabase(url, fate), mortal(process.provider, fate), mortal(process.tickets, fate)
        )

    async def ask(self, act: Callable[[Process], Awaitable[Thing]]) -> Thing:
        try:
            return await act(self._mortal)
        except Killed:
            return await act(self._next)

    async def close(self) -> None:
        await self._mortal.database.close()


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
        process = Process(installation.database("payment"), provider, tickets)
        yield Stage(Shop(installation, Announced()), process)
        await provider.close()


async def sale(stage: Stage, life: Life, *, price: str, charged: bool, sold_out: bool) -> str:
    """One order from its creation to its end; answers the state it ended in."""
    shop = stage.shop
    event = await shop.event(price=price, stock=1)
    held = await shop.hold(event)
    request = OrderRequest(held.id, CUSTOMER, None, b"the same request")
    opened = await life.ask(partial(Process.create, request=request))
    order = opened_order(shop, opened)
    if opened.payment:
        if charged:
            await shop.charges_at_once(order)
        assert (await shop.pay(order)).status_code == 200
    if sold_out:
        await shop.give_to_others(order, event)
    for report in await shop.events(order):
        payload = json.dumps(report).encode()
        signed = signature(payload, shop.sandbox.keys.webhook_secret)
        hear = partial(Process.hear, payload=payload, signed=signed)
        await life.ask(hear)
    await life.ask(partial(Process.settle, order_id=order.id))
    async with stage.process.database.begin() as tx:
        ended = await store.get_order(tx, order.id)
    assert ended is not None
    return ended.state


def opened_order(shop: Shop, opened: OpenOrder) -> order_pb2.Order:
    """What the customer's browser needs to pay."""
    order = order_pb2.Order(id=opened.order.id, hold_id=opened.order.hold_id)
    if opened.payment:
        order.payment.client_secret = opened.payment.client_secret
        order.payment.publishable_key = shop.sandbox.keys.publishable_key
        order.payment.api_base = shop.sandbox.url
    return order


@pytest.mark.parametrize(
    ("price", "charged", "sold_out", "end"),
    [
        pytest.param("50.00", False, False, "PAID", id="paid"),
        pytest.param("50.00", True, False, "PAID", id="charged-at-once"),
        pytest.param("50.00", False, True, "CANCELLED", id="sold-out"),
        pytest.param("50.00", True, True, "CANCELLED", id="charged-at-once-and-sold-out"),
        pytest.param("0.00", False, False, "PAID", id="free"),
    ],
)
async def test_process_may_die_at_any_step_of_a_sale(
    stage: Stage, price: str, charged: bool, sold_out: bool, end: str
) -> None:
    """Each life dies one step later than the one before, until one lives to the end."""
    for steps in range(1, MAX_STEPS):
        fate = Fate(steps)
        async with stage.life(fate) as life:
            ended = await sale(stage, life, price=price, charged=charged, sold_out=sold_out)
        assert ended == end, f"died at step {steps}"
        if not fate.is_fulfilled:
            break
    else:
        raise AssertionError("a sale never ended")
    url, sandbox = stage.shop.installation.database_url, stage.shop.sandbox
    assert await unsettled(url) == []
    await assert_invariants(url)
    assert await broken_money(url, sandbox.url, sandbox.keys.secret_key) == []
    paid = "SELECT count(*) AS paid FROM orders WHERE state = 'PAID'"
    announced = "SELECT count(*) AS announced FROM outbox"
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
    (order,) = {found.order.id: opened_order(shop, found) for found in opened}.values()
    if opened[0].payment:
        await shop.pay(order)
        payload = json.dumps((await shop.events(order))[-1]).encode()
        signed = signature(payload, shop.sandbox.keys.webhook_secret)
        await process.hear(payload, signed)
    await asyncio.gather(*(process.settle(order.id) for _ in range(5)))
    await process.settle(order.id)
    async with process.database.begin() as tx:
        ended = await store.get_order(tx, order.id)
    assert ended is not None
    assert ended.state == "PAID"
    assert len(await shop.issued(order)) == 2
    found = "SELECT 1 FROM outbox WHERE convert_from(body, 'UTF8') LIKE :about"
    announced = await shop.installation.execute("payment", found, about=f"%{order.id}%")
    assert len(announced) == 1
    sandbox = shop.sandbox
    url, key = shop.installation.database_url, sandbox.keys.secret_key
    assert await broken_money(url, sandbox.url, key) == []
