"""A ticket is used at the moment at which its order is cancelled: who got in has paid for it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from tessera.payment.v1 import messages_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import ticket_service_pb2

from payment_service.refunds.worker import AT_ONCE
from tests.integration.payment_service.support import Shop, at_once, opened_by, state_of
from tests.integration.payment_service.test_cancellations import in_line, policy
from tests.integration.payment_service.test_insights_money import Box, check
from tests.integration.payment_service.test_refunds import BOOKING_FEE, admit, ticket_id
from tests.integration.payment_service.till import (
    at_stripe,
    books,
    held_back,
    paid,
    refund,
    through,
    valid,
)
from tests.integration.ticket_service.support import money, refused


async def door(shop: Shop, order: order_pb2.Order, number: int = 1) -> str:
    """What somebody is told who shows a ticket."""
    (ticket,) = [ticket for ticket in await shop.issued(order) if ticket.number == number]
    shown = ticket_service_pb2.CreateCheckInRequest(ticket_code=ticket.code)
    checked = await shop.tickets.tickets.CreateCheckIn(shown, metadata=shop.admin)
    if checked.result == ticket_service_pb2.CHECK_IN_RESULT_ACCEPTED:
        return "ACCEPTED"
    rejection = ticket_service_pb2.CheckInRejection.Name(checked.reason)
    return rejection.removeprefix("CHECK_IN_REJECTION_")


@asynccontextmanager
async def under_way(
    shop: Shop, order: order_pb2.Order, *asking: Coroutine[Any, Any, Any]
) -> AsyncIterator[None]:
    """While the block runs, what is asked for has looked at the tickets, and decides nothing yet.

    Afterwards it is decided, and answered.
    """
    lock = text("SELECT id FROM orders WHERE id = :id FOR UPDATE")
    async with shop.installation.database("payment").begin() as tx:
        await tx.execute(lock, {"id": order.id})
        asked = [asyncio.create_task(each) for each in asking]
        await in_line(shop, len(asked))
        yield
    await asyncio.gather(*asked)


async def keep_stripe_busy(shop: Shop) -> None:
    """Have as many refunds wait for Stripe as may, until the faults are cleared."""
    order = await paid(shop, quantity=1)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=25, times=AT_ONCE)
    for _ in range(AT_ONCE):
        await refund(shop, order, amount=money("1.00"))
    await held_back(shop)


# The usual case.


async def test_nobody_enters_with_what_is_cancelled_however_slow_stripe_is(shop: Shop) -> None:
    order = await paid(shop, quantity=1, cancellation_policy=policy())
    other = await paid(shop, quantity=1)
    await keep_stripe_busy(shop)
    await shop.cancel(order)
    await refund(shop, other)
    assert await door(shop, order) == await door(shop, other) == "TICKET_CANCELLED"
    assert await at_stripe(shop, order) == await at_stripe(shop, other) == []
    await shop.sandbox.clear_faults()
    await through(shop, order, "SUCCEEDED")
    await through(shop, other, "SUCCEEDED")


# Used between the look at the tickets and their end.


@pytest.mark.parametrize("is_customer", [True, False])
async def test_ticket_used_as_its_order_is_cancelled_is_not_paid_back(
    shop: Shop, *, is_customer: bool
) -> None:
    event = await shop.event(cancellation_policy=policy(), booking_fee=BOOKING_FEE)
    order = await paid(shop, event, quantity=2)
    by = opened_by(order) if is_customer else shop.admin
    async with under_way(shop, order, shop.cancel(order, by=by)):
        await admit(shop, order, 1)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.amount.amount, list(made.ticket_numbers)) == ("52.00", [2])
    assert [given.amount for given in await at_stripe(shop, order)] == [5_200]
    assert (await shop.get(order)).refunded.amount == "52.00"
    assert state_of(await shop.get(order)) == "CANCELLED"
    assert await valid(shop, order) == [1]
    assert await shop.remaining(event) == 9
    assert await books(shop, order) == {"PROVIDER": 5_000, "TICKET_REVENUE": -5_000}
    box = Box(shop, event)
    seen = await box.insights()
    check(seen, await box.balances())
    assert (seen.sold, seen.admitted, seen.revenue.amount) == (1, 1, "50.00")
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.RefundIssued, order.id)) == 1


async def test_what_was_kept_for_a_used_ticket_can_be_given_back_later(shop: Shop) -> None:
    order = await paid(shop, quantity=2, cancellation_policy=policy())
    async with under_way(shop, order, shop.cancel(order)):
        await admit(shop, order, 1)
    await through(shop, order, "SUCCEEDED")
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("50.01"))
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await books(shop, order) == {}


async def test_fee_is_kept_of_what_goes_back(shop: Shop) -> None:
    fee = {"currency_code": "EUR", "amount": "5.00"}
    order = await paid(shop, quantity=2, cancellation_policy=policy(fee=fee))
    async with under_way(shop, order, shop.cancel(order)):
        await admit(shop, order, 2)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.amount.amount, list(made.ticket_numbers)) == ("45.00", [1])
    assert (await books(shop, order))["CANCELLATION_FEES"] == -500


@pytest.mark.parametrize("price", ["50.00", "0.00"])
async def test_refund_of_nothing_but_used_tickets_fails(shop: Shop, price: str) -> None:
    order = await paid(shop, price=price, quantity=1, cancellation_policy=policy())
    async with under_way(shop, order, shop.cancel(order)):
        await admit(shop, order, 1)
    (made,) = await through(shop, order, "FAILED")
    assert (made.failure_reason, list(made.ticket_numbers)) == ("TICKET_ADMITTED", [])
    ended = await shop.get(order)
    assert (state_of(ended), ended.refunded.amount) == ("CANCELLED", "0.00")
    assert await valid(shop, order) == [1]


async def test_free_order_gives_back_the_tickets_that_were_not_used(shop: Shop) -> None:
    event = await shop.event(price="0.00", cancellation_policy=policy())
    order = await paid(shop, event)
    async with under_way(shop, order, shop.cancel(order)):
        await admit(shop, order, 2)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert list(made.ticket_numbers) == [1, 3]
    assert await shop.remaining(event) == 9


async def test_cancelling_many_times_as_a_ticket_is_used_is_once(shop: Shop) -> None:
    order = await paid(shop, quantity=2, cancellation_policy=policy())
    asking = (shop.cancel(order) for _ in range(4))
    async with under_way(shop, order, *asking):
        await admit(shop, order, 1)
    await shop.cancel(order)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.amount.amount, list(made.ticket_numbers)) == ("50.00", [2])


# An admin's refunds.


async def refunded(
    shop: Shop, order: order_pb2.Order, *numbers: int, **fields: Any
) -> refund_pb2.Refund:
    ids = [await ticket_id(shop, order, number) for number in numbers]
    return await refund(shop, order, ticket_ids=ids, **fields)


async def test_ticket_used_as_it_is_refunded_is_left_out(shop: Shop) -> None:
    order = await paid(shop)
    async with under_way(shop, order, refunded(shop, order, 1, 2)):
        await admit(shop, order, 1)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.amount.amount, list(made.ticket_numbers)) == ("50.00", [2])
    assert state_of(await shop.get(order)) == "PAID"
    assert await valid(shop, order) == [1, 3]
    with refused("TICKET_ADMITTED"):
        await refunded(shop, order, 1)
    await refunded(shop, order, 1, include_admitted=True)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await valid(shop, order) == [3]
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    assert await books(shop, order) == {}


async def test_refund_of_a_ticket_that_is_used_meanwhile_fails_and_may_be_made_anyway(
    shop: Shop,
) -> None:
    order = await paid(shop)
    async with under_way(shop, order, refunded(shop, order, 1, amount=money("20.00"))):
        await admit(shop, order, 1)
    (made,) = await through(shop, order, "FAILED")
    assert made.failure_reason == "TICKET_ADMITTED"
    assert (await shop.get(order)).refunded.amount == "0.00"
    assert (await books(shop, order))["PROVIDER"] == 15_000
    await refund(shop, order, include_admitted=True)
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert await books(shop, order) == {}


async def test_used_tickets_go_back_with_the_others_if_the_refund_includes_them(shop: Shop) -> None:
    order = await paid(shop)
    async with under_way(shop, order, refund(shop, order, include_admitted=True)):
        await admit(shop, order, 1)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.amount.amount, list(made.ticket_numbers)) == ("150.00", [1, 2, 3])
    assert await valid(shop, order) == []
    assert await books(shop, order) == {}


# Whoever is first, at the door and at the till.


async def test_whoever_got_in_has_paid_and_the_others_have_their_money(shop: Shop) -> None:
    event = await shop.event(stock=24, cancellation_policy=policy())
    orders = [await paid(shop, event, quantity=2) for _ in range(12)]

    async def race(order: order_pb2.Order) -> int:
        calls = (shop.cancel(order), door(shop, order, 1), door(shop, order, 2))
        return (await at_once(*calls)).count("ACCEPTED")

    admitted = await asyncio.gather(*(race(order) for order in orders))
    await shop.settled()
    for order, got_in in zip(orders, admitted, strict=True):
        is_cancelled = state_of(await shop.get(order)) == "CANCELLED"
        due = 10_000 - 5_000 * got_in if is_cancelled else 0
        assert sum(given.amount for given in await at_stripe(shop, order)) == due
        assert is_cancelled or got_in
