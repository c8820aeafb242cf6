"""Holds that are made together: first come first served, and each stands or falls alone."""

import asyncio
from datetime import timedelta

from tessera.ticket.v1 import hold_pb2, hold_service_pb2

from kit.rpc_errors import from_proto
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    new_key,
    refused,
)
from ticket_service.holds import operations
from ticket_service.holds.domain import HoldRequest
from ticket_service.holds.operations import Answer
from ticket_service.holds.placement import Asked
from ticket_service.seating.seatings import Seatings


async def _batch(
    shop: Shop, *requests: hold_service_pb2.CreateHoldRequest
) -> list[hold_pb2.Hold | str]:
    """Each request's hold, or the reason it was refused for."""
    together = hold_service_pb2.BatchCreateHoldsRequest(requests=requests)
    answer = await shop.public.holds.BatchCreateHolds(together)
    return [
        result.hold if result.HasField("hold") else from_proto(result.error).reason
        for result in answer.results
    ]


async def test_who_came_first_is_served_first_and_later_small_requests_still_fit(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 5})
    asked = [hold(published, quantity) for quantity in (3, 3, 2, 1)]
    results = await _batch(shop, *asked)
    assert [isinstance(result, hold_pb2.Hold) for result in results] == [True, False, True, False]
    assert results[1] == results[3] == "SOLD_OUT"
    assert await shop.remaining(published.id) == [0]


async def test_a_bad_request_in_a_batch_fails_alone(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    nowhere = hold(published, 1)
    nowhere.event_id = "evt_none"
    good, zero, many, elsewhere = await _batch(
        shop, hold(published, 1), hold(published, 0), hold(published, 99), nowhere
    )
    assert isinstance(good, hold_pb2.Hold)
    assert (zero, many, elsewhere) == ("INVALID_REQUEST", "TOO_MANY_TICKETS", "EVENT_NOT_FOUND")


async def test_a_key_that_comes_twice_in_a_batch_makes_one_hold(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    request = hold(published, 1, idempotency_key=new_key())
    first, second = await _batch(shop, request, request)
    assert isinstance(first, hold_pb2.Hold)
    assert second == "IDEMPOTENCY_KEY_IN_USE"
    (again,) = await _batch(shop, request)
    assert again == first
    assert await shop.remaining(published.id) == [9]


async def test_only_the_gateway_makes_batches(shop: Shop, organizer: Organizer) -> None:
    request = hold(await shop.on_sale(organizer), 1)
    with refused("SERVICE_NOT_ALLOWED"):
        await shop.internal.holds.BatchCreateHolds(
            hold_service_pb2.BatchCreateHoldsRequest(requests=[request])
        )


async def test_a_caller_who_gave_up_leaves_no_hold_behind(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    request = hold(published, 4, idempotency_key=new_key())
    async with shop.database.begin() as tx:
        # The batch waits for the ticket type until its caller is gone.
        await tx.exec_driver_sql(
            "SELECT 1 FROM ticket_types WHERE event_id = $1 FOR UPDATE", (published.id,)
        )
        call = shop.public.holds.CreateHold(request)
        waiting = asyncio.ensure_future(call)
        await eventually(lambda: _somebody_waits(shop))
        call.cancel()
        await asyncio.wait([waiting])

    async def all_is_back() -> bool:
        held = await shop.execute(
            "SELECT count(*) FROM holds WHERE event_id = :id", id=published.id
        )
        return bool(held[0][0] == 1) and await shop.remaining(published.id) == [10]

    await eventually(all_is_back)
    again = await shop.public.holds.CreateHold(request)
    assert again.state == hold_pb2.HOLD_STATE_ACTIVE
    assert await shop.remaining(published.id) == [6]


async def _somebody_waits(shop: Shop) -> bool:
    waiting = await shop.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE '%ticket_types%'"
    )
    return bool(waiting[0][0])


async def test_a_hold_that_its_key_was_told_of_again_is_not_abandoned(
    shop: Shop, organizer: Organizer
) -> None:
    """The first replica's caller gave up, and came again at another one."""
    published = await shop.on_sale(organizer)
    request = HoldRequest(published.ticket_types[0].id, 1)
    asked = [Asked((request,), f"anyone {published.id}", b"fingerprint")]
    lifetime = timedelta(minutes=15)
    seatings = Seatings()
    first, again = [
        (await operations.create_holds(shop.database, seatings, published.id, asked, lifetime))[0]
        for _ in range(2)
    ]
    assert isinstance(first, Answer)
    assert isinstance(again, Answer)
    assert (again.hold.id, again.is_new) == (first.hold.id, False)
    await operations.abandon_holds(shop.database, shop.offers, [first])
    assert await shop.hold_state(first.hold.id) == "ACTIVE"
