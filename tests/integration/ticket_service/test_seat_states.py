"""Who has which seat: as everyone sees it, and as the replicas remember it."""

import asyncio
from collections.abc import Callable

import pytest
from tessera.ticket.v1 import event_pb2

from tests.integration.ticket_service.support import Organizer, Shop, layout, outcome, stalls
from ticket_service.seating import operations
from ticket_service.seating.domain import Seating
from ticket_service.seating.seatings import Seatings, StaleSeating
from ticket_service.venues.domain import BlockReason

HOUSE = BlockReason.HOUSE


def told(states: object) -> list[tuple[int, str]]:
    """The changes in an answer: positions and letters."""
    return [(change.position, change.state) for change in states.changes]  # type: ignore[attr-defined]


async def look(shop: Shop, seatings: Seatings, event_id: str) -> Seating:
    """The seats of an event as one replica knows them, under the lock."""
    async with shop.database.begin() as tx:
        seating = await seatings.lock(tx, event_id)
    assert seating is not None
    return seating


async def clear(shop: Shop, theatre: event_pb2.Event) -> None:
    """Put all seats on sale, whatever a test did to them behind the back of their stock."""
    for statement in (
        """
        UPDATE event_seats SET state = 'AVAILABLE', hold_id = NULL, block_reason = NULL
        WHERE event_id = :id
        """,
        """
        UPDATE ticket_types SET (total_stock, remaining) = (
            SELECT count(*), count(*) FROM event_seats WHERE ticket_type_id = ticket_types.id
        ) WHERE event_id = :id
        """,
    ):
        await shop.execute(statement, id=theatre.id)


async def change(
    shop: Shop, seatings: Seatings, event_id: str, do: Callable[[Seating], object]
) -> Seating:
    """Change seats as one replica, but leave their stock as it is."""
    async with shop.database.begin() as tx:
        seating = await seatings.lock(tx, event_id)
        assert seating is not None
        do(seating)
        await seatings.save(tx, seating)
    return seating


async def test_who_asks_again_hears_only_what_changed(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    seats = await shop.seats(theatre.id)
    before = await shop.seat_states(theatre.id)
    assert (before.states, told(before)) == ("AAAA", [])
    await shop.block(organizer, theatre.id, seats[1])
    await shop.block(organizer, theatre.id, seats[3])
    await shop.unblock(organizer, theatre.id, seats[1])
    after = await shop.seat_states(theatre.id, before.version)
    assert (after.states, told(after)) == ("", [(1, "A"), (3, "B")])
    assert after.version == before.version + 3
    again = await shop.seat_states(theatre.id, after.version)
    assert (again.states, told(again), again.version) == ("", [], after.version)


async def test_a_version_that_never_was_gets_all_states(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "Aa")
    now = await shop.seat_states(theatre.id)
    assert await shop.seat_states(theatre.id, now.version + 1) == now
    assert await shop.seat_states(theatre.id, 2**31 - 1) == now


async def test_what_changes_nothing_is_no_new_version(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AA")
    seats = await shop.seats(theatre.id)
    before = await shop.seat_states(theatre.id)
    answer = await shop.unblock(organizer, theatre.id, *seats)
    assert (answer.version, told(answer)) == (before.version, [])
    assert await shop.seat_states(theatre.id) == before


async def test_all_states_are_told_when_there_is_more_to_tell(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {f"{row}": 101 for row in range(11)}}))
    published = await shop.on_sale(organizer)
    await shop.seat_event(organizer, published, hall.id)
    seats = [
        seat.id
        for row in (await shop.seat_map(published.id)).sections[0].rows
        for seat in row.seats
    ]
    before = await shop.seat_states(published.id)
    await shop.block(organizer, published.id, *seats[: operations.MAX_CHANGES])
    changed = await shop.seat_states(published.id, before.version)
    assert len(changed.changes) == operations.MAX_CHANGES
    await shop.block(organizer, published.id, seats[-1])
    changed = await shop.seat_states(published.id, before.version)
    assert told(changed) == []
    assert changed.states == "B" * 1000 + "A" * 110 + "B"


