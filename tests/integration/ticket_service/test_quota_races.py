"""Quotas under sale: buyers and admins at once, from several replicas."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

from kit.ids import new_id
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    hold,
    new_key,
    outcome,
    persist,
    wait_for_lock,
)
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import EventState
from ticket_service.holds import placement
from ticket_service.holds.domain import HoldRequest
from ticket_service.holds.placement import Asked
from ticket_service.quotas import store
from ticket_service.seating.seatings import Seatings


async def test_a_change_of_a_quota_waits_for_the_buyers_who_came_before_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    types = published.ticket_types
    shared = await shop.add_quota(organizer, 9, types[0])
    asked = [Asked((HoldRequest(kind.id, 2),)) for kind in types]
    async with shop.database.begin() as tx:
        await placement.place(tx, Seatings(), published.id, asked, timedelta(minutes=15))
        ids = [kind.id for kind in types]
        change = asyncio.create_task(
            shop.change_quota(organizer, shared, size=5, ticket_type_ids=ids)
        )
        await wait_for_lock(shop, change)
    assert (await change).remaining == 1


async def test_buyers_wait_for_the_limit_that_came_before_them(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    early, regular = published.ticket_types
    async with shop.database.begin() as tx:
        await catalog_store.lock_ticket_types(tx, published.id)
        row = {"event_id": published.id, "name": "Hall", "size": 1, "remaining": 1}
        await store.insert_quota(tx, {"id": new_id("quota"), **row}, [early.id, regular.id])
        buyer = asyncio.create_task(outcome(shop.hold(published, 1, 1)))
        await wait_for_lock(shop, buyer)
    assert await buyer == "SOLD_OUT"


async def test_a_quota_waits_for_what_becomes_of_its_event(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    types = published.ticket_types
    async with shop.database.begin() as tx:
        event = await catalog_store.lock_event(tx, published.id)
        assert event
        await catalog_store.update_event(tx, replace(event, state=EventState.CANCELLED))
        made = asyncio.create_task(outcome(shop.add_quota(organizer, 5, *types)))
        await wait_for_lock(shop, made)
    assert await made == "EVENT_IS_FINAL"


async def test_the_last_place_has_exactly_one_winner_whatever_the_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    types = published.ticket_types
    await shop.add_quota(organizer, 1, *types)

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        quantities = (1, 0) if number % 3 else (0, 1)
        request = hold(published, *quantities, idempotency_key=new_key())
        return await persist(api.holds.CreateHold, request)

    outcomes = await asyncio.gather(*(buy(number) for number in range(200)))
    assert Counter(outcomes) == {"OK": 1, "SOLD_OUT": 199}


async def test_quotas_that_cross_do_not_make_buyers_block_each_other(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": name, "total_stock": 40} for name in "abc"]
    published = await shop.on_sale(organizer, *kinds)
    a, b, c = published.ticket_types
    for pair in ((c, a), (b, c), (a, b)):
        await shop.add_quota(organizer, 80, *pair)

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        quantities = [(1, 0, 1), (0, 1, 1), (1, 1, 0)][number % 3]
        request = hold(published, *quantities, idempotency_key=new_key())
        return await persist(api.holds.CreateHold, request)

    outcomes = await asyncio.gather(*(buy(number) for number in range(60)))
    assert Counter(outcomes) == {"OK": 60}
    assert [each.remaining for each in await shop.quotas(organizer, published.id)] == [0, 0, 0]


async def test_quotas_hold_while_buyers_and_the_admin_change_them_at_once(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": "Early", "total_stock": 40}, {"name": "Regular", "total_stock": 40}]
    published = await shop.on_sale(organizer, *kinds)
    early, regular = published.ticket_types
    shared = await shop.add_quota(organizer, 20, early, regular)
    own = await shop.add_quota(organizer, 12, regular)

    async def buy(number: int) -> tuple[int, int]:
        """What the buyer has in the end of each type."""
        api = shop.twin if number % 2 else shop.public
        quantities = [(1, 0), (0, 2), (1, 1)][number % 3]
        request = hold(published, *quantities, idempotency_key=new_key())
        if await persist(api.holds.CreateHold, request) != "OK":
            return (0, 0)
        held = await api.holds.CreateHold(request)
        if number % 4 == 0:
            await shop.release(held.id)
            return (0, 0)
        if number % 4 == 1:
            await shop.issue(held.id)
        return quantities

    changes = [
        *(shop.change_quota(organizer, shared, size=size) for size in (5, 35, 10, 28, 16)),
        shop.change_quota(organizer, shared, ticket_type_ids=[early.id]),
        shop.change_quota(organizer, own, ticket_type_ids=[early.id, regular.id]),
        shop.change_quota(organizer, shared, ticket_type_ids=[regular.id, early.id]),
        shop.change_quota(organizer, own, ticket_type_ids=[regular.id], size=30),
        shop.add_quota(organizer, 18, early),
    ]

    async def administer() -> list[str]:
        return [await outcome(change) for change in changes]

    buyers = asyncio.gather(*(buy(number) for number in range(60)))
    administered, bought = await asyncio.gather(administer(), buyers)
    assert set(administered) <= {"OK", "QUOTA_BELOW_SOLD"}
    out = [sum(each) for each in zip(*bought, strict=True)]
    seen = (await shop.see(published.id)).ticket_types
    by_id = dict(zip((early.id, regular.id), out, strict=True))
    least = {early.id: 40 - out[0], regular.id: 40 - out[1]}
    for each in await shop.quotas(organizer, published.id):
        assert each.size - each.remaining == sum(by_id[key] for key in each.ticket_type_ids)
        for key in each.ticket_type_ids:
            least[key] = min(least[key], each.remaining)
    assert [kind.remaining for kind in seen] == [least[early.id], least[regular.id]]
