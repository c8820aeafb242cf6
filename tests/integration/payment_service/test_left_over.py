"""Payments that orders leave over: looked at and cancelled behind those who pay."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2

from payment_service.orders.operations import OrderRequest
from payment_service.payments.domain import shown
from payment_service.payments.operations import Preparer, receive_webhook
from payment_service.payments.pacer import Lane, current_lane
from payment_service.payments.provider import PaymentProvider
from payment_service.settling.operations import Means
from payment_service.settling.worker import AT_ONCE, LEFT_OVER_AT_ONCE, Settler
from tests.integration.payment_service.support import signature
from tests.integration.payment_service.test_crashes import CUSTOMER, Process, Stage, stage, to_pay
from tests.integration.ticket_service.support import eventually

__all__ = ["stage"]  # the fixture


class Watched:
    """A provider that notes what it is asked, and lets nobody look or cancel unless it may."""

    def __init__(self, provider: PaymentProvider) -> None:
        self._provider = provider
        self.asked: list[tuple[str, Lane]] = []
        self.may_answer = asyncio.Event()
        self.waiting = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._provider, name)
        if name not in {"retrieve", "cancel", "capture"}:
            return found

        async def call(provider_id: str) -> Any:
            self.asked.append((name, current_lane()))
            if name != "capture":
                await self._wait()
            return await found(provider_id)

        return call

    async def _wait(self) -> None:
        self.waiting += 1
        await self.may_answer.wait()
        self.waiting -= 1


def watched(stage: Stage) -> tuple[Means, Watched]:
    means = stage.process.means
    provider = Watched(means.provider)
    as_provider = cast(PaymentProvider, provider)
    preparer = Preparer(means.database, as_provider)
    return Means(means.database, as_provider, means.tickets, preparer), provider


async def begun(stage: Stage, of: event_pb2.Event) -> order_pb2.Order:
    """An order that waits for its payment."""
    held = await stage.shop.hold(of)
    opened = await stage.process.create(OrderRequest(held.id, CUSTOMER, None, held.id.encode()))
    return to_pay(stage.shop, opened.order, shown(opened.payments, None))


async def hear(stage: Stage, means: Means, order: order_pb2.Order, settler: Settler) -> None:
    for report in await stage.shop.events(order):
        payload = json.dumps(report).encode()
        signed = signature(payload, stage.shop.sandbox.keys.webhook_secret)
        await receive_webhook(means.database, means.provider, payload, signed, settler)


@asynccontextmanager
async def at_work(means: Means) -> AsyncIterator[Settler]:
    """Both that settle orders, as in a process; that which hears of payments."""
    settlers = Settler(means), Settler(means, of_left_over=True)

    async def work(due: Callable[[], Awaitable[None]]) -> None:
        while True:
            await due()

    working = [asyncio.create_task(work(each.settle_due)) for each in settlers]
    try:
        yield settlers[0]
    finally:
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        await asyncio.gather(*(each.stop() for each in settlers))


async def count(stage: Stage, of: event_pb2.Event, state: str) -> int:
    query = "SELECT count(*) FROM orders WHERE event_id = :id AND state = :state"
    ((found,),) = await stage.shop.installation.execute("payment", query, id=of.id, state=state)
    return int(found)


async def test_orders_that_expire_at_once_take_no_place_of_one_that_is_paid(stage: Stage) -> None:
    means, provider = watched(stage)
    many, event = AT_ONCE + 1, await stage.shop.event(stock=100)
    for _ in range(many):
        await begun(stage, event)
    overdue = "UPDATE orders SET expires_at = now(), next_attempt_at = now() WHERE event_id = :id"
    await stage.shop.installation.execute("payment", overdue, id=event.id)
    paying = await begun(stage, event)
    async with at_work(means) as settler:

        async def all_are_left_over() -> bool:
            left = "SELECT count(*) FROM orders WHERE event_id = :id AND is_left_over"
            ((found,),) = await stage.shop.installation.execute("payment", left, id=event.id)
            return bool(found == many and provider.waiting == LEFT_OVER_AT_ONCE)

        await eventually(all_are_left_over)
        assert settler.has_room
        await stage.shop.pay(paying)
        await hear(stage, means, paying, settler)

        async def is_paid() -> bool:
            return await count(stage, event, "PAID") == 1

        await eventually(is_paid)
        assert await count(stage, event, "PENDING") == many
        assert provider.waiting == LEFT_OVER_AT_ONCE
        provider.may_answer.set()

        async def all_have_expired() -> bool:
            return await count(stage, event, "EXPIRED") == many

        await eventually(all_have_expired, 30)

        async def all_are_cancelled() -> bool:
            asked = [name for name, _ in provider.asked]
            return asked.count("cancel") == many

        await eventually(all_are_cancelled, 30)
    assert {lane for name, lane in provider.asked if name == "capture"} == {Lane.SETTLING}
    assert {lane for name, lane in provider.asked if name != "capture"} == {Lane.BACKGROUND}


async def test_payment_that_is_found_at_the_deadline_is_taken_among_those_who_pay(
    stage: Stage,
) -> None:
    means, provider = watched(stage)
    provider.may_answer.set()
    event = await stage.shop.event(stock=1)
    order = await begun(stage, event)
    await stage.shop.pay(order)  # of which nobody is told
    overdue = "UPDATE orders SET expires_at = now(), next_attempt_at = now() WHERE id = :id"
    await stage.shop.installation.execute("payment", overdue, id=order.id)
    async with at_work(means):

        async def is_paid() -> bool:
            return await count(stage, event, "PAID") == 1

        await eventually(is_paid)
    assert provider.asked == [("retrieve", Lane.BACKGROUND), ("capture", Lane.SETTLING)]


async def test_money_that_an_order_leaves_reserved_is_freed_first_and_what_has_none_can_wait(
    stage: Stage,
) -> None:
    means, provider = watched(stage)
    provider.may_answer.set()
    event = await stage.shop.event(stock=1)
    first = await begun(stage, event)
    assert (await stage.shop.pay(first, "pm_card_chargeDeclined")).status_code == 402
    process = Process(means)
    for report in await stage.shop.events(first):
        payload = json.dumps(report).encode()
        await process.hear(payload, signature(payload, stage.shop.sandbox.keys.webhook_secret))
    second = to_pay(stage.shop, *(await process.attempt(first.id)))
    await stage.shop.pay(second)
    await stage.shop.give_to_others(second, event)
    async with at_work(means) as settler:
        await hear(stage, means, second, settler)

        async def both_are_cancelled() -> bool:
            closed = "SELECT 1 FROM payments WHERE order_id = :id AND state = 'CANCELLED'"
            rows = await stage.shop.installation.execute("payment", closed, id=first.id)
            return len(rows) == 2

        await eventually(both_are_cancelled)
    assert provider.asked == [("cancel", Lane.SETTLING), ("cancel", Lane.BACKGROUND)]
