"""Holding seats: the ones that are named, or the best that are left together."""

import asyncio
from collections import Counter

from tessera.ticket.v1 import event_pb2, hold_service_pb2, seat_map_service_pb2, seat_pb2

from kit.rpc_errors import from_proto
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    TicketApi,
    eventually,
    hold,
    new_key,
    new_order_id,
    outcome,
    persist,
    refused,
    stalls,
)

Item = hold_service_pb2.CreateHoldItem


def named(of: event_pb2.Event, *seat_ids: str, quantity: int = 0, kind: int = 0) -> Item:
    """These seats, of one of the event's ticket types."""
    type_id = of.ticket_types[kind].id
    return Item(ticket_type_id=type_id, seat_ids=seat_ids, quantity=quantity)


def best(of: event_pb2.Event, quantity: int, *, kind: int = 0, orphans: bool = False) -> Item:
    """The best seats that are together."""
    type_id = of.ticket_types[kind].id
    return Item(ticket_type_id=type_id, quantity=quantity, allow_orphans=orphans)


def asking(of: event_pb2.Event, *items: Item) -> hold_service_pb2.CreateHoldRequest:
    return hold_service_pb2.CreateHoldRequest(event_id=of.id, items=items)


async def get(shop: Shop, *items: Item, of: event_pb2.Event, api: TicketApi | None = None) -> str:
    """The seats that a hold gets: `1-3 1-4`, row and number."""
    held = await (api or shop.public).holds.CreateHold(asking(of, *items))
    return places(seat for item in held.items for seat in item.seats)


def places(seats: object) -> str:
    return " ".join(f"{seat.row}-{seat.number}" for seat in seats)  # type: ignore[attr-defined]


async def states(shop: Shop, of: event_pb2.Event) -> str:
    return (await shop.seat_states(of.id)).states


async def test_named_seats_are_held_and_shown_as_such(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "BB")
    first, third, other = await shop.seats(theatre.id, "1-1", "1-3", "2-2")
    request = asking(theatre, named(theatre, third, first), named(theatre, other, kind=1))
    held = await shop.public.holds.CreateHold(request)
    assert [item.quantity for item in held.items] == [2, 1]
    assert list(held.items[0].seats) == [
        seat_pb2.AssignedSeat(seat_id=third, section="Stalls", row="1", number="3"),
        seat_pb2.AssignedSeat(seat_id=first, section="Stalls", row="1", number="1"),
    ]
    assert places(held.items[1].seats) == "2-2"
    assert held.total.amount == "150.00"
    found = await shop.twin.holds.GetHold(hold_service_pb2.GetHoldRequest(hold_id=held.id))
    assert found == held
    assert await states(shop, theatre) == "HAHAAH"
    assert await shop.remaining(theatre.id) == [2, 1]


