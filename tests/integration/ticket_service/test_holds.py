"""Holds: what may be held, at which price, and giving it back."""

import asyncio
from typing import Any

import pytest
from tessera.ticket.v1 import hold_pb2, hold_service_pb2

from kit import idempotency
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    hold,
    money,
    new_key,
    outcome,
    refused,
)


async def test_a_hold_takes_tickets_off_sale_and_prices_them(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(
        organizer, {"name": "Seat"}, {"name": "Student", "price": money("19.90")}
    )
    held = await shop.hold(published, 2, 3)
    assert held.id.startswith("hold_")
    assert held.state == hold_pb2.HOLD_STATE_ACTIVE
    assert [(item.ticket_type_name, item.quantity) for item in held.items] == [
        ("Seat", 2),
        ("Student", 3),
    ]
    assert [item.amount for item in held.items] == [money("100.00"), money("59.70")]
    assert held.items[1].unit_price == money("19.90")
    assert held.total == money("159.70")
    assert held.expires_at.seconds - held.created_at.seconds == 900
    assert await shop.remaining(published.id) == [8, 7]


async def test_a_hold_keeps_the_order_of_its_request(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "B"})
    published.ticket_types.sort(key=lambda found: found.name, reverse=True)
    held = await shop.hold(published, 1, 2)
    assert [item.ticket_type_name for item in held.items] == ["B", "A"]
    found = await shop.public.holds.GetHold(hold_service_pb2.GetHoldRequest(hold_id=held.id))
    assert found == held


async def test_free_tickets_are_held_for_nothing(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"price": money("0", "JPY")}, currency_code="JPY")
    assert (await shop.hold(published, 2)).total == money("0", "JPY")


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        (0, "INVALID_QUANTITY"),
        (-1, "INVALID_REQUEST"),
        (101, "INVALID_REQUEST"),
        (2**31 - 1, "INVALID_REQUEST"),
    ],
)
async def test_a_quantity_that_is_none_is_refused(
    shop: Shop, organizer: Organizer, quantity: int, reason: str
) -> None:
    published = await shop.on_sale(organizer)
    request = hold(published, 1)
    request.items[0].quantity = quantity
    with refused(reason, field="items[0].quantity"):
        await shop.public.holds.CreateHold(request)


async def test_more_than_one_order_may_take_is_refused(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {}, {"max_per_order": 2})
    with refused("TOO_MANY_TICKETS", field="items[1].quantity"):
        await shop.hold(published, 1, 3)
    assert await shop.remaining(published.id) == [10, 10]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": "x" * 65}, "event_id"),
        ({"event_id": "evt_\0"}, "event_id"),
        ({"items": []}, "items"),
        ({"items": [{"quantity": 1}]}, "items[0].ticket_type_id"),
        ({"items": [{"ticket_type_id": "a\0", "quantity": 1}]}, "items[0].ticket_type_id"),
        ({"items": [{"ticket_type_id": f"tt_{n}", "quantity": 1} for n in range(21)]}, "items"),
        ({"idempotency_key": "\0"}, "idempotency_key"),
    ],
)
async def test_a_malformed_request_is_refused_and_the_field_is_named(
    shop: Shop, fields: dict[str, Any], field: str
) -> None:
    valid = {"event_id": "evt_x", "items": [{"ticket_type_id": "tt_x", "quantity": 1}]}
    request = hold_service_pb2.CreateHoldRequest(**{**valid, **fields})
    with refused("INVALID_REQUEST", field=field):
        await shop.public.holds.CreateHold(request)


async def test_a_ticket_type_is_named_once(shop: Shop, organizer: Organizer) -> None:
    request = hold(await shop.on_sale(organizer), 1)
    request.items.append(request.items[0])
    with refused("DUPLICATE_TICKET_TYPE", field="items[1].ticket_type_id"):
        await shop.public.holds.CreateHold(request)


async def test_what_is_not_there_cannot_be_held(shop: Shop, organizer: Organizer) -> None:
    one, other = await shop.on_sale(organizer), await shop.on_sale(organizer)
    request = hold(one, 1)
    request.event_id = other.id
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.public.holds.CreateHold(request)
    request.event_id = "evt_none"
    with refused("EVENT_NOT_FOUND"):
        await shop.public.holds.CreateHold(request)
    with refused("HOLD_NOT_FOUND"):
        await shop.hold_state("hold_none")
    with refused("HOLD_NOT_FOUND"):
        await shop.release("hold_none")


