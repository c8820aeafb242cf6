"""An event's ticket types: their prices, stock and sales windows."""

import asyncio
from typing import Any

import pytest
from tessera.ticket.v1 import event_service_pb2, ticket_type_pb2

from tests.integration.ticket_service.lines import join, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    money,
    new_key,
    outcome,
    patch,
    refused,
    ticket_type,
)

TicketType = ticket_type_pb2.TicketType


async def update(
    shop: Shop, by: Organizer, of: TicketType, *, null: tuple[str, ...] = (), **fields: Any
) -> TicketType:
    request = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        null=null,
        event_id=of.event_id,
        ticket_type_id=of.id,
        **fields,
    )
    changed: TicketType = await shop.public.events.UpdateTicketType(request, metadata=by.admin)
    return changed


async def delete(shop: Shop, by: Organizer, of: TicketType, if_match: str = "") -> None:
    request = event_service_pb2.DeleteTicketTypeRequest(
        event_id=of.event_id, ticket_type_id=of.id, if_match=if_match
    )
    await shop.public.events.DeleteTicketType(request, metadata=by.admin)


async def get(shop: Shop, of: TicketType) -> TicketType:
    request = event_service_pb2.GetTicketTypeRequest(event_id=of.event_id, ticket_type_id=of.id)
    return await shop.public.events.GetTicketType(request)


async def test_a_new_ticket_type_is_all_in_stock(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    made = await shop.add_type(organizer, draft.id, price=money("12.50"), total_stock=300)
    assert made.id.startswith("tt_")
    assert (made.total_stock, made.remaining, made.version) == (300, 300, 1)
    assert made.price == money("12.50")
    assert made.max_per_order == 10
    assert not made.HasField("sales_start")
    assert not made.HasField("sales_end")


async def test_ticket_types_are_listed_oldest_first(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"name": "B"}, {"name": "A"})
    request = event_service_pb2.ListTicketTypesRequest(event_id=published.id)
    listed = (await shop.public.events.ListTicketTypes(request)).ticket_types
    assert [found.name for found in listed] == ["B", "A"]
    assert await get(shop, listed[1]) == listed[1]


@pytest.mark.parametrize(
    ("currency_code", "amount", "minor"),
    [("EUR", "0.00", 0), ("EUR", "50.00", 5000), ("JPY", "5000", 5000), ("KWD", "1.500", 1500)],
)
async def test_a_price_has_exactly_its_currencys_decimals(
    shop: Shop, organizer: Organizer, currency_code: str, amount: str, minor: int
) -> None:
    draft = await shop.draft(organizer, currency_code=currency_code)
    made = await shop.add_type(organizer, draft.id, price=money(amount, currency_code))
    assert made.price == money(amount, currency_code)
    [[stored]] = await shop.execute(
        "SELECT price_minor FROM ticket_types WHERE id = :id", id=made.id
    )
    assert stored == minor


