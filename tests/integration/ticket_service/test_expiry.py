"""Holds expire by the database's clock: never before their deadline, and soon after it."""

import asyncio

from tessera.ticket.v1 import hold_service_pb2

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    new_key,
    refused,
)
from tests.support.invariants import assert_invariants
from ticket_service.holds import operations, store


async def test_a_hold_is_back_on_sale_after_its_deadline_and_not_before(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 4, hasty=True)

    async def expired() -> bool:
        # That it is neither early nor late is an invariant, which every test ends with; this
        # watches it all the while.
        [[state, remaining, is_due]] = await shop.execute(
            """
            SELECT state, remaining, expires_at <= now() FROM holds
            JOIN ticket_types ON ticket_types.event_id = holds.event_id WHERE holds.id = :id
            """,
            id=held.id,
        )
        assert (state, remaining) in (("ACTIVE", 6), ("EXPIRED", 10))
        assert state == "ACTIVE" or is_due
        return bool(state == "EXPIRED")

    await eventually(expired)
    assert await shop.remaining(published.id) == [10]
    assert await shop.hold_state(held.id) == "EXPIRED"


async def test_a_hold_that_is_not_due_outlives_one_that_is(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    patient, hasty = await shop.hold(published, 2), await shop.hold(published, 3, hasty=True)

    async def expired() -> bool:
        return await shop.hold_state(hasty.id) == "EXPIRED"

    await eventually(expired)
    assert await shop.hold_state(patient.id) == "ACTIVE"
    assert await shop.remaining(published.id) == [8]


async def test_releasing_what_expired_changes_nothing(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, hasty=True)

    async def expired() -> bool:
        return await shop.hold_state(held.id) == "EXPIRED"

    await eventually(expired)
    await shop.release(held.id)
    assert await shop.hold_state(held.id) == "EXPIRED"
    assert await shop.remaining(published.id) == [10]


async def test_several_replicas_expire_a_hold_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 100}, {"total_stock": 100})
    await asyncio.gather(*(shop.hold(published, 2, 3, hasty=True) for _ in range(20)))

    async def all_back() -> bool:
        await asyncio.gather(
            *(operations.expire_holds(shop.database, shop.offers) for _ in range(4))
        )
        return await shop.remaining(published.id) == [100, 100]

    await eventually(all_back)
    [[expired]] = await shop.execute(
        "SELECT count(*) FROM holds WHERE event_id = :id AND state = 'EXPIRED'", id=published.id
    )
    assert expired == 20


async def test_the_next_look_is_soon_though_none_is_due(shop: Shop, organizer: Organizer) -> None:
    await shop.hold(await shop.on_sale(organizer))
    async with shop.database.begin() as tx:
        due_in_s = await store.next_due_in_s(tx)
    assert due_in_s is not None
    assert due_in_s <= 900
    pause_s = await operations.expire_holds(shop.database, shop.offers)
    assert operations.SHORTEST_SLEEP_S <= pause_s <= operations.LONGEST_SLEEP_S


async def test_a_key_answers_for_a_hold_that_expired_as_it_did_then(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    request = hold(published, 1, idempotency_key=new_key())
    made = await shop.hasty.holds.CreateHold(request)

    async def expired() -> bool:
        return await shop.hold_state(made.id) == "EXPIRED"

    await eventually(expired)
    assert await shop.hasty.holds.CreateHold(request) == made
    await shop.hold(published)
    with refused("SOLD_OUT"):
        await shop.hold(published)


async def test_thousands_of_holds_expire_at_once_while_the_sale_goes_on(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 5010})
    await shop.add_quota(organizer, 5010, *published.ticket_types)
    batch = hold_service_pb2.BatchCreateHoldsRequest(requests=[hold(published, 1)] * 500)
    replicas = [shop.public, shop.twin] * 5
    await asyncio.gather(*(api.holds.BatchCreateHolds(batch) for api in replicas))
    assert await shop.remaining(published.id) == [10]
    await shop.execute("UPDATE holds SET expires_at = now() WHERE event_id = :id", id=published.id)

    async def all_back() -> bool:
        await operations.expire_holds(shop.database, shop.offers)
        await assert_invariants(shop.database_url, "ticket")
        return await shop.remaining(published.id) == [5000]

    bought = asyncio.gather(*(shop.hold(published) for _ in range(10)))
    await asyncio.gather(eventually(all_back), eventually(all_back))
    assert len(await bought) == 10
    states = await shop.execute(
        "SELECT state, count(*) FROM holds WHERE event_id = :id GROUP BY 1", id=published.id
    )
    assert dict(tuple(row) for row in states) == {"EXPIRED": 5000, "ACTIVE": 10}


async def test_an_event_whose_books_are_wrong_keeps_no_other_waiting(
    shop: Shop, organizer: Organizer
) -> None:
    wrong, right = await shop.on_sale(organizer), await shop.on_sale(organizer)
    first, second = await shop.hold(wrong), await shop.hold(right)
    [made] = wrong.ticket_types
    full = "UPDATE ticket_types SET remaining = remaining + :change WHERE id = :id"
    await shop.execute(full, id=made.id, change=1)  # so that nothing can be put back
    await shop.execute(
        "UPDATE holds SET expires_at = now() - interval '1 second' WHERE id = ANY(:ids)",
        ids=[first.id, second.id],
    )

    async def is_back() -> bool:
        return await shop.hold_state(second.id) == "EXPIRED"

    await eventually(is_back)
    assert await shop.hold_state(first.id) == "ACTIVE"
    await shop.execute(full, id=made.id, change=-1)

    async def all_back() -> bool:
        return await shop.hold_state(first.id) == "EXPIRED"

    await eventually(all_back)