async def test_named_seats_are_held_all_or_none(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAa", "BB")
    seats = await shop.seats(theatre.id)
    await get(shop, named(theatre, seats[1]), of=theatre)
    for item, reason in (
        (named(theatre, seats[0], seats[1]), "SEAT_TAKEN"),
        (named(theatre, seats[0], seats[3]), "SEAT_TAKEN"),
        (named(theatre, seats[0], "seat_of_nobody"), "SEAT_NOT_FOUND"),
        (named(theatre, seats[0], seats[4]), "SEAT_NOT_FOUND"),
        (named(theatre, seats[0], quantity=2), "INVALID_QUANTITY"),
        (named(theatre, seats[0], seats[0]), "INVALID_REQUEST"),
    ):
        with refused(reason):
            await get(shop, item, of=theatre)
    assert await states(shop, theatre) == "AHABAA"
    assert await shop.remaining(theatre.id) == [2, 2]


async def test_a_hold_of_two_ticket_types_gets_both_or_none(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "BB|B")
    [taken] = await shop.seats(theatre.id, "2-1")
    for second in (best(theatre, 3, kind=1), named(theatre, "seat_of_nobody", kind=1)):
        call = get(shop, best(theatre, 2), second, of=theatre)
        assert await outcome(call) in {"NO_ADJACENT_SEATS", "SEAT_NOT_FOUND"}
        assert await states(shop, theatre) == "AAAAAAA"
    found = await get(shop, best(theatre, 2), named(theatre, taken, kind=1), of=theatre)
    assert found == "1-1 1-2 2-1"
    assert await shop.remaining(theatre.id) == [2, 2]


async def test_the_best_seats_are_together_in_the_best_row(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA|AAA", "AAAAAA")
    assert await get(shop, best(theatre, 4), of=theatre) == "2-1 2-2 2-3 2-4"
    assert await get(shop, best(theatre, 3), of=theatre) == "1-3 1-4 1-5"
    assert await get(shop, best(theatre, 2), of=theatre, api=shop.twin) == "1-1 1-2"
    with refused("NO_ADJACENT_SEATS"):
        await get(shop, best(theatre, 1), of=theatre)
    found = await get(shop, best(theatre, 1, orphans=True), of=theatre)
    assert found == "2-5"
    with refused("SOLD_OUT"):
        await get(shop, best(theatre, 2), of=theatre)


async def test_blocked_seats_are_not_among_the_best(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "AAAAA")
    [house] = await shop.seats(theatre.id, "1-2")
    await shop.block(organizer, theatre.id, house)
    assert await get(shop, best(theatre, 3), of=theatre, api=shop.twin) == "2-1 2-2 2-3"
    assert await get(shop, best(theatre, 2), of=theatre) == "1-3 1-4"


async def test_each_of_a_batch_stands_or_falls_alone(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    seats = await shop.seats(theatre.id)
    together = hold_service_pb2.BatchCreateHoldsRequest(
        requests=[
            asking(theatre, item)
            for item in (
                named(theatre, seats[0], seats[1]),
                named(theatre, seats[1], seats[2]),
                best(theatre, 3),
                best(theatre, 2),
                best(theatre, 1),
            )
        ]
    )
    answer = await shop.public.holds.BatchCreateHolds(together)
    found = [
        places(result.hold.items[0].seats)
        if result.HasField("hold")
        else from_proto(result.error).reason
        for result in answer.results
    ]
    assert found == ["1-1 1-2", "SEAT_TAKEN", "SOLD_OUT", "1-3 1-4", "SOLD_OUT"]
    assert await states(shop, theatre) == "HHHH"


async def test_the_same_key_gets_the_same_seats(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    request = asking(theatre, best(theatre, 2))
    request.idempotency_key = new_key()
    held = await shop.public.holds.CreateHold(request)
    assert await shop.twin.holds.CreateHold(request) == held
    assert await states(shop, theatre) == "HHAA"


async def test_released_seats_can_be_had_again(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    held = await shop.hold(theatre, 2)
    released = await shop.release(held.id)
    assert places(released.items[0].seats) == places(held.items[0].seats)
    assert await states(shop, theatre) == "AAAA"
    await shop.release(held.id)
    assert await get(shop, best(theatre, 4), of=theatre, api=shop.twin) == "1-1 1-2 1-3 1-4"


async def test_seats_of_a_hold_that_expires_can_be_had_again(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    await get(shop, best(theatre, 2), of=theatre, api=shop.hasty)
    before = await shop.seat_states(theatre.id)

    async def are_back() -> bool:
        return await states(shop, theatre) == "AAAA"

    await eventually(are_back)
    after = await shop.seat_states(theatre.id, before.version, api=shop.twin)
    assert [(change.position, change.state) for change in after.changes] == [(0, "A"), (1, "A")]
    assert await shop.remaining(theatre.id) == [4]


async def test_tickets_name_their_seats(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "BB")
    held = await shop.public.holds.CreateHold(
        asking(theatre, best(theatre, 3, orphans=True), best(theatre, 2, kind=1))
    )
    order_id = new_order_id()
    tickets = await shop.issue(held.id, order_id)
    expected = [seat for item in held.items for seat in item.seats]
    assert [ticket.seat for ticket in tickets] == expected
    assert await states(shop, theatre) == "SSSASS"
    assert await shop.issue(held.id, order_id) == tickets
    with refused("SEAT_TAKEN"):
        await get(shop, named(theatre, expected[0].seat_id), of=theatre)


async def test_seats_of_cancelled_tickets_can_be_sold_again(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    for _ in range(2):
        held, order_id = await shop.hold(theatre, 2), new_order_id()
        await shop.issue(held.id, order_id)
        assert await states(shop, theatre) == "SS"
        await shop.take_back(order_id)
        assert await states(shop, theatre) == "AA"
        assert await shop.remaining(theatre.id) == [2]


async def test_tickets_without_seats_name_none(shop: Shop, organizer: Organizer) -> None:
    held = await shop.hold(await shop.on_sale(organizer))
    [ticket] = await shop.issue(held.id)
    assert not ticket.HasField("seat")
    assert list(held.items[0].seats) == []


async def test_a_hold_that_is_gone_gets_its_seats_again_if_they_are_there(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    held = await shop.hold(theatre, 2)
    await shop.release(held.id)
    [ticket, _] = await shop.issue(held.id)
    assert ticket.seat == held.items[0].seats[0]
    assert await states(shop, theatre) == "SSAA"


async def test_a_hold_that_is_gone_gets_nothing_if_one_of_its_seats_is(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    held = await shop.hold(theatre, 2)
    await shop.release(held.id)
    await get(shop, named(theatre, held.items[0].seats[1].seat_id), of=theatre)
    with refused("SEAT_TAKEN"):
        await shop.issue(held.id)
    assert await states(shop, theatre) == "AHAA"
    assert await shop.remaining(theatre.id) == [3]


async def test_a_hold_that_is_gone_has_no_seats_in_another_hall(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    held = await shop.hold(theatre, 2)
    await shop.release(held.id)
    hall = await shop.add_hall(organizer, stalls("AAAA"))
    await shop.seat_event(organizer, theatre, hall.id)
    with refused("SEAT_NOT_FOUND"):
        await shop.issue(held.id)
    assert await states(shop, theatre) == "AAAA"
    assert await shop.remaining(theatre.id) == [4]


async def test_a_hold_that_is_gone_has_no_seats_that_are_sold_as_something_else(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA", "BB")
    held = await shop.hold(theatre, 2)
    await shop.release(held.id)
    first, second = theatre.ticket_types
    swapped = [
        seat_map_service_pb2.CreateSeatMapZone(zone="A", ticket_type_id=second.id),
        seat_map_service_pb2.CreateSeatMapZone(zone="B", ticket_type_id=first.id),
    ]
    hall_id = (await shop.seat_map(theatre.id)).hall_id
    request = seat_map_service_pb2.CreateSeatMapRequest(
        event_id=theatre.id, hall_id=hall_id, zones=swapped
    )
    await shop.public.seat_maps.CreateSeatMap(request, metadata=organizer.admin)
    with refused("SEAT_NOT_FOUND"):
        await shop.issue(held.id)
    assert await states(shop, theatre) == "AAAA"
    assert await shop.remaining(theatre.id) == [2, 2]


async def test_a_hold_that_is_gone_and_had_no_seats_gets_none(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "A"})
    held = await shop.hold(published, 2)
    await shop.release(held.id)
    hall = await shop.add_hall(organizer, stalls("AAAA"))
    await shop.seat_event(organizer, published, hall.id)
    with refused("SOLD_OUT"):
        await shop.issue(held.id)
    assert await shop.remaining(published.id) == [4]


async def test_a_hold_that_is_gone_gets_nothing_when_the_seat_map_is_too(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    held = await shop.hold(theatre, 2)
    await shop.release(held.id)
    request = seat_map_service_pb2.DeleteSeatMapRequest(event_id=theatre.id)
    await shop.public.seat_maps.DeleteSeatMap(request, metadata=organizer.admin)
    with refused("SOLD_OUT"):
        await shop.issue(held.id)
    assert await shop.remaining(theatre.id) == [2]


async def test_the_last_pair_has_exactly_one_owner(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AA")
    first, second = await shop.seats(theatre.id)
    wishes = (best(theatre, 2), named(theatre, second, first), named(theatre, first))

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        request = asking(theatre, wishes[number % 3])
        request.idempotency_key = new_key()
        return await persist(api.holds.CreateHold, request)

    outcomes = Counter(await asyncio.gather(*(buy(number) for number in range(60))))
    # Whoever was first got both, or the first seat alone.
    assert outcomes["OK"] == 1
    assert set(outcomes) <= {"OK", "SOLD_OUT", "SEAT_TAKEN", "NO_ADJACENT_SEATS"}


async def test_a_house_is_sold_to_the_last_pair_and_no_seat_twice(
    shop: Shop, organizer: Organizer
) -> None:
    rows, width = 10, 12
    theatre = await shop.theatre(organizer, *(["A" * width] * rows))
    apis = (shop.public, shop.twin)
    owners: dict[str, str] = {}

    async def buy(number: int) -> str:
        request = hold(theatre, 2, idempotency_key=new_key())
        call = apis[number % 2].holds.CreateHold
        reason = await persist(call, request)
        if reason == "OK":
            held = await call(request)
            for seat in held.items[0].seats:
                assert owners.setdefault(seat.seat_id, held.id) == held.id
        return reason

    outcomes = Counter(await asyncio.gather(*(buy(number) for number in range(80))))
    assert outcomes == {"OK": 60, "SOLD_OUT": 20}
    assert len(owners) == rows * width
    assert await states(shop, theatre) == "H" * rows * width


async def test_seats_that_come_and_go_on_two_replicas_have_one_owner_each(
    shop: Shop, organizer: Organizer
) -> None:
    """Buyers hold, release, pay and return; the invariants after the test count the seats."""
    theatre = await shop.theatre(organizer, "AAAAAA", "AAAAAA", "AAAA|AA")
    seats = await shop.seats(theatre.id)

    async def buy(number: int) -> None:
        api = shop.twin if number % 2 else shop.public
        item = (
            best(theatre, 1 + number % 3, orphans=True)
            if number % 4
            else named(theatre, seats[number % 18], seats[(number + 7) % 18])
        )
        request = asking(theatre, item)
        request.idempotency_key = new_key()
        if await persist(api.holds.CreateHold, request) != "OK":
            return
        held = await api.holds.CreateHold(request)
        order_id = new_order_id()
        if number % 3 == 0:
            await shop.release(held.id)
        await outcome(shop.issue(held.id, order_id))
        if number % 5 < 3:
            await shop.take_back(order_id, held.id)

    await asyncio.gather(*(buy(number) for number in range(90)))
    letters = await states(shop, theatre)
    assert set(letters) <= {"A", "S", "H"}
    assert await shop.remaining(theatre.id) == [letters.count("A")]


async def test_seats_are_blocked_and_unblocked_under_sale_without_a_deadlock(
    shop: Shop, organizer: Organizer
) -> None:
    """Everyone locks in one order, also for a quota that the ticket types share."""
    theatre = await shop.theatre(organizer, "AAAAAA", "BBBBBB")
    await shop.add_quota(organizer, 8, *theatre.ticket_types)
    seats = await shop.seats(theatre.id)
    apis = (shop.public, shop.twin)

    async def buy(number: int) -> str:
        items = [best(theatre, 1, kind=kind, orphans=True) for kind in (0, 1)]
        request = asking(theatre, *(items if number % 2 else reversed(items)))
        call = apis[number % 2].holds.CreateHold(request)
        found = await outcome(call)
        if found == "OK" and number % 5:
            await shop.release((await call).id)
        return found

    async def manage(number: int) -> str:
        api = apis[number % 2]
        blocked = await outcome(shop.block(organizer, theatre.id, seats[number % 12], api=api))
        await shop.unblock(organizer, theatre.id, seats[number % 12], api=api)
        return blocked

    calls = [buy(number) if number % 3 else manage(number) for number in range(60)]
    outcomes = set(await asyncio.gather(*calls))
    assert outcomes <= {"OK", "SOLD_OUT", "SEAT_TAKEN"}
    assert "B" not in await states(shop, theatre)