@pytest.mark.parametrize(
    ("currency_code", "price", "reason", "field"),
    [
        ("EUR", None, "INVALID_REQUEST", "price"),
        ("EUR", money("-1.00"), "INVALID_REQUEST", "price.amount"),
        ("EUR", money("1,00"), "INVALID_REQUEST", "price.amount"),
        ("EUR", money("1e3"), "INVALID_REQUEST", "price.amount"),
        ("EUR", money("01.00"), "INVALID_REQUEST", "price.amount"),
        ("EUR", money(""), "INVALID_REQUEST", "price.amount"),
        ("EUR", money("1.000"), "INVALID_AMOUNT", "price.amount"),
        ("EUR", money("1"), "INVALID_AMOUNT", "price.amount"),
        ("JPY", money("1.0", "JPY"), "INVALID_AMOUNT", "price.amount"),
        ("KWD", money("1.00", "KWD"), "INVALID_AMOUNT", "price.amount"),
        ("EUR", money("99999999999.00"), "INVALID_AMOUNT", "price.amount"),
        ("EUR", money("1.00", "eur"), "INVALID_REQUEST", "price.currency_code"),
        ("EUR", money("1.00", "XYZ"), "UNKNOWN_CURRENCY", "price.currency_code"),
        ("EUR", money("1.00", "USD"), "CURRENCY_MISMATCH", "price.currency_code"),
    ],
)
async def test_a_price_that_is_none_is_refused_when_made_and_when_changed(
    shop: Shop, organizer: Organizer, currency_code: str, price: Any, reason: str, field: str
) -> None:
    draft = await shop.draft(organizer, currency_code=currency_code)
    with refused(reason, field=field):
        await shop.add_type(organizer, draft.id, price=price)
    if price is not None:
        right = money({"JPY": "1", "KWD": "1.000"}.get(currency_code, "1.00"), currency_code)
        made = await shop.add_type(organizer, draft.id, price=right)
        with refused(reason, field=field):
            await update(shop, organizer, made, price=price)


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"name": ""}, "INVALID_REQUEST", "name"),
        ({"name": "x\0"}, "INVALID_REQUEST", "name"),
        ({"total_stock": -1}, "INVALID_REQUEST", "total_stock"),
        ({"total_stock": 1_000_001}, "INVALID_REQUEST", "total_stock"),
        ({"max_per_order": 0}, "INVALID_REQUEST", "max_per_order"),
        ({"max_per_order": 101}, "INVALID_REQUEST", "max_per_order"),
        (
            {"sales_start": days_ahead(2), "sales_end": days_ahead(1)},
            "INVALID_SALES_WINDOW",
            "sales_end",
        ),
        (
            {"sales_start": days_ahead(2), "sales_end": days_ahead(2)},
            "INVALID_SALES_WINDOW",
            "sales_end",
        ),
    ],
)
async def test_bad_input_is_refused_and_leaves_nothing_behind(
    shop: Shop, organizer: Organizer, fields: dict[str, Any], reason: str, field: str
) -> None:
    published = await shop.on_sale(organizer)
    with refused(reason, field=field):
        await shop.add_type(organizer, published.id, **fields)
    assert await shop.see(published.id) == published
    with refused(reason, field=field):
        await update(shop, organizer, published.ticket_types[0], **fields)
    assert await shop.see(published.id) == published


async def test_a_sales_window_is_cleared_by_null(shop: Shop, organizer: Organizer) -> None:
    window = {"sales_start": days_ahead(1), "sales_end": days_ahead(2)}
    [made] = (await shop.on_sale(organizer, window)).ticket_types
    with refused("INVALID_SALES_WINDOW", field="sales_end"):
        await update(shop, organizer, made, sales_start=days_ahead(3))
    opened = await update(shop, organizer, made, null=("sales_start", "sales_end"))
    assert not opened.HasField("sales_start")
    assert not opened.HasField("sales_end")
    assert await get(shop, made) == opened
    for field in ("name", "price", "total_stock", "max_per_order"):
        with refused("FIELD_NOT_NULLABLE", field=field):
            await update(shop, organizer, made, null=(field,))


async def test_if_match_holds_for_changes_and_deletion(shop: Shop, organizer: Organizer) -> None:
    [made] = (await shop.on_sale(organizer)).ticket_types
    assert (await update(shop, organizer, made, name="VIP", if_match='"1"')).version == 2
    with refused("VERSION_MISMATCH"):
        await update(shop, organizer, made, name="Lost", if_match='"1"')
    with refused("VERSION_MISMATCH"):
        await delete(shop, organizer, made, '"1"')


async def test_sales_do_not_change_the_version(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    await shop.hold(published, 3)
    seen = await get(shop, published.ticket_types[0])
    assert (seen.remaining, seen.version) == (7, 1)


async def test_stock_follows_its_total_and_never_falls_below_what_is_taken(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 5})
    [made] = published.ticket_types
    await shop.issue((await shop.hold(published, 2)).id)
    await shop.hold(published, 1)
    assert (await update(shop, organizer, made, total_stock=8)).remaining == 5
    assert (await update(shop, organizer, made, total_stock=3)).remaining == 0
    with refused("STOCK_BELOW_SOLD"):
        await update(shop, organizer, made, total_stock=2)
    with refused("SOLD_OUT"):
        await shop.hold(published)


async def test_new_stock_is_offered_to_who_waits_before_the_public_sees_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    [made] = published.ticket_types
    await shop.hold(published)
    first, second = [await join(shop, published, quantity) for quantity in (2, 3)]
    changed = await update(shop, organizer, made, total_stock=4)
    assert (changed.total_stock, changed.remaining) == (4, 1)
    assert await shop.remaining(published.id) == [1]
    assert await states(shop, first, second) == ["OFFERED", "WAITING"]
    assert (await update(shop, organizer, made, total_stock=6)).remaining == 0
    assert await states(shop, first, second) == ["OFFERED", "OFFERED"]


