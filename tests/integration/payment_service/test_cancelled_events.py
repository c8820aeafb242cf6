"""A cancelled event refunds every order, in the background, whatever dies meanwhile."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from tessera.payment.v1 import messages_pb2, operation_pb2, order_pb2
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from deploy.local.postgres import EmbeddedPostgres
from kit.database import Database, Transaction, service_url
from payment_service.bulk import operations as bulk
from payment_service.refunds.worker import AT_ONCE
from tests.integration.payment_service.dying import Killed
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    open_shop,
    opened_by,
    state_of,
)
from tests.integration.payment_service.till import (
    at_stripe,
    books,
    decide,
    dispute,
    dispute_is,
    finished,
    get_operation,
    held_back,
    operations,
    paid,
    refund,
    refunds,
    retry,
    through,
    valid,
)
from tests.integration.ticket_service.support import eventually, refused

RUNNING = operation_pb2.OPERATION_STATE_RUNNING


# What becomes of the orders


async def test_every_order_of_a_cancelled_event_ends_and_what_was_paid_goes_back(
    shop: Shop,
) -> None:
    event = await shop.event(stock=30)
    orders = [await paid(shop, event, quantity=2) for _ in range(3)]
    waiting = await shop.order(await shop.hold(event))
    given_up = await shop.order(await shop.hold(event))
    await shop.cancel(given_up)
    await shop.call_off(event)
    done = await finished(shop, event)
    assert (done.total, done.done, done.failed) == (4, 4, 0)
    assert done.kind == operation_pb2.OPERATION_KIND_REFUND_EVENT
    assert done.HasField("finished_at")
    for order in orders:
        (made,) = await through(shop, order, "SUCCEEDED")
        assert (made.operation_id, made.amount.amount) == (done.id, "100.00")
        ended = await shop.get(order)
        assert (state_of(ended), ended.cancel_reason) == ("CANCELLED", "EVENT_CANCELLED")
        assert await valid(shop, order) == []
        assert await books(shop, order) == {}
    assert state_of(await shop.get(waiting)) == "CANCELLED"
    assert (await shop.get(waiting)).cancel_reason == "EVENT_CANCELLED"
    assert (await shop.get(given_up)).cancel_reason == "CANCELLED"
    await shop.settled()
    assert (await shop.intent(waiting)).status == "canceled"
    for order in orders:
        (told,) = shop.announced.that(messages_pb2.OrderCancelled, order.id)
        assert told.reason == "EVENT_CANCELLED"
    assert shop.announced.that(messages_pb2.OrderCancelled, waiting.id) == []


async def test_free_order_of_a_cancelled_event_ends_without_money(shop: Shop) -> None:
    event = await shop.event(price="0.00")
    order = await paid(shop, event)
    await shop.call_off(event)
    assert (await finished(shop, event)).done == 1
    assert state_of(await shop.get(order)) == "CANCELLED"
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.amount.amount == "0.00"


async def test_what_was_refunded_before_does_not_go_back_twice(shop: Shop) -> None:
    event = await shop.event(stock=30)
    partly, whole = await paid(shop, event), await paid(shop, event)
    (ticket, *_) = await shop.issued(partly)
    await refund(shop, partly, ticket_ids=[ticket.id])
    await refund(shop, whole)
    await through(shop, partly, "SUCCEEDED")
    await through(shop, whole, "SUCCEEDED")
    await shop.call_off(event)
    assert (await finished(shop, event)).total == 1
    assert sum(given.amount for given in await at_stripe(shop, partly)) == 15_000
    assert len(await refunds(shop, whole)) == 1


async def test_admitted_tickets_of_a_cancelled_event_are_refunded_too(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    admit = "INSERT INTO check_ins (id, ticket_id, event_id, user_id) SELECT :id, id, event_id, ''"
    await shop.installation.execute(
        "ticket",
        f"{admit} FROM tickets WHERE order_id = :order AND number = 1",
        id=f"chk_{uuid.uuid4().hex}",
        order=order.id,
    )
    await shop.call_off(event)
    await finished(shop, event)
    await through(shop, order, "SUCCEEDED")


async def test_cancelled_event_cannot_be_paid_for(shop: Shop) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event))
    await shop.call_off(event)
    await finished(shop, event)
    await shop.settled()
    assert (await shop.pay(order)).status_code == 400
    assert await valid(shop, order) == []


async def test_payment_that_goes_through_as_the_event_is_cancelled_goes_back(shop: Shop) -> None:
    """Whoever is first: nobody has paid for a ticket that is not valid."""
    event = await shop.event(stock=40)
    orders = [await shop.order(await shop.hold(event)) for _ in range(12)]
    for order in orders[::3]:
        await shop.charges_at_once(order)

    async def call_off() -> None:
        async def some_is_paid() -> bool:
            states = [state_of(await shop.get(order)) for order in orders]
            return "PAID" in states

        await eventually(some_is_paid)
        await shop.call_off(event)

    await at_once(*(shop.pay(order) for order in orders), call_off())
    await finished(shop, event)
    await shop.settled()
    for order in orders:
        assert state_of(await shop.get(order)) == "CANCELLED"
        assert await valid(shop, order) == []
        intent = await shop.intent(order)
        if intent.status == "succeeded":
            assert sum(given.amount for given in await at_stripe(shop, order)) == 5_000
        else:
            assert intent.status == "canceled"
        assert await books(shop, order) == {}


async def test_payment_that_is_being_captured_as_the_event_is_cancelled_goes_back(
    shop: Shop,
) -> None:
    event = await shop.event()
    order = await shop.order(await shop.hold(event))
    capture = f"/v1/payment_intents/{intent_id(order)}/capture"
    await shop.spoil(capture, action="delay", seconds=20)
    await shop.pay(order)
    await shop.sandbox.held_back(capture)
    await shop.call_off(event)
    await finished(shop, event)
    assert state_of(await shop.get(order)) == "CANCELLED"
    await shop.sandbox.clear_faults()
    await shop.settled()
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.operation_id == ""
    assert [given.amount for given in await at_stripe(shop, order)] == [5_000]
    assert await books(shop, order) == {}


# What needs an admin


async def test_orders_that_fail_are_counted_and_tried_again(shop: Shop) -> None:
    event = await shop.event(stock=30)
    good, bad = await paid(shop, event), await paid(shop, event)
    await shop.spoil(
        "/v1/refunds", method="POST", action="error", status=400, code="charge_disabled", times=1
    )
    await shop.call_off(event)
    failed = await finished(shop, event, "FAILED")
    assert (failed.total, failed.done, failed.failed) == (2, 1, 1)
    again = await retry(shop, failed.id, key="k1")
    assert (again.state, again.total) == (RUNNING, 2)
    done = await finished(shop, event)
    assert (done.id, done.total, done.done, done.failed) == (failed.id, 2, 2, 0)
    assert (await retry(shop, failed.id, key="k1")).state == RUNNING  # the answer of then
    for order in (good, bad):
        assert sum(given.amount for given in await at_stripe(shop, order)) == 15_000
    assert (await retry(shop, failed.id)).state == operation_pb2.OPERATION_STATE_SUCCEEDED


async def test_refund_that_a_bank_sends_back_later_makes_the_operation_fail(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event, method="pm_card_refundFail")
    await shop.call_off(event)
    await finished(shop, event)
    await shop.sandbox.ask("/settle")
    failed = await finished(shop, event, "FAILED")
    assert (failed.total, failed.done, failed.failed) == (1, 0, 1)
    await refund(shop, order)  # by hand
    await through(shop, order, "FAILED", "SUCCEEDED")
    await retry(shop, failed.id)
    done = await finished(shop, event)
    assert (done.total, done.done, done.failed) == (1, 1, 0)
    assert len(await refunds(shop, order)) == 2


@pytest.mark.parametrize(("outcome", "state"), [("won", "SUCCEEDED"), ("lost", "FAILED")])
async def test_disputed_order_of_a_cancelled_event_waits_for_the_bank(
    shop: Shop, outcome: str, state: str
) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    opened = await dispute(shop, order)
    await dispute_is(shop, order, "OPEN")
    await shop.call_off(event)
    await through(shop, order, "CREATED")

    async def is_worthless() -> bool:
        return await valid(shop, order) == []

    await eventually(is_worthless)
    await decide(shop, opened, outcome)
    await through(shop, order, state)
    done = await finished(shop, event)  # a customer who has it from their bank needs nobody
    assert (done.total, done.done, done.failed) == (1, 1, 0)


async def test_order_with_an_error_of_its_own_keeps_no_other_waiting(shop: Shop) -> None:
    event = await shop.event(stock=30)
    bad, good = await paid(shop, event), await paid(shop, event)
    spoil = "UPDATE payments SET amount_minor = :minor WHERE order_id = :id"
    await shop.installation.execute("payment", spoil, id=bad.id, minor=100)
    await shop.call_off(event)
    failed = await finished(shop, event, "FAILED")
    assert (failed.total, failed.done, failed.failed) == (2, 1, 1)
    await through(shop, good, "SUCCEEDED")
    await shop.installation.execute("payment", spoil, id=bad.id, minor=15_000)
    await retry(shop, failed.id)
    done = await finished(shop, event)
    assert (done.total, done.done, done.failed) == (2, 2, 0)


async def test_refund_that_somebody_asked_for_overtakes_those_of_an_operation(shop: Shop) -> None:
    event, many = await shop.event(stock=30), AT_ONCE + 1
    for _ in range(many):
        await paid(shop, event, quantity=1)
    other = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20, times=AT_ONCE)
    await shop.call_off(event)
    await held_back(shop)
    await refund(shop, other)
    await through(shop, other, "SUCCEEDED")
    (found,) = await operations(shop, event_id=event.id)
    assert (found.total, found.done) == (many, 0)
    await shop.sandbox.clear_faults()
    await finished(shop, event)


async def test_operation_that_runs_is_not_tried_again(shop: Shop) -> None:
    event = await shop.event()
    await paid(shop, event)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20)
    await shop.call_off(event)
    await held_back(shop)
    (found,) = await operations(shop, event_id=event.id)
    assert found.state == RUNNING
    with refused("OPERATION_RUNNING"):
        await retry(shop, found.id)
    await shop.sandbox.clear_faults()
    await finished(shop, event)


async def test_admins_watch_the_operations_of_their_own_organizer(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    await shop.call_off(event)
    done = await finished(shop, event)
    assert await get_operation(shop, done.id) == done
    stranger = Shop(shop.installation, shop.announced, shop.webhooks_url)
    assert await operations(shop, by=stranger.admin) == []
    with refused("OPERATION_NOT_FOUND"):
        await get_operation(shop, done.id, by=stranger.admin)
    with refused("OPERATION_NOT_FOUND"):
        await retry(stranger, done.id)
    with refused("TOKEN_MISSING"):
        await operations(shop, by=opened_by(order))


# Many


class DyingDatabase(Database):
    """Dies with its process at the end of every fourth transaction, before it commits."""

    def __init__(self, url: URL) -> None:
        super().__init__(url, pool_size=2)
        self._begun = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        self._begun += 1
        dies = self._begun % 4 == 0
        async with super().begin() as tx:
            yield tx
            if dies:
                raise Killed


@pytest.fixture(scope="module")
async def stage(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """A shop whose payment_service the test stops."""
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with (
        installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation,
        open_shop(installation) as shop,
    ):
        yield replace(shop, organizer_id=f"org_{uuid.uuid4().hex}")


async def taken_up(shop: Shop) -> tuple[int, int, bool]:
    """The orders that the operation counts, those whose refund is decided, and if that is all."""
    query = "SELECT total, all_found, (SELECT count(*) FROM refunds) AS opened FROM operations"
    (row,) = await shop.installation.execute("payment", query)
    return row.total, row.opened, row.all_found


async def test_hundreds_of_orders_are_refunded_once_though_processes_die(stage: Shop) -> None:
    count, gate = 250, asyncio.Semaphore(8)
    event = await stage.event(stock=count)

    async def buy() -> order_pb2.Order:
        async with gate:
            return await paid(stage, event, quantity=1)

    orders = await asyncio.gather(*(buy() for _ in range(count)))
    await stage.settled()
    await stage.installation.stop("payment_service")
    database = stage.installation.database("payment")
    cancelled = ticket_messages.EventCancelled(event_id=event.id, organizer_id=stage.organizer_id)
    for _ in range(2):
        await bulk.begin_refunds(database, "msg_1", cancelled)
    dying = DyingDatabase(service_url(stage.installation.database_url, "payment"))
    before, deaths, all_found = 0, 0, False
    while not all_found:
        try:
            await bulk.carry_on(dying)
        except Killed:
            deaths += 1
            lapse = "UPDATE operations SET next_attempt_at = now() WHERE state = 'RUNNING'"
            await stage.installation.execute("payment", lapse)
        total, opened, all_found = await taken_up(stage)
        assert total == opened, "what is taken up is counted"
        assert 0 <= opened - before <= bulk.PAGE, "a page is one transaction"
        before = opened
    assert deaths >= 2
    await dying.close()
    await stage.installation.start("payment_service")
    done = await finished(stage, event, within_s=120)
    assert (done.total, done.done, done.failed) == (count, count, 0)
    await stage.settled()
    for order in orders[::50]:
        assert [given.amount for given in await at_stripe(stage, order)] == [5_000]
    assert await stage.remaining(event) == count