async def test_who_saw_another_seat_map_gets_all_states_and_is_told(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    hall = await shop.add_hall(organizer, stalls("AA"))
    before = await shop.seat_states(theatre.id)
    made = await shop.seat_event(organizer, theatre, hall.id, api=shop.twin)
    for api in (shop.public, shop.twin):
        after = await shop.seat_states(theatre.id, before.version, api=api)
        assert (after.states, told(after)) == ("AA", [])
        assert after.version > before.version
        assert after.seat_map_created_at == made.created_at != before.seat_map_created_at


async def test_replicas_see_each_others_changes(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    seats = await shop.seats(theatre.id)
    apis = (shop.public, shop.twin, shop.hasty)
    for number, seat in enumerate(seats):
        await shop.block(organizer, theatre.id, seat, api=apis[number % 3])
        expected = "B" * (number + 1) + "A" * (3 - number)
        for api in apis:
            assert (await shop.seat_states(theatre.id, api=api)).states == expected
    assert await shop.remaining(theatre.id) == [0]


async def test_replicas_forget_the_seats_of_a_map_that_was_replaced(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    for api in (shop.public, shop.twin):
        await shop.seat_states(theatre.id, api=api)
    [old, *_] = await shop.seats(theatre.id)
    hall = await shop.add_hall(organizer, stalls("AA"))
    await shop.seat_event(organizer, theatre, hall.id, api=shop.twin)
    [new, _] = await shop.seats(theatre.id)
    for api in (shop.public, shop.twin):
        assert await outcome(shop.block(organizer, theatre.id, old, api=api)) == "SEAT_NOT_FOUND"
        await shop.block(organizer, theatre.id, new, api=api)
        assert (await shop.seat_states(theatre.id, api=api)).states == "BA"


async def test_a_change_that_is_rolled_back_is_not_remembered(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    before = await look(shop, seatings, theatre.id)

    async def fail() -> None:
        async with shop.database.begin() as tx:
            seating = await seatings.lock(tx, theatre.id)
            assert seating is not None
            seating.block(seats[:2], HOUSE)
            await seatings.save(tx, seating)
            again = await seatings.lock(tx, theatre.id)  # sees what it wrote itself
            assert again is not None
            assert (again.letters, again.version) == ("BBAA", before.version + 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    # Another replica makes the version that was rolled back.
    await shop.block(organizer, theatre.id, seats[3])
    after = await look(shop, seatings, theatre.id)
    assert (after.letters, after.version) == ("AAAB", before.version + 1)


async def test_a_change_that_is_not_saved_is_not_remembered(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    await look(shop, seatings, theatre.id)
    (await look(shop, seatings, theatre.id)).block(seats, HOUSE)
    assert (await look(shop, seatings, theatre.id)).letters == "AA"
    async with shop.database.begin() as tx:
        seating = await seatings.lock(tx, theatre.id)
        assert seating is not None
        seating.block(seats[:1], HOUSE)
        await seatings.save(tx, seating)
        seating.block(seats[1:], HOUSE)
    assert (await look(shop, seatings, theatre.id)).letters == "BA"
    await clear(shop, theatre)


async def test_changes_of_others_are_read_without_reading_all_seats(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    before = await look(shop, seatings, theatre.id)
    await shop.block(organizer, theatre.id, seats[2])
    after = await look(shop, seatings, theatre.id)
    assert after.letters == "AABA"
    assert after.plan is before.plan
    await shop.execute(  # a change without a version, which nobody would make: it is not seen
        "UPDATE event_seats SET state = 'BLOCKED', block_reason = 'HOUSE' WHERE seat_id = :id",
        id=seats[3],
    )
    await change(shop, seatings, theatre.id, lambda found: found.block(seats[:1], HOUSE))
    mine = await look(shop, seatings, theatre.id)
    assert (mine.letters, mine.plan) == ("BABA", before.plan)
    await shop.execute(  # as if the same seats had been seated anew
        "UPDATE seat_maps SET created_at = now() WHERE event_id = :id", id=theatre.id
    )
    anew = await look(shop, seatings, theatre.id)
    assert anew.letters == "BABB"
    assert anew.plan is not before.plan
    await clear(shop, theatre)


async def test_a_database_that_went_back_in_time_is_believed(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    await change(shop, seatings, theatre.id, lambda found: found.block(seats, HOUSE))
    for statement in (
        "UPDATE seat_maps SET version = 1 WHERE event_id = :id",
        "UPDATE event_seats SET state = 'AVAILABLE', version = 1 WHERE event_id = :id",
    ):
        await shop.execute(statement, id=theatre.id)
    for _ in range(2):
        seating = await look(shop, seatings, theatre.id)
        assert (seating.letters, seating.version) == ("AA", 1)


async def test_what_was_used_least_recently_is_forgotten_first(
    shop: Shop, organizer: Organizer
) -> None:
    seatings = Seatings(max_seats=5)
    first, second = [await shop.theatre(organizer, "AA") for _ in range(2)]
    large = await shop.theatre(organizer, "AAA")
    plans = [(await look(shop, seatings, of.id)).plan for of in (first, second)]
    assert (await look(shop, seatings, first.id)).plan is plans[0]
    await look(shop, seatings, large.id)
    assert (await look(shop, seatings, first.id)).plan is plans[0]
    assert (await look(shop, seatings, second.id)).plan is not plans[1]


async def test_a_seat_that_is_not_what_memory_says_stops_the_transaction(
    shop: Shop, organizer: Organizer
) -> None:
    """The database's own guard: without it, a replica that errs would sell a seat twice."""
    theatre = await shop.theatre(organizer, "AAAA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    await look(shop, seatings, theatre.id)
    spoil = "UPDATE event_seats SET state = :state, hold_id = :hold WHERE seat_id = :id"
    await shop.execute(spoil, state="HELD", hold="hold_theirs", id=seats[1])
    with pytest.raises(StaleSeating):
        await change(shop, seatings, theatre.id, lambda found: found.block(seats[:2], HOUSE))
    [row] = await shop.execute("SELECT hold_id FROM event_seats WHERE seat_id = :id", id=seats[1])
    assert row.hold_id == "hold_theirs"
    # Whoever was wrong once looks again.
    assert (await look(shop, seatings, theatre.id)).letters == "AHAA"
    await clear(shop, theatre)


async def test_a_seating_of_another_version_is_not_saved(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    old = await look(shop, seatings, theatre.id)
    await shop.block(organizer, theatre.id, seats[0])
    old.block(seats[1:], HOUSE)

    async def save() -> None:
        async with shop.database.begin() as tx:
            await seatings.save(tx, old)

    with pytest.raises(StaleSeating):
        await save()
    assert (await shop.seat_states(theatre.id)).states == "BA"


async def test_who_changes_seats_takes_turns(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAAAA", "AAAAAA")
    ticket_type_id = theatre.ticket_types[0].id
    replicas = [Seatings() for _ in range(3)]

    async def take(number: int) -> tuple[str, ...]:
        seatings = replicas[number % 3]
        async with shop.database.begin() as tx:
            seating = await seatings.lock(tx, theatre.id)
            assert seating is not None
            seats = seating.take_best(f"hold_{number}", ticket_type_id, 2, allow_orphans=False)
            await seatings.save(tx, seating)
        return tuple(seat.seat_id for seat in seats)

    taken = await asyncio.gather(*(take(number) for number in range(6)))
    assert len({seat_id for pair in taken for seat_id in pair}) == 12
    for seatings in replicas:
        assert (await look(shop, seatings, theatre.id)).letters == "H" * 12
    await clear(shop, theatre)


async def test_an_event_without_seats_has_nothing_to_lock(shop: Shop, organizer: Organizer) -> None:
    published, seatings = await shop.on_sale(organizer), Seatings()
    async with shop.database.begin() as tx:
        assert await seatings.lock(tx, published.id) is None
        assert await seatings.read(tx, published.id) is None


async def test_what_is_saved_is_what_was_changed(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAAAA")
    seats, seatings = await shop.seats(theatre.id), Seatings()
    ticket_type_id = theatre.ticket_types[0].id
    async with shop.database.begin() as tx:
        seating = await seatings.lock(tx, theatre.id)
        assert seating is not None
        seating.take("first", ticket_type_id, seats[:3])
        await seatings.save(tx, seating)
        seating.sell(seats[:1])  # stays the first's
        seating.give_back(seats[1:3])
        seating.take("second", ticket_type_id, seats[2:4])
        seating.sell(seats[3:4])  # becomes the second's at once
        seating.block(seats[4:5], BlockReason.COMPANION, "Beside 6")
        await seatings.save(tx, seating)
    rows = await shop.execute(
        "SELECT state, hold_id, block_reason, block_note, version FROM event_seats "
        "WHERE event_id = :id ORDER BY position",
        id=theatre.id,
    )
    version = seating.version
    assert [tuple(row) for row in rows] == [
        ("SOLD", "first", None, "", version),
        ("AVAILABLE", None, None, "", version),
        ("HELD", "second", None, "", version),
        ("SOLD", "second", None, "", version),
        ("BLOCKED", None, "COMPANION", "Beside 6", version),
        ("AVAILABLE", None, None, "", version - 2),
    ]
    assert seating.letters == "SAHSBA"
    await clear(shop, theatre)
