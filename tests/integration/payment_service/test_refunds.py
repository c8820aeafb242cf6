"""Refunds by admins: of everything, of tickets, of an amount, and never of more than was paid."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import ticket_service_pb2

from tests.integration.payment_service.support import Shop, at_once, opened_by, state_of
from tests.integration.payment_service.till import (
    at_stripe,
    booked,
    books,
    paid,
    refund,
    refunds,
    refunds_of_organizer,
    through,
    valid,
)
from tests.integration.ticket_service.support import money, refused

BOOKING_FEE: Mapping[str, Any] = {"per_ticket": {"currency_code": "EUR", "amount": "1.00"}}


async def ticket_id(shop: Shop, order: order_pb2.Order, number: int) -> str:
    (found,) = [ticket for ticket in await shop.issued(order) if ticket.number == number]
    return found.id


async def admit(shop: Shop, order: order_pb2.Order, number: int) -> None:
    (ticket,) = [ticket for ticket in await shop.issued(order) if ticket.number == number]
    shown = ticket_service_pb2.CreateCheckInRequest(ticket_code=ticket.code)
    checked = await shop.tickets.tickets.CreateCheckIn(shown, metadata=shop.admin)
    assert checked.result == ticket_service_pb2.CHECK_IN_RESULT_ACCEPTED


# What goes back


async def test_whole_order_goes_back_with_its_tickets_and_its_booking_fee(shop: Shop) -> None:
    event = await shop.event(booking_fee=BOOKING_FEE)
    order = await paid(shop, event)
    made = await refund(shop, order, reason="The band is ill.")
    assert (made.state, made.origin) == (
        refund_pb2.REFUND_STATE_CREATED,
        refund_pb2.REFUND_ORIGIN_ADMIN,
    )
    assert (made.amount.amount, made.reason) == ("153.00", "The band is ill.")
    (done,) = await through(shop, order, "SUCCEEDED")
    assert list(done.ticket_numbers) == [1, 2, 3]
    assert [given.amount for given in await at_stripe(shop, order)] == [15_300]
    ended = await shop.get(order)
    assert (state_of(ended), ended.cancel_reason) == ("CANCELLED", "CANCELLED")
    assert await valid(shop, order) == []
    assert await shop.remaining(event) == 10
    assert await books(shop, order) == {}
    assert await booked(shop, order) == ["CHARGE", "REFUND"]
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.RefundIssued, order.id)) == 1
    (cancelled,) = shop.announced.that(messages_pb2.OrderCancelled, order.id)
    assert cancelled.reason == "CANCELLED"


async def test_booking_fee_is_kept_if_asked(shop: Shop) -> None:
    order = await paid(shop, booking_fee=BOOKING_FEE)
    await refund(shop, order, keep_booking_fee=True)
    await through(shop, order, "SUCCEEDED")
    assert [given.amount for given in await at_stripe(shop, order)] == [15_000]
    assert await books(shop, order) == {"PROVIDER": 300, "BOOKING_FEES": -300}


async def test_ticket_goes_back_for_what_it_cost_and_the_others_stay_valid(shop: Shop) -> None:
    event = await shop.event(booking_fee=BOOKING_FEE)
    order = await paid(shop, event)
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 2)])
    (done,) = await through(shop, order, "SUCCEEDED")
    assert (done.amount.amount, list(done.ticket_numbers)) == ("50.00", [2])
    assert await valid(shop, order) == [1, 3]
    assert await shop.remaining(event) == 8
    assert state_of(await shop.get(order)) == "PAID"
    assert (await books(shop, order))["PROVIDER"] == 10_300
    await shop.settled()
    assert shop.announced.that(messages_pb2.OrderCancelled, order.id) == []


async def test_order_ends_with_its_last_ticket(shop: Shop) -> None:
    order = await paid(shop, quantity=2)
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 1)])
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 2)])
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert state_of(await shop.get(order)) == "CANCELLED"
    assert await books(shop, order) == {}


async def test_ticket_goes_back_for_less_and_the_rest_is_kept(shop: Shop) -> None:
    order = await paid(shop)
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 1)], amount=money("30.00"))
    await through(shop, order, "SUCCEEDED")
    assert (await books(shop, order))["CANCELLATION_FEES"] == -2_000


async def test_tickets_that_are_kept_off_sale_do_not_return_to_stock(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 3)], keep_off_sale=True)
    await through(shop, order, "SUCCEEDED")
    assert await shop.remaining(event) == 7
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await shop.remaining(event) == 9


async def test_amount_goes_back_as_goodwill_and_the_tickets_stay_valid(shop: Shop) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=money("20.00"))
    (done,) = await through(shop, order, "SUCCEEDED")
    assert list(done.ticket_numbers) == []
    assert await valid(shop, order) == [1, 2, 3]
    assert (await books(shop, order))["GOODWILL"] == 2_000
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await books(shop, order) == {}
    assert sum(given.amount for given in await at_stripe(shop, order)) == 15_000


async def test_free_order_gives_back_its_tickets(shop: Shop) -> None:
    event = await shop.event(price="0.00")
    order = await paid(shop, event)
    await refund(shop, order)
    (done,) = await through(shop, order, "SUCCEEDED")
    assert (done.amount.amount, done.payment_id) == ("0.00", "")
    assert state_of(await shop.get(order)) == "CANCELLED"
    assert await valid(shop, order) == []
    assert await shop.remaining(event) == 10


async def test_admitted_ticket_goes_back_only_if_asked_for(shop: Shop) -> None:
    order = await paid(shop)
    await admit(shop, order, 2)
    with refused("TICKET_ADMITTED"):
        await refund(shop, order)
    with refused("TICKET_ADMITTED"):
        await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 2)])
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 1)])
    await refund(shop, order, include_admitted=True)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await valid(shop, order) == []


@pytest.mark.parametrize(
    ("currency", "price", "charged"), [("JPY", "5000", 15_000), ("KWD", "5.010", 15_030)]
)
async def test_money_goes_back_in_any_currency(
    shop: Shop, currency: str, price: str, charged: int
) -> None:
    order = await paid(shop, price=price, currency=currency)
    await refund(shop, order, ticket_ids=[await ticket_id(shop, order, 2)])
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert sum(given.amount for given in await at_stripe(shop, order)) == charged
    assert await books(shop, order) == {}


# What is refused


async def test_no_more_goes_back_than_is_left(shop: Shop) -> None:
    order = await paid(shop)
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("150.01"))
    with refused("REFUND_TOO_LARGE"):
        await refund(
            shop, order, ticket_ids=[await ticket_id(shop, order, 1)], amount=money("50.01")
        )
    await refund(shop, order, amount=money("100.00"))
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("50.01"))
    await refund(shop, order)
    with refused("NOTHING_TO_REFUND"):
        await refund(shop, order)
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("0.01"))
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")


async def test_nothing_is_no_refund(shop: Shop) -> None:
    order = await paid(shop)
    with refused("NOTHING_TO_REFUND"):
        await refund(shop, order, amount=money("0.00"))


async def test_amount_must_be_in_the_orders_currency(shop: Shop) -> None:
    order = await paid(shop)
    with refused("CURRENCY_MISMATCH"):
        await refund(shop, order, amount=money("1.00", "USD"))
    with refused("INVALID_AMOUNT"):
        await refund(shop, order, amount=money("1"))


async def test_amount_must_be_one_that_stripe_can_pay(shop: Shop) -> None:
    order = await paid(shop, price="5.000", currency="KWD")
    with refused("INVALID_AMOUNT"):
        await refund(shop, order, amount=money("1.001", "KWD"))


async def test_ticket_goes_back_once(shop: Shop) -> None:
    order = await paid(shop)
    first = await ticket_id(shop, order, 1)
    await refund(shop, order, ticket_ids=[first])
    with refused("TICKET_NOT_VALID"):
        await refund(shop, order, ticket_ids=[first])
    await through(shop, order, "SUCCEEDED")
    with refused("TICKET_NOT_VALID"):
        await refund(shop, order, ticket_ids=[first])
    await refund(shop, order)
    with refused("TICKET_NOT_VALID"):
        await refund(shop, order, ticket_ids=[first])
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")


async def test_ticket_of_another_order_is_not_found(shop: Shop) -> None:
    order, other = await paid(shop), await paid(shop)
    with refused("TICKET_NOT_FOUND"):
        await refund(shop, order, ticket_ids=[await ticket_id(shop, other, 1)])


async def test_order_that_was_not_paid_has_nothing_to_give_back(shop: Shop) -> None:
    order = await shop.ordered()
    with refused("ORDER_NOT_PAID"):
        await refund(shop, order)
    with refused("ORDER_NOT_PAID"):
        await refund(shop, order, amount=money("1.00"))
    with refused("ORDER_NOT_PAID"):
        await refund(shop, order, ticket_ids=["tkt_1"])


async def test_order_of_another_organizer_is_not_found(shop: Shop) -> None:
    order = await paid(shop)
    stranger = Shop(shop.installation, shop.announced, shop.webhooks_url)
    with refused("ORDER_NOT_FOUND"):
        await refund(shop, order, by=stranger.admin)
    with refused("ORDER_NOT_FOUND"):
        await refunds(shop, order, by=stranger.admin)


async def test_customer_sees_the_refunds_of_their_own_order_only(shop: Shop) -> None:
    order, other = await paid(shop), await paid(shop)
    await refund(shop, order, amount=money("1.00"))
    await through(shop, order, "SUCCEEDED")
    assert [found.amount.amount for found in await refunds(shop, order)] == ["1.00"]
    with refused("ORDER_NOT_FOUND"):
        await refunds(shop, order, by=opened_by(other))


# At once


async def test_admins_see_the_refunds_of_all_orders_of_their_own_organizer(shop: Shop) -> None:
    orders = [await paid(shop) for _ in range(3)]
    for order in orders:
        await refund(shop, order, amount=money("1.00"))
        await through(shop, order, "SUCCEEDED")
    latest_first = [order.id for order in orders[::-1]]
    assert [each.order_id for each in (await refunds_of_organizer(shop)).refunds] == latest_first
    first = await refunds_of_organizer(shop, page_size=2)
    rest = await refunds_of_organizer(shop, page_size=2, page_token=first.next_page_token)
    assert [each.order_id for each in (*first.refunds, *rest.refunds)] == latest_first
    assert not rest.next_page_token
    of_event = await refunds_of_organizer(shop, event_id=orders[1].event_id)
    of_order = await refunds_of_organizer(shop, order_id=orders[1].id)
    assert list(of_event.refunds) == list(of_order.refunds) == await refunds(shop, orders[1])
    stranger = Shop(shop.installation, shop.announced, shop.webhooks_url)
    assert not (await refunds_of_organizer(shop, by=stranger.admin)).refunds
    root = shop.installation.issuer.metadata("", "SUPERADMIN")
    everybodys = await refunds_of_organizer(shop, by=root, event_id=orders[0].event_id)
    assert [each.order_id for each in everybodys.refunds] == [orders[0].id]
    with refused("TOKEN_MISSING"):
        await refunds_of_organizer(shop, by=opened_by(orders[0]))


async def test_same_key_gives_back_once(shop: Shop) -> None:
    order = await paid(shop)
    asked = [refund(shop, order, amount=money("10.00"), idempotency_key="k1") for _ in range(5)]
    answers = [answer for answer in await at_once(*asked) if isinstance(answer, refund_pb2.Refund)]
    answers.append(await refund(shop, order, amount=money("10.00"), idempotency_key="k1"))
    assert len({answer.id for answer in answers}) == 1
    await through(shop, order, "SUCCEEDED")


async def test_twenty_refunds_of_a_third_at_once_are_three(shop: Shop) -> None:
    order = await paid(shop)
    outcomes = await at_once(*(refund(shop, order, amount=money("50.00")) for _ in range(20)))
    made = [outcome for outcome in outcomes if isinstance(outcome, refund_pb2.Refund)]
    assert len(made) == 3
    assert {str(getattr(other, "reason", "")) for other in outcomes if other not in made} == {
        "REFUND_TOO_LARGE"
    }
    await through(shop, order, *["SUCCEEDED"] * 3)
    assert [given.amount for given in await at_stripe(shop, order)] == [5_000] * 3


async def test_ten_refunds_of_everything_and_of_each_ticket_at_once_give_back_once(
    shop: Shop,
) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    ids = [await ticket_id(shop, order, number) for number in (1, 2, 3)]
    await at_once(
        *(refund(shop, order) for _ in range(5)),
        *(refund(shop, order, ticket_ids=[each]) for each in ids),
        *(refund(shop, order, amount=money("70.00")) for _ in range(5)),
    )

    async def all_through() -> bool:
        return all(
            each.state == refund_pb2.REFUND_STATE_SUCCEEDED for each in await refunds(shop, order)
        )

    async with asyncio.timeout(30):
        while not await all_through():
            await asyncio.sleep(0.05)
    assert sum(given.amount for given in await at_stripe(shop, order)) <= 15_000
    cancelled = [number for each in await refunds(shop, order) for number in each.ticket_numbers]
    assert len(cancelled) == len(set(cancelled))
