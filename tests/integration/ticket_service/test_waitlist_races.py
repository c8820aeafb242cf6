"""Joining, leaving and serving a line at the same moment: who must waits for the other."""

import asyncio

import pytest
from sqlalchemy import text

from kit.database import Transaction
from tests.integration.ticket_service.lines import join, leave, look, state_of, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    outcome,
    wait_for_lock,
)
from ticket_service.catalog import store as catalog_store
from ticket_service.holds import domain as holds
from ticket_service.holds import store as hold_store
from ticket_service.holds.domain import HoldState
from ticket_service.quotas import store as quota_store
from ticket_service.waitlist import store


async def release(shop: Shop, tx: Transaction, hold_id: str) -> None:
    """Release a hold in a transaction that goes on."""
    found = await hold_store.lock_holds(tx, [hold_id])
    await hold_store.move(tx, [hold_id], HoldState.RELEASED)
    await shop.offers.put_back(tx, holds.freed(found.values()))


async def test_who_joins_while_tickets_return_is_told_to_buy_them(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    async with shop.database.begin() as tx:
        await release(shop, tx, held.id)
        joining = asyncio.create_task(outcome(join(shop, published)))
        await wait_for_lock(shop, joining)
    assert await joining == "NOT_SOLD_OUT"


async def test_tickets_that_return_while_somebody_joins_are_offered_to_them(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    async with shop.database.begin() as tx:
        await catalog_store.lock_ticket_types(tx, published.id)
        returning = asyncio.create_task(shop.release(held.id))
        await wait_for_lock(shop, returning)
        entry = await store.insert_entry(
            tx,
            {
                "id": f"wle_{published.id}",
                "event_id": published.id,
                "ticket_type_id": published.ticket_types[0].id,
                "quantity": 1,
                "email": "grace@example.org",
                "full_name": "Grace Guest",
            },
        )
    await returning
    assert entry
    assert state_of(await look(shop, entry.id)) == "OFFERED"
    assert await shop.remaining(published.id) == [0]


async def test_who_leaves_while_the_line_is_served_gives_back_what_they_were_just_offered(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    first, second = [await join(shop, published) for _ in range(2)]
    async with shop.database.begin() as tx:
        await release(shop, tx, held.id)
        leaving = asyncio.create_task(leave(shop, first.id))
        await wait_for_lock(shop, leaving)
    assert state_of(await leaving) == "CANCELLED"
    assert await states(shop, second) == ["OFFERED"]


async def test_the_line_is_served_without_who_has_just_left_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    first, second = [await join(shop, published) for _ in range(2)]
    async with shop.database.begin() as tx:
        # Whoever is served has this lock, and then reads who waits.
        await catalog_store.lock_ticket_types(tx, published.id)
        leaving = asyncio.create_task(leave(shop, first.id))
        await wait_for_lock(shop, leaving)
        assert await states(shop, first) == ["WAITING"]
    await leaving
    await shop.release(held.id)
    assert await states(shop, first, second) == ["CANCELLED", "OFFERED"]


async def test_all_ticket_types_of_a_quota_are_locked_before_the_quota(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    await shop.add_quota(organizer, 1, *published.ticket_types)
    held = await shop.hold(published)
    entry = await join(shop, published, number=1)
    async with shop.database.begin() as tx:
        # As a new hold of a regular ticket begins.
        lock_regular = text("SELECT id FROM ticket_types WHERE id = :id FOR NO KEY UPDATE")
        await tx.execute(lock_regular, {"id": published.ticket_types[1].id})
        returning = asyncio.create_task(shop.release(held.id))
        await wait_for_lock(shop, returning)
        # A deadlock, had the return of the early bird locked the quota by now.
        await quota_store.lock_quotas(tx, published.id)
    await returning
    assert await states(shop, entry) == ["OFFERED"]


@pytest.mark.parametrize("repetition", range(3))
async def test_offers_given_up_lapsing_and_bought_at_once_each_come_to_one_end(
    shop: Shop, organizer: Organizer, repetition: int
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 4})
    held = await shop.hold(published, 4)
    entries = [await join(shop, published) for _ in range(8)]
    await shop.release(held.id)
    offered = [(await look(shop, entry.id)).hold_id for entry in entries[:4]]
    await shop.execute(
        "UPDATE holds SET expires_at = now() WHERE id = ANY(:ids)", ids=offered[repetition:]
    )
    await asyncio.gather(
        *(outcome(leave(shop, entry.id)) for entry in entries[:4]),
        *(outcome(shop.release(hold_id)) for hold_id in offered),
        *(outcome(shop.issue(hold_id)) for hold_id in offered),
    )

    async def each_ticket_has_one_end() -> bool:
        found = await states(shop, *entries)
        [remaining] = await shop.remaining(published.id)
        assert remaining == 0 or "WAITING" not in found
        return found.count("OFFERED") + found.count("CONVERTED") + remaining == 4

    await eventually(each_ticket_has_one_end)