async def test_a_draft_is_not_on_sale(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    draft.ticket_types.append(await shop.add_type(organizer, draft.id))
    with refused("EVENT_NOT_ON_SALE"):
        await shop.hold(draft)


async def test_sales_keep_to_their_window(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(
        organizer,
        {"sales_start": days_ahead(1)},
        {"sales_end": days_ahead(-1)},
        {"sales_start": days_ahead(-1), "sales_end": days_ahead(1)},
    )
    with refused("SALES_NOT_STARTED"):
        await shop.hold(published, 1)
    with refused("SALES_ENDED"):
        await shop.hold(published, 0, 1)
    with refused("SALES_ENDED"):
        await shop.hold(published, 0, 1, 1)
    await shop.hold(published, 0, 0, 1)
    assert await shop.remaining(published.id) == [10, 10, 9]


async def test_all_items_are_held_or_none(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {}, {"total_stock": 1})
    with refused("SOLD_OUT"):
        await shop.hold(published, 1, 2)
    assert await shop.remaining(published.id) == [10, 1]


async def test_sold_out_says_how_many_are_left_and_only_when_it_is(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 3})
    await shop.hold(published, 1)
    with refused("SOLD_OUT"):
        await shop.hold(published, 3)
    last = await shop.hold(published, 2)
    with refused("SOLD_OUT"):
        await shop.hold(published, 1)
    await shop.release(last.id)
    await shop.hold(published, 2)


async def test_releasing_twice_is_the_same_as_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 4)
    released = await shop.release(held.id)
    assert released.state == hold_pb2.HOLD_STATE_RELEASED
    assert await shop.remaining(published.id) == [10]
    again = await asyncio.gather(*(shop.release(held.id) for _ in range(5)))
    assert again == [released] * 5
    assert await shop.remaining(published.id) == [10]


async def test_five_releases_at_once_return_the_stock_once(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 4)
    await asyncio.gather(*(shop.release(held.id) for _ in range(5)))
    assert await shop.remaining(published.id) == [10]


async def test_what_became_tickets_is_not_released(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    await shop.issue(held.id)
    with refused("HOLD_CONVERTED"):
        await shop.release(held.id)
    assert await shop.remaining(published.id) == [9]


async def test_a_release_and_a_sale_at_once_leave_one_outcome(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 30})
    for _ in range(10):
        held = await shop.hold(published)
        released, issued = await asyncio.gather(
            outcome(shop.release(held.id)), outcome(shop.issue(held.id))
        )
        assert issued == "OK"  # a released hold's stock is there to be taken again
        assert released in ("OK", "HOLD_CONVERTED")
    assert await shop.remaining(published.id) == [20]


async def test_the_same_key_and_request_are_one_hold(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    request = hold(published, 2, idempotency_key=new_key())
    made = await shop.public.holds.CreateHold(request)
    assert await shop.hasty.holds.CreateHold(request) == made
    assert await shop.remaining(published.id) == [8]
    await shop.release(made.id)
    assert await shop.public.holds.CreateHold(request) == made  # the answer of then
    assert await shop.remaining(published.id) == [10]
    request.items[0].quantity = 3
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.holds.CreateHold(request)


async def test_twenty_requests_with_one_key_are_one_hold(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    request = hold(published, 2, idempotency_key=new_key())
    outcomes = await asyncio.gather(
        *(outcome(api.holds.CreateHold(request)) for api in (shop.public, shop.hasty) * 10)
    )
    assert set(outcomes) <= {"OK", "IDEMPOTENCY_KEY_IN_USE"}
    assert "OK" in outcomes
    assert await shop.remaining(published.id) == [8]


async def test_a_key_whose_hold_is_still_being_made_is_in_use(
    shop: Shop, organizer: Organizer
) -> None:
    request = hold(await shop.on_sale(organizer), 1, idempotency_key=new_key())
    async with shop.database.begin() as tx:
        assert await idempotency.lock(tx, [f"anyone {request.idempotency_key}"])
        with refused("IDEMPOTENCY_KEY_IN_USE"):
            await shop.public.holds.CreateHold(request)
    await shop.public.holds.CreateHold(request)


async def test_payment_service_sees_the_hold_and_its_event(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    request = hold_service_pb2.GetHoldForOrderRequest(hold_id=held.id)
    answer = await shop.internal.holds.GetHoldForOrder(request)
    assert answer.hold == held
    assert (answer.event.id, answer.event.title) == (published.id, published.title)
    with refused("SERVICE_NOT_ALLOWED"):
        await shop.public.holds.GetHoldForOrder(request)
    with refused("HOLD_NOT_FOUND"):
        request.hold_id = "hold_none"
        await shop.internal.holds.GetHoldForOrder(request)
