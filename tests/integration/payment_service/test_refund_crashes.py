"""A process that dies between any two steps of a refund: the next one completes it, once."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text
from tessera.payment.v1 import order_pb2, refund_service_pb2
from tessera.ticket.v1 import ticket_service_pb2

from deploy.local.postgres import EmbeddedPostgres
from kit import auth
from kit.auth import Caller
from kit.database import Database, service_url
from kit.errors import Unavailable
from kit.idempotency import Answered, Once
from kit.money import Money
from payment_service.orders.domain import Order
from payment_service.payments.domain import PaymentProviderUnavailable
from payment_service.payments.provider import PaymentProvider
from payment_service.payments.stripe_api import StripeProvider
from payment_service.refunds import operations, store, worker
from payment_service.refunds.domain import Refund
from payment_service.refunds.operations import Wish
from payment_service.refunds.rpc import refund_proto
from payment_service.refunds.store import Line
from payment_service.refunds.worker import Refunder
from payment_service.tickets_client import TicketsClient
from tests.integration.payment_service.dying import Fate, Killed, MortalDatabase, mortal
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import Shop, open_shop
from tests.integration.payment_service.till import at_stripe, booked, books, paid, valid
from tests.integration.ticket_service.support import eventually
from tests.support.invariants import assert_invariants, broken_money

MAX_STEPS = 20
LEASE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Process:
    """What a process that refunds has at hand."""

    database: Database
    provider: PaymentProvider
    tickets: TicketsClient

    async def ask(self, order: order_pb2.Order, minor: int | None) -> None:
        """An admin asks, and asks again with the same key if there is no answer."""
        auth.set_current(Caller("payment_service"))
        amount = Money("EUR", minor) if minor else None
        wish = Wish(order.id, amount, (), False, False, False, "")
        request = refund_service_pb2.CreateRefundRequest(idempotency_key=f"key of {order.id}")
        once = Once(request, refund_proto)
        caller = auth.current()
        with suppress(Answered):
            await operations.create_refund(self.database, self.tickets, caller, wish, once)

    async def work(self, order: order_pb2.Order) -> None:
        """Take up what is due of an order, or was left behind by a process that died."""
        left = text(
            "UPDATE refunds SET next_attempt_at = now()"
            " WHERE order_id = :id AND next_attempt_at IS NOT NULL AND state = 'CREATED'"
        )
        async with self.database.begin() as tx:
            await tx.execute(left, {"id": order.id})
        for line in Line:  # the tickets first
            async with self.database.begin() as tx:
                claims = await store.claim_due(tx, line, 10, LEASE)
            for claim in claims:
                await operations.refund_claimed(self.database, self.provider, self.tickets, claim)


@dataclass(frozen=True, slots=True)
class Stage:
    """Orders are paid by a payment_service that is gone then: the tests are its processes."""

    shop: Shop
    process: Process

    def mortal(self, process: Process, fate: Fate) -> Process:
        """The same process, which may die."""
        url = service_url(self.shop.installation.database_url, "payment")
        return Process(
            MortalDatabase(url, fate), mortal(process.provider, fate), mortal(process.tickets, fate)
        )


@pytest.fixture(scope="module")
async def stage(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with (
        installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation,
        open_shop(installation) as shop,
    ):
        await installation.stop("payment_service")
        keys, sandbox = installation.sandbox.keys, installation.sandbox
        provider = StripeProvider(
            keys.secret_key, keys.publishable_key, keys.webhook_secret, sandbox.url
        )
        tickets = TicketsClient(installation.mesh("payment_service"))
        yield Stage(shop, Process(installation.database("payment"), provider, tickets))
        await provider.close()


async def sold(stage: Stage, price: str, method: str) -> list[order_pb2.Order]:
    """An order for every step that a process may die at, and no payment_service any more."""
    installation = stage.shop.installation
    await installation.start("payment_service")
    await stage.shop.sandbox.clear_faults()
    event = await stage.shop.event(price=price, stock=2 * MAX_STEPS)
    orders = [await paid(stage.shop, event, quantity=2, method=method) for _ in range(MAX_STEPS)]
    await stage.shop.settled()
    await installation.stop("payment_service")
    await stage.shop.sandbox.ask("/webhooks/faults", action="drop")
    return orders


@pytest.mark.parametrize(
    ("price", "method", "minor", "state"),
    [
        pytest.param("50.00", "pm_card_visa", None, "SUCCEEDED", id="whole"),
        pytest.param("50.00", "pm_card_visa", 1_000, "SUCCEEDED", id="amount"),
        pytest.param("50.00", "pm_card_pendingRefund", None, "PENDING", id="slow"),
        pytest.param("0.00", "pm_card_visa", None, "SUCCEEDED", id="free"),
    ],
)
async def test_process_may_die_at_any_step_of_a_refund(
    stage: Stage, price: str, method: str, minor: int | None, state: str
) -> None:
    """Each process dies one step later than the one before, until one lives to the end."""
    orders = await sold(stage, price, method)
    async for order, when in dying_at_each_step(stage, stage.process, orders, minor):
        await check(stage.shop, order, minor, state, when)
    await check_invariants(stage.shop)


async def test_process_may_die_at_any_step_of_a_refund_as_a_ticket_is_used(stage: Stage) -> None:
    """Somebody enters after the refund was decided: the next process finds that, too."""
    shop, process = stage.shop, stage.process
    late = cast(TicketsClient, LateScan(shop, process.tickets))
    orders = await sold(stage, "50.00", "pm_card_visa")
    async for order, when in dying_at_each_step(
        stage, replace(process, tickets=late), orders, None
    ):
        query = "SELECT state, amount_minor, ticket_numbers FROM refunds WHERE order_id = :id"
        rows = await shop.installation.execute("payment", query, id=order.id)
        assert [tuple(row) for row in rows] == [("SUCCEEDED", 5_000, [2])], when
        assert [each.amount for each in await at_stripe(shop, order)] == [5_000], when
        assert await valid(shop, order) == [1], when
        assert await books(shop, order) == {"PROVIDER": 5_000, "TICKET_REVENUE": -5_000}, when
    await check_invariants(shop)


class LateScan:
    """A ticket_service at whose door somebody shows a first ticket just before it is cancelled."""

    def __init__(self, shop: Shop, tickets: TicketsClient) -> None:
        self._shop = shop
        self._tickets = tickets

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tickets, name)

    async def cancel(self, order: Order, *args: Any, **kwargs: Any) -> Any:
        first, _ = await self._tickets.tickets(order.id)
        scan = ticket_service_pb2.CreateCheckInRequest(ticket_code=first.code)
        organizer = self._shop.installation.issuer.metadata(order.organizer_id)
        await self._shop.tickets.tickets.CreateCheckIn(scan, metadata=organizer)
        return await self._tickets.cancel(order, *args, **kwargs)


async def dying_at_each_step(
    stage: Stage, process: Process, orders: list[order_pb2.Order], minor: int | None
) -> AsyncIterator[tuple[order_pb2.Order, str]]:
    """Refund each order in a process that dies a step later, and in the next one to the end."""
    for steps, order in enumerate(orders, start=1):
        fate = Fate(steps)
        dying = stage.mortal(process, fate)
        try:
            await dying.ask(order, minor)
            await dying.work(order)
        except Killed:
            await process.ask(order, minor)
        await process.work(order)
        await dying.database.close()
        yield order, f"died at step {steps}"
        if not fate.is_fulfilled:
            return
    raise AssertionError("a refund never ended")


async def check_invariants(shop: Shop) -> None:
    url, sandbox = shop.installation.database_url, shop.sandbox
    await assert_invariants(url)
    assert await broken_money(url, sandbox.url, sandbox.keys.secret_key) == []


async def check(
    shop: Shop, order: order_pb2.Order, minor: int | None, state: str, when: str
) -> None:
    """One refund, of all that was asked for, told once."""
    query = "SELECT state, amount_minor FROM refunds WHERE order_id = :id"
    (row,) = await shop.installation.execute("payment", query, id=order.id)
    assert row.state == state, when
    given = [] if not row.amount_minor else [row.amount_minor]
    assert row.amount_minor in (minor or 10_000, 0)
    if order.HasField("payment"):
        assert [each.amount for each in await at_stripe(shop, order)] == given, when
        assert await booked(shop, order) == ["CHARGE", "REFUND"], when
    assert await valid(shop, order) == ([1, 2] if minor else []), when
    assert (await books(shop, order)).get("PROVIDER", 0) == (10_000 - minor if minor else 0), when
    told = "SELECT routing_key FROM outbox WHERE convert_from(body, 'UTF8') LIKE :about ORDER BY 1"
    rows = await shop.installation.execute("payment", told, about=f"%{order.id}%")
    expected = ["order.cancelled"] if not minor else []
    expected += ["refund.issued"] if given else []
    assert [row.routing_key for row in rows] == expected, when


async def test_processes_that_refund_the_same_at_once_do_it_once(stage: Stage) -> None:
    """A lease that runs out while its holder is only slow leaves two of them at work."""
    shop, process = stage.shop, stage.process
    (order, *_) = await sold(stage, "50.00", "pm_card_visa")
    await asyncio.gather(*(process.ask(order, None) for _ in range(5)), return_exceptions=True)
    await asyncio.gather(*(process.work(order) for _ in range(5)))
    await process.work(order)
    await check(shop, order, None, "SUCCEEDED", "at once")


class StuckStripe:
    """A Stripe that answers nobody until it gives up."""

    def __init__(self) -> None:
        self.waiting = 0
        self.gives_up = asyncio.Event()

    async def refund(self, _refund: Refund, _payment_provider_id: str) -> None:
        self.waiting += 1
        await self.gives_up.wait()
        raise PaymentProviderUnavailable


class LostTickets:
    """A ticket_service that can be asked for tickets, and not to cancel them."""

    def __init__(self, tickets: TicketsClient) -> None:
        self.tickets = tickets.tickets

    async def cancel(self, *_args: Any, **_kwargs: Any) -> None:
        raise Unavailable


async def test_tickets_that_a_request_could_not_cancel_do_not_wait_for_stripe(stage: Stage) -> None:
    shop, process, stripe = stage.shop, stage.process, StuckStripe()
    order, *others = await sold(stage, "50.00", "pm_card_visa")
    async with refunding(replace(process, provider=cast(PaymentProvider, stripe))):
        for other in others[: worker.AT_ONCE]:
            await process.ask(other, 1_000)

        async def is_stuck() -> bool:
            return stripe.waiting == worker.AT_ONCE

        await eventually(is_stuck)
        lost = cast(TicketsClient, LostTickets(process.tickets))
        await replace(process, tickets=lost).ask(order, None)

        async def is_cancelled() -> bool:
            return await valid(shop, order) == []

        await eventually(is_cancelled)
        assert stripe.waiting == worker.AT_ONCE
        stripe.gives_up.set()
    for each in (order, *others[: worker.AT_ONCE]):
        await process.work(each)
    await check(shop, order, None, "SUCCEEDED", "once Stripe answered")


@asynccontextmanager
async def refunding(process: Process) -> AsyncIterator[None]:
    """A process works at all that is due."""
    refunders = [
        Refunder(process.database, process.provider, process.tickets, line) for line in Line
    ]

    async def work(refunder: Refunder) -> None:
        while True:
            await refunder.refund_due()

    working = [asyncio.create_task(work(refunder)) for refunder in refunders]
    try:
        yield
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for refunder in refunders:
            await refunder.stop()