async def test_sales_that_begin_again_begin_with_who_waits(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    [made] = published.ticket_types
    held = await shop.hold(published)
    entry = await join(shop, published)
    await update(shop, organizer, made, sales_start=days_ahead(1))
    await shop.release(held.id)
    assert await states(shop, entry) == ["WAITING"]
    await update(shop, organizer, made, null=("sales_start",))
    assert await states(shop, entry) == ["OFFERED"]


async def test_stock_holds_while_buyers_and_the_admin_change_it_at_once(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 20})
    [made] = published.ticket_types
    changes = [update(shop, organizer, made, total_stock=total) for total in (5, 30, 10, 25, 8)]
    buyers = [shop.hold(published, quantity) for quantity in (1, 2, 3) * 7]
    outcomes = await asyncio.gather(*(outcome(call) for call in [*buyers, *changes]))
    assert set(outcomes) <= {"OK", "SOLD_OUT", "STOCK_BELOW_SOLD"}
    held = sum(
        quantity
        for quantity, result in zip((1, 2, 3) * 7, outcomes, strict=False)
        if result == "OK"
    )
    seen = await get(shop, made)
    assert seen.total_stock - seen.remaining == held


async def test_a_new_price_and_name_never_touch_a_live_hold(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 2)
    await update(shop, organizer, published.ticket_types[0], price=money("99.00"), name="Dear")
    [ticket, _] = await shop.issue(held.id)
    assert ticket.ticket_type_name == "Standard"
    again = await shop.hold(published)
    assert (held.total, again.total) == (money("100.00"), money("99.00"))


async def test_a_ticket_type_that_was_held_stays(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"name": "Held"}, {"name": "Untouched"})
    held, untouched = published.ticket_types
    await shop.release((await shop.hold(published, 1, 0)).id)
    with refused("TICKET_TYPE_IN_USE"):
        await delete(shop, organizer, held)
    await delete(shop, organizer, untouched)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await get(shop, untouched)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await delete(shop, organizer, untouched)


async def test_a_ticket_type_is_found_through_its_own_event_only(
    shop: Shop, organizer: Organizer
) -> None:
    one, other = await shop.on_sale(organizer), await shop.on_sale(organizer)
    astray = TicketType(id=one.ticket_types[0].id, event_id=other.id)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await get(shop, astray)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await update(shop, organizer, astray, name="x")


async def test_an_event_has_at_most_a_hundred_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    await shop.execute(
        """
        INSERT INTO ticket_types
            (id, event_id, name, price_minor, total_stock, remaining, max_per_order)
        SELECT :id || number, :id, 'x', 0, 1, 1, 1 FROM generate_series(1, 99) number
        """,
        id=draft.id,
    )
    outcomes = await asyncio.gather(*(outcome(shop.add_type(organizer, draft.id)) for _ in "abc"))
    assert sorted(outcomes) == ["OK", "TOO_MANY_TICKET_TYPES", "TOO_MANY_TICKET_TYPES"]


async def test_the_same_key_and_request_make_one_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    request = ticket_type(draft.id, idempotency_key=new_key())
    first = await shop.public.events.CreateTicketType(request, metadata=organizer.admin)
    again = await shop.public.events.CreateTicketType(request, metadata=organizer.admin)
    assert again == first
    request.total_stock = 11
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.events.CreateTicketType(request, metadata=organizer.admin)
    [[count]] = await shop.execute(
        "SELECT count(*) FROM ticket_types WHERE event_id = :id", id=draft.id
    )
    assert count == 1


async def test_the_stock_of_seats_is_changed_by_blocking_them_alone(
    shop: Shop, organizer: Organizer
) -> None:
    seated = await shop.theatre(organizer, "AAa")
    [made] = seated.ticket_types
    assert (made.is_seated, made.total_stock, made.remaining) == (True, 2, 2)
    for total in (1, 3):
        with refused("TICKET_TYPE_IS_SEATED"):
            await update(shop, organizer, made, total_stock=total)
    changed = await update(shop, organizer, made, total_stock=2, price=money("60.00"))
    assert (changed.price, changed.total_stock, changed.is_seated) == (money("60.00"), 2, True)
    assert not (await shop.add_type(organizer, seated.id, name="Standing")).is_seated


async def test_a_ticket_type_on_the_seat_map_stays(shop: Shop, organizer: Organizer) -> None:
    [made] = (await shop.theatre(organizer, "AA")).ticket_types
    with refused("TICKET_TYPE_IN_USE"):
        await delete(shop, organizer, made)
