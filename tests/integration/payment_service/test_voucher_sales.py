"""Sales with vouchers: from the hold to the money, and back."""

import asyncio
from collections import Counter

from tessera.payment.v1 import order_pb2, order_service_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, hold_service_pb2

from tests.integration.payment_service.support import CUSTOMER, Shop
from tests.integration.payment_service.test_vouchers import FIVE_EUROS, add_type, get, make
from tests.integration.ticket_service.support import eventually, outcome, refused

MANY = 20


async def order(shop: Shop, held: hold_pb2.Hold, code: str, **customer: str) -> order_pb2.Order:
    request = order_service_pb2.CreateOrderRequest(
        hold_id=held.id,
        customer=order_service_pb2.CreateOrderCustomer(**{**CUSTOMER, **customer}),
        voucher_code=code,
    )
    return await shop.payments.orders.CreateOrder(request)


async def hold_type(
    shop: Shop, of: event_pb2.Event, ticket_type_id: str, code: str = ""
) -> hold_pb2.Hold:
    item = hold_service_pb2.CreateHoldItem(ticket_type_id=ticket_type_id, quantity=1)
    request = hold_service_pb2.CreateHoldRequest(event_id=of.id, items=[item], voucher_code=code)
    return await shop.tickets.holds.CreateHold(request)


async def test_a_percentage_is_taken_off_and_the_rest_is_charged(shop: Shop) -> None:
    made = await make(shop, code="SPRING", percentage="12.5")
    held = await shop.hold(await shop.event(price="50.00"), 2)
    ordered = await order(shop, held, "spring")
    assert (ordered.subtotal.amount, ordered.discount.amount) == ("100.00", "12.50")
    assert (ordered.total.amount, ordered.voucher_code) == ("87.50", "SPRING")
    assert [(line.discount.amount, line.amount.amount) for line in ordered.lines] == [
        ("12.50", "87.50")
    ]
    await shop.pay(ordered)
    await shop.becomes(ordered, "PAID")
    assert (await shop.charge(ordered)).amount_captured == 8750
    assert (await get(shop, made)).redeemed == 1


async def test_an_amount_is_taken_off_only_what_it_is_for(shop: Shop) -> None:
    event = await shop.event(price="3.00")
    seat = await add_type(shop, event, name="Seat")
    await make(
        shop,
        code="FIVER",
        amount=FIVE_EUROS,
        event_id=event.id,
        ticket_type_ids=[event.ticket_types[0].id],
    )
    items = [
        hold_service_pb2.CreateHoldItem(ticket_type_id=each, quantity=1)
        for each in (event.ticket_types[0].id, seat.id)
    ]
    request = hold_service_pb2.CreateHoldRequest(event_id=event.id, items=items)
    ordered = await order(shop, await shop.tickets.holds.CreateHold(request), "FIVER")
    assert ordered.discount.amount == "3.00"
    assert ordered.total.amount == seat.price.amount
    assert sorted(line.discount.amount for line in ordered.lines) == ["0.00", "3.00"]


async def test_what_a_voucher_makes_free_is_paid_at_once(shop: Shop) -> None:
    await make(shop, code="GUEST", percentage="100")
    ordered = await order(shop, await shop.hold(await shop.event(), 2), "GUEST")
    assert ordered.state == order_pb2.ORDER_STATE_PAID
    assert ordered.total.amount == "0.00"
    assert not ordered.HasField("payment")
    assert len(await shop.issued(ordered)) == 2


async def test_the_last_use_of_a_voucher_is_sold_once(shop: Shop) -> None:
    made = await make(shop, code="LAST", percentage="10", max_redemptions=1)
    event = await shop.event(stock=MANY)
    holds = [await shop.hold(event) for _ in range(MANY)]
    outcomes = await asyncio.gather(*(outcome(order(shop, held, "LAST")) for held in holds))
    assert Counter(outcomes) == {"OK": 1, "VOUCHER_EXHAUSTED": MANY - 1}
    assert (await get(shop, made)).redeemed == 1


async def test_a_customer_who_asks_many_times_at_once_has_one_order_and_one_use(
    shop: Shop,
) -> None:
    made = await make(shop, code="LAST", percentage="10", max_redemptions=1, max_per_customer=1)
    held = await shop.hold(await shop.event())
    orders = await asyncio.gather(*(order(shop, held, "LAST") for _ in range(5)))
    assert len({each.id for each in orders}) == 1
    assert (await get(shop, made)).redeemed == 1
    with refused("HOLD_ALREADY_ORDERED"):
        await order(shop, held, "LAST", full_name="Somebody Else")


async def test_orders_that_come_to_nothing_give_the_voucher_back(shop: Shop) -> None:
    made = await make(shop, code="LAST", percentage="10", max_redemptions=1)
    event = await shop.event()
    cancelled = await order(shop, await shop.hold(event), "LAST")
    with refused("VOUCHER_EXHAUSTED"):
        await order(shop, await shop.hold(event), "LAST")
    await shop.cancel(cancelled)
    expired = await order(shop, await shop.hold(event), "LAST")
    await shop.reach_deadline(expired)
    await shop.becomes(expired, "EXPIRED")
    paid = await order(shop, await shop.hold(event), "LAST")
    await shop.pay(paid)
    await shop.becomes(paid, "PAID")
    assert (await get(shop, made)).redeemed == 1
    await shop.cancel(paid, by=shop.admin)
    assert (await get(shop, made)).redeemed == 0

    async def is_refunded() -> bool:
        return (await shop.charge(paid)).amount_refunded == 4500

    await eventually(is_refunded)


async def test_an_order_that_is_refused_uses_no_voucher(shop: Shop) -> None:
    made = await make(shop, code="LAST", max_redemptions=1, amount=FIVE_EUROS)
    with refused("AMOUNT_TOO_SMALL"):
        await order(shop, await shop.hold(await shop.event(price="5.10")), "LAST")
    assert (await get(shop, made)).redeemed == 0


async def test_a_voucher_that_is_none_of_the_organizers_is_not_found(shop: Shop) -> None:
    await make(Shop(shop.installation, shop.announced, shop.webhooks_url), code="THEIRS")
    held = await shop.hold(await shop.event())
    for code in ("THEIRS", "NOBODYS"):
        with refused("VOUCHER_NOT_FOUND"):
            await order(shop, held, code)
    assert (await shop.order(held)).discount.amount == "0.00"


async def test_hidden_tickets_are_held_and_ordered_with_their_voucher_only(shop: Shop) -> None:
    event = await shop.event()
    secret = await add_type(shop, event, name="Members", is_hidden=True)
    await make(shop, code="EVERYBODY", percentage="50")
    await make(shop, code="MEMBERS", event_id=event.id, ticket_type_ids=[secret.id])
    for code in ("", "EVERYBODY"):
        with refused("TICKET_TYPE_NOT_FOUND"):
            await hold_type(shop, event, secret.id, code)
    with refused("VOUCHER_NOT_FOUND"):
        await hold_type(shop, event, secret.id, "GUESSED")
    held = await hold_type(shop, event, secret.id, "members")
    for code in ("", "EVERYBODY"):
        with refused("VOUCHER_REQUIRED"):
            await order(shop, held, code)
    ordered = await order(shop, held, "MEMBERS")
    assert (ordered.discount.amount, ordered.voucher_code) == ("0.00", "MEMBERS")
