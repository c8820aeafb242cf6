"""What orders cost by their events' terms: tax, booking fee, and what is shown and booked of it."""

from datetime import timedelta
from typing import Any

import pytest
from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_pb2, hold_service_pb2

from kit.clock import now, to_timestamp
from tests.integration.payment_service.support import Shop
from tests.integration.ticket_service.support import event, refused, ticket_type


async def sells(
    shop: Shop, *types: dict[str, Any], currency: str = "EUR", **terms: Any
) -> event_pb2.Event:
    """A published event with these ticket types and terms; prices are in its currency."""
    draft = await shop.tickets.events.CreateEvent(
        event(currency_code=currency, **terms), metadata=shop.admin
    )
    for fields in types:
        price = {"currency_code": currency, "amount": fields.pop("price")}
        await shop.tickets.events.CreateTicketType(
            ticket_type(draft.id, price=price, **fields), metadata=shop.admin
        )
    publish = event_service_pb2.PublishEventRequest(event_id=draft.id)
    return await shop.tickets.events.PublishEvent(publish, metadata=shop.admin)


async def hold_each(shop: Shop, of: event_pb2.Event, *quantities: int) -> hold_pb2.Hold:
    items = [
        hold_service_pb2.CreateHoldItem(ticket_type_id=kind.id, quantity=quantity)
        for kind, quantity in zip(of.ticket_types, quantities, strict=True)
    ]
    request = hold_service_pb2.CreateHoldRequest(event_id=of.id, items=items)
    return await shop.tickets.holds.CreateHold(request)


async def accounts(shop: Shop, order: order_pb2.Order) -> dict[tuple[str, str], int]:
    """What the ledger has of an order's charge, by account and name of the ticket type."""
    find = """
        SELECT account, coalesce(ticket_type_name, '') AS name,
            sum(entries.amount_minor)::bigint AS minor
        FROM ledger_transactions booked JOIN ledger_entries entries ON transaction_id = booked.id
        LEFT JOIN order_lines lines ON lines.order_id = booked.order_id
            AND lines.ticket_type_id = entries.ticket_type_id
        WHERE booked.order_id = :id AND kind = 'CHARGE' GROUP BY 1, 2
    """
    rows = await shop.installation.execute("payment", find, id=order.id)
    return {(row.account, row.name): row.minor for row in rows}


STALLS = {"name": "Stalls", "price": "50.00", "tax_rate": "19"}
DINNER = {"name": "Dinner", "price": "33.33", "tax_rate": "7", "tax_included": False}
FEE = {
    "per_ticket": {"currency_code": "EUR", "amount": "1.00"},
    "percentage": "2.5",
    "tax_rate": "19",
}


async def test_order_shows_how_its_total_is_made_up_and_the_books_say_the_same(shop: Shop) -> None:
    of = await sells(shop, dict(STALLS), dict(DINNER), booking_fee=FEE)
    order = await shop.order(await hold_each(shop, of, 2, 3))
    stalls, dinner = order.lines
    assert (stalls.amount.amount, stalls.tax.amount, stalls.tax_rate) == ("100.00", "15.97", "19")
    assert (dinner.amount.amount, dinner.tax.amount, dinner.tax_rate) == ("106.99", "7.00", "7")
    assert (stalls.tax_included, dinner.tax_included) == (True, False)
    assert order.subtotal.amount == "199.99"
    assert order.booking_fee.amount == "10.17"  # five tickets, and 2.5 % of 206.99
    assert order.total.amount == "217.16"
    assert [(tax.rate, tax.net.amount, tax.tax.amount) for tax in order.taxes] == [
        ("19", "92.58", "17.59"),
        ("7", "99.99", "7.00"),
    ]
    assert order.tax.amount == "24.59"
    assert (await shop.intent(order)).amount == 21_716
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await accounts(shop, order) == {
        ("PROVIDER", ""): 21_716,
        ("TICKET_REVENUE", "Stalls"): -8403,
        ("TICKET_REVENUE", "Dinner"): -9999,
        ("TAX", "Stalls"): -1597,
        ("TAX", "Dinner"): -700,
        ("BOOKING_FEES", ""): -855,
        ("TAX", ""): -162,
    }


@pytest.mark.parametrize(
    ("currency", "price", "total", "tax", "charged"),
    [
        ("JPY", "333", "1099", "100", 1099),
        ("EUR", "9.99", "32.97", "3.00", 3297),
        ("KWD", "1.230", "4.060", "0.370", 4060),
    ],
)
async def test_tax_on_top_adds_up_in_every_currency(
    shop: Shop, currency: str, price: str, total: str, tax: str, charged: int
) -> None:
    kind = {"name": "Stalls", "price": price, "tax_rate": "10", "tax_included": False}
    of = await sells(shop, kind, currency=currency)
    order = await shop.order(await hold_each(shop, of, 3))
    assert (order.total.amount, order.tax.amount) == (total, tax)
    assert (await shop.intent(order)).amount == charged
    await shop.pay(order)
    await shop.becomes(order, "PAID")


async def test_free_order_has_no_booking_fee(shop: Shop) -> None:
    of = await sells(shop, {"name": "Guest", "price": "0.00"}, booking_fee=FEE)
    order = await shop.order(await hold_each(shop, of, 2))
    assert order.state == order_pb2.ORDER_STATE_PAID
    assert (order.booking_fee.amount, order.total.amount) == ("0.00", "0.00")
    assert list(order.taxes) == []


async def test_terms_are_those_of_the_moment_it_was_ordered(shop: Shop) -> None:
    of = await sells(shop, dict(STALLS), booking_fee=FEE)
    order = await shop.order(await hold_each(shop, of, 1))
    change = event_service_pb2.UpdateEventRequest(event_id=of.id)
    change.update_mask.paths.append("booking_fee")
    await shop.tickets.events.UpdateEvent(change, metadata=shop.admin)
    assert (await shop.get(order)).booking_fee == order.booking_fee
    later = await shop.order(await hold_each(shop, of, 1))
    assert later.booking_fee.amount == "0.00"


async def test_order_says_until_when_it_may_be_cancelled(shop: Shop) -> None:
    until = to_timestamp(now() + timedelta(days=7))
    of = await sells(shop, dict(STALLS), cancellation_policy={"until": until})
    assert (await shop.order(await hold_each(shop, of, 1))).cancellable_until == until
    assert not (await shop.ordered()).HasField("cancellable_until")


async def test_total_below_what_a_card_can_pay_is_refused_with_its_fee(shop: Shop) -> None:
    of = await sells(shop, {"name": "Programme", "price": "49"}, currency="JPY")
    with refused("AMOUNT_TOO_SMALL"):
        await shop.order(await hold_each(shop, of, 1))
    assert (await shop.order(await hold_each(shop, of, 2))).total.amount == "98"
