"""Seating events: which seats they get, what that means for stock, and which seats are blocked."""

import asyncio
from typing import Any

import pytest
from tessera.ticket.v1 import (
    event_pb2,
    seat_map_pb2,
    seat_map_service_pb2,
    seat_pb2,
)

from kit import paging
from tests.integration.ticket_service.lines import join
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    layout,
    new_key,
    outcome,
    refused,
    stalls,
    zones_of,
)
from tests.support.tokens import Metadata
from ticket_service.seating.drawings import Drawings
from ticket_service.seating.maps import Drawing

Zone = seat_map_service_pb2.CreateSeatMapZone


async def stock(shop: Shop, event_id: str) -> list[tuple[str, int, int, bool]]:
    """Of each ticket type: name, total stock, what remains, and whether it has seats."""
    return [
        (found.name, found.total_stock, found.remaining, found.is_seated)
        for found in (await shop.see(event_id)).ticket_types
    ]


async def blocked(shop: Shop, by: Organizer, event_id: str) -> list[seat_map_pb2.BlockedSeat]:
    request = seat_map_service_pb2.ListBlockedSeatsRequest(event_id=event_id)
    listed = await shop.public.seat_maps.ListBlockedSeats(request, metadata=by.admin)
    return list(listed.blocked_seats)


async def delete(shop: Shop, by: Organizer, event_id: str) -> None:
    request = seat_map_service_pb2.DeleteSeatMapRequest(event_id=event_id)
    await shop.public.seat_maps.DeleteSeatMap(request, metadata=by.admin)


def create(
    event_id: str, hall_id: str, *zones: Zone, **fields: Any
) -> seat_map_service_pb2.CreateSeatMapRequest:
    return seat_map_service_pb2.CreateSeatMapRequest(
        event_id=event_id, hall_id=hall_id, zones=zones, **fields
    )


async def test_an_event_is_seated_as_its_hall_is(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, stalls("AA|A", "bB"))
    draft = await shop.draft(organizer)
    for zone in "AB":
        await shop.add_type(organizer, draft.id, name=zone)
    published = await shop.publish(organizer, draft.id)
    made = await shop.seat_event(organizer, published, hall.id)
    assert (made.event_id, made.hall_id) == (draft.id, hall.id)
    assert [(zone.zone, zone.ticket_type_id, zone.color) for zone in made.zones] == [
        ("A", published.ticket_types[0].id, "#c0392b"),
        ("B", published.ticket_types[1].id, "#c0392b"),
    ]
    [section] = made.sections
    assert section.name == "Stalls"
    assert [row.name for row in section.rows] == ["1", "2"]
    in_hall = (await shop.layout(organizer, hall)).sections[0].rows
    for row, given in zip(section.rows, in_hall, strict=True):
        for seat, original in zip(row.seats, given.seats, strict=True):
            expected = (original.id, original.number, original.x, original.y, original.zone)
            assert (seat.id, seat.number, seat.x, seat.y, seat.zone) == expected
            assert seat.aisle == original.aisle
    assert await shop.seat_map(draft.id) == made
    assert (await shop.seat_states(draft.id)).states == "AAABA"


async def test_the_stock_of_a_zone_is_its_seats_that_are_not_blocked(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "AaBb")
    assert await stock(shop, theatre.id) == [("A", 5, 5, True), ("B", 1, 1, True)]
    assert [found.version for found in theatre.ticket_types] == [2, 2]


async def test_several_zones_may_be_sold_as_one_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, stalls("AAB"))
    published = await shop.on_sale(organizer, {"name": "Any"}, {"name": "Standing"})
    [seated, _] = published.ticket_types
    zones = [Zone(zone=zone, ticket_type_id=seated.id) for zone in "AB"]
    await shop.public.seat_maps.CreateSeatMap(
        create(published.id, hall.id, *zones), metadata=organizer.admin
    )
    assert await stock(shop, published.id) == [("Any", 3, 3, True), ("Standing", 10, 10, False)]


async def test_a_row_gives_its_zone_to_seats_that_name_none(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {"A": 2}, "Balcony": {"A": 1}}))
    published = await shop.on_sale(organizer)
    made = await shop.seat_event(organizer, published, hall.id)
    assert [(s.name, len(s.rows[0].seats)) for s in made.sections] == [
        ("Stalls", 2),
        ("Balcony", 1),
    ]
    assert {seat.zone for s in made.sections for seat in s.rows[0].seats} == {"Standard"}


async def test_an_event_keeps_its_seats_whatever_becomes_of_the_hall(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, stalls("AAA"))
    published = await shop.on_sale(organizer, {"name": "A"})
    made = await shop.seat_event(organizer, published, hall.id)
    await shop.import_layout(organizer, hall, stalls("B"))
    assert await shop.seat_map(published.id) == made


@pytest.mark.parametrize(
    ("zones", "reason", "field"),
    [
        (["A"], "ZONE_WITHOUT_TICKET_TYPE", "zones"),
        (["A", "B", "C"], "ZONE_NOT_FOUND", "zones[2].zone"),
        (["A", "B", "A"], "DUPLICATE_ZONE", "zones[2].zone"),
        ([], "INVALID_REQUEST", "zones"),
    ],
)
async def test_zones_that_do_not_fit_the_hall_are_refused(
    shop: Shop, organizer: Organizer, zones: list[str], reason: str, field: str
) -> None:
    hall = await shop.add_hall(organizer, stalls("AAB"))
    published = await shop.on_sale(organizer)
    [standard] = published.ticket_types
    named = [Zone(zone=zone, ticket_type_id=standard.id) for zone in zones]
    with refused(reason, field=field):
        await shop.public.seat_maps.CreateSeatMap(
            create(published.id, hall.id, *named), metadata=organizer.admin
        )
    assert await stock(shop, published.id) == [("Standard", 10, 10, False)]
    with refused("SEAT_MAP_NOT_FOUND"):
        await shop.seat_map(published.id)


async def test_halls_and_ticket_types_that_are_not_there_are_refused(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "A"})
    foreign = await shop.on_sale(organizer, {"name": "A"})
    hall, empty = await shop.add_hall(organizer, stalls("A")), await shop.add_hall(organizer)
    stranger = shop.organizer()
    theirs = await shop.add_hall(stranger, stalls("A"))
    for hall_id, reason in ((theirs.id, "HALL_NOT_FOUND"), (empty.id, "HALL_WITHOUT_SEATS")):
        with refused(reason):
            await shop.seat_event(organizer, published, hall_id)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.public.seat_maps.CreateSeatMap(
            create(published.id, hall.id, *zones_of(foreign)), metadata=organizer.admin
        )
    with refused("EVENT_NOT_FOUND"):
        await shop.seat_event(stranger, published, theirs.id)


async def test_an_event_that_is_over_is_not_seated(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "Aa")
    [first, second] = await shop.seats(theatre.id)
    hall = await shop.add_hall(organizer, stalls("A"))
    await shop.cancel(organizer, theatre.id)
    for call in (
        shop.seat_event(organizer, theatre, hall.id),
        shop.block(organizer, theatre.id, first),
        shop.unblock(organizer, theatre.id, second),
        delete(shop, organizer, theatre.id),
    ):
        assert await outcome(call) == "EVENT_IS_FINAL"
    assert (await shop.seat_states(theatre.id)).states == "AB"


async def test_what_is_held_or_sold_is_not_seated_anew(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, stalls("AAA"))
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "Standing"})
    await shop.hold(published, 0, 1)  # of a ticket type that is not on the map
    held = await shop.hold(published, 1)

    async def seat() -> None:
        request = create(published.id, hall.id, zones_of(published)[0])
        await shop.public.seat_maps.CreateSeatMap(request, metadata=organizer.admin)

    assert await outcome(seat()) == "TICKET_TYPE_IN_USE"
    await shop.release(held.id)
    await seat()
    held = await shop.hold(published, 1)
    assert await outcome(seat()) == "TICKET_TYPE_IN_USE"
    assert await outcome(delete(shop, organizer, published.id)) == "TICKET_TYPE_IN_USE"
    await shop.issue(held.id)
    assert await outcome(seat()) == "TICKET_TYPE_IN_USE"
    assert await outcome(delete(shop, organizer, published.id)) == "TICKET_TYPE_IN_USE"


async def test_a_ticket_type_that_loses_its_seats_must_have_sold_none_and_loses_its_stock(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, stalls("A"))
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "Other"})
    zone, other = published.ticket_types[0], published.ticket_types[1]
    zones = [Zone(zone="A", ticket_type_id=other.id)]
    request = create(published.id, hall.id, Zone(zone="A", ticket_type_id=zone.id))
    await shop.public.seat_maps.CreateSeatMap(request, metadata=organizer.admin)
    held = await shop.hold(published, 1)
    again = create(published.id, hall.id, *zones)
    with refused("TICKET_TYPE_IN_USE"):
        await shop.public.seat_maps.CreateSeatMap(again, metadata=organizer.admin)
    await shop.release(held.id)
    await shop.public.seat_maps.CreateSeatMap(again, metadata=organizer.admin)
    assert await stock(shop, published.id) == [("A", 0, 0, False), ("Other", 1, 1, True)]


async def test_seating_anew_replaces_seats_stock_and_blocks(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "BB")
    before = await shop.seat_map(theatre.id)
    await shop.block(organizer, theatre.id, (await shop.seats(theatre.id))[0])
    hall = await shop.add_hall(organizer, stalls("Aa", "BBB"))
    made = await shop.seat_event(organizer, theatre, hall.id)
    assert made.created_at.ToNanoseconds() > before.created_at.ToNanoseconds()
    assert await shop.seat_map(theatre.id) == made
    assert (await shop.seat_states(theatre.id)).states == "ABAAA"
    assert await stock(shop, theatre.id) == [("A", 1, 1, True), ("B", 3, 3, True)]


async def test_without_its_seat_map_an_event_keeps_its_stock(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAa")
    await delete(shop, organizer, theatre.id)
    assert await stock(shop, theatre.id) == [("A", 2, 2, False)]
    for call in (
        shop.seat_map(theatre.id),
        shop.seat_states(theatre.id),
        shop.seat_states(theatre.id, 1),
        shop.block(organizer, theatre.id, "seat"),
        shop.unblock(organizer, theatre.id, "seat"),
        blocked(shop, organizer, theatre.id),
        delete(shop, organizer, theatre.id),
    ):
        assert await outcome(call) == "SEAT_MAP_NOT_FOUND"
    await shop.hold(theatre, 2)


async def test_a_key_seats_an_event_once(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, stalls("A"))
    published = await shop.on_sale(organizer, {"name": "A"})
    request = create(published.id, hall.id, *zones_of(published), idempotency_key=new_key())
    made = await shop.public.seat_maps.CreateSeatMap(request, metadata=organizer.admin)
    await shop.import_layout(organizer, hall, stalls("AA"))
    assert await shop.twin.seat_maps.CreateSeatMap(request, metadata=organizer.admin) == made
    assert len(await shop.seats(published.id)) == 1


async def test_many_seats_are_copied_and_shown_as_they_stand(
    shop: Shop, organizer: Organizer
) -> None:
    sections = {f"Block {n}": {f"{row}": 50 for row in range(20)} for n in range(5)}
    hall = await shop.add_hall(organizer, layout(sections))
    published = await shop.on_sale(organizer)
    made = await shop.seat_event(organizer, published, hall.id)
    assert [
        (section.name, row.name, seat.number)
        for section in made.sections
        for row in section.rows
        for seat in row.seats
    ] == [
        (name, row, f"{number}")
        for name, rows in sections.items()
        for row, count in rows.items()
        for number in range(1, count + 1)
    ]
    assert (await shop.seat_states(published.id)).states == "A" * 5000


async def test_blocking_takes_seats_off_sale_and_unblocking_puts_them_back(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA", "BB")
    first, second, other = await shop.seats(theatre.id, "1-1", "1-2", "2-1")
    changed = await shop.block(organizer, theatre.id, first, second, other)
    assert await stock(shop, theatre.id) == [("A", 2, 2, True), ("B", 1, 1, True)]
    assert [(change.position, change.state) for change in changed.changes] == [
        (0, "B"),
        (1, "B"),
        (4, "B"),
    ]
    changed = await shop.unblock(organizer, theatre.id, second, other)
    assert await stock(shop, theatre.id) == [("A", 3, 3, True), ("B", 2, 2, True)]
    assert [(change.position, change.state) for change in changed.changes] == [(1, "A"), (4, "A")]
    now = await shop.seat_states(theatre.id)
    assert (now.states, now.version) == ("BAAAAA", changed.version)
    assert [found.version for found in (await shop.see(theatre.id)).ticket_types] == [4, 4]


async def test_seats_are_blocked_all_or_none(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAA")
    first, second, third = await shop.seats(theatre.id)
    await shop.hold(theatre, 3)
    with refused("SEAT_TAKEN"):
        await shop.block(organizer, theatre.id, first)
    theatre = await shop.theatre(organizer, "AAA")
    first, second, third = await shop.seats(theatre.id)
    with refused("SEAT_NOT_FOUND"):
        await shop.block(organizer, theatre.id, first, second, third, "seat_of_nobody")
    with refused("SEAT_NOT_FOUND"):
        await shop.unblock(organizer, theatre.id, first, "seat_of_nobody")
    assert (await shop.seat_states(theatre.id)).states == "AAA"
    assert await stock(shop, theatre.id) == [("A", 3, 3, True)]


async def test_blocked_seats_are_listed_with_their_reasons(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAa")
    first, second = await shop.seats(theatre.id, "1-1", "1-2")
    await shop.block(
        organizer,
        theatre.id,
        first,
        reason=seat_pb2.BLOCK_REASON_WHEELCHAIR,
        note="Ramp on the left",
    )
    await shop.block(organizer, theatre.id, second)
    other = seat_pb2.BLOCK_REASON_OTHER
    await shop.block(organizer, theatre.id, second, reason=other, note="Mixer")
    listed = await blocked(shop, organizer, theatre.id)
    assert [(found.seat.number, found.reason, found.note) for found in listed] == [
        ("1", seat_pb2.BLOCK_REASON_WHEELCHAIR, "Ramp on the left"),
        ("2", other, "Mixer"),
        ("3", seat_pb2.BLOCK_REASON_HOUSE, ""),
    ]
    assert listed[0].seat == seat_pb2.AssignedSeat(
        seat_id=first, section="Stalls", row="1", number="1"
    )
    assert await stock(shop, theatre.id) == [("A", 0, 0, True)]
    await shop.unblock(organizer, theatre.id, first)
    assert len(await blocked(shop, organizer, theatre.id)) == 2


async def test_blocked_seats_are_listed_page_by_page(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "aaAaa")
    found, token = [], ""
    while True:
        request = seat_map_service_pb2.ListBlockedSeatsRequest(
            event_id=theatre.id, page_size=3, page_token=token
        )
        page = await shop.public.seat_maps.ListBlockedSeats(request, metadata=organizer.admin)
        found += [blocked.seat.number for blocked in page.blocked_seats]
        token = page.next_page_token
        if not token:
            break
    assert found == ["1", "2", "4", "5"]


@pytest.mark.parametrize("position", ["x", "", "-1", "9" * 10, "²"])
async def test_a_forged_page_token_is_refused(
    shop: Shop, organizer: Organizer, position: str
) -> None:
    theatre = await shop.theatre(organizer, "aa")
    request = seat_map_service_pb2.ListBlockedSeatsRequest(
        event_id=theatre.id, page_token=paging.encode([position], theatre.id)
    )
    with refused("INVALID_PAGE_TOKEN", field="page_token"):
        await shop.public.seat_maps.ListBlockedSeats(request, metadata=organizer.admin)


async def test_a_key_blocks_seats_once(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AA")
    first, second = await shop.seats(theatre.id)
    key = new_key()
    made = await shop.block(organizer, theatre.id, first, idempotency_key=key)
    await shop.unblock(organizer, theatre.id, first)
    again = await shop.block(organizer, theatre.id, first, idempotency_key=key, api=shop.twin)
    assert again == made
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.block(organizer, theatre.id, second, idempotency_key=key)
    assert (await shop.seat_states(theatre.id)).states == "AA"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reason": seat_pb2.BLOCK_REASON_UNSPECIFIED}, "reason"),
        ({"reason": 77}, "reason"),
        ({"note": "x" * 501}, "note"),
    ],
)
async def test_a_block_needs_a_reason(
    shop: Shop, organizer: Organizer, fields: dict[str, Any], field: str
) -> None:
    with refused("INVALID_REQUEST", field=field):
        await shop.block(organizer, "evt", "seat", **fields)


async def test_seats_of_a_stranger_do_not_exist(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "Aa")
    first, second = await shop.seats(theatre.id)
    stranger = shop.organizer()
    hall = await shop.add_hall(stranger, stalls("A"))
    for call in (
        shop.seat_event(stranger, theatre, hall.id),
        shop.block(stranger, theatre.id, first),
        shop.unblock(stranger, theatre.id, second),
        blocked(shop, stranger, theatre.id),
        delete(shop, stranger, theatre.id),
    ):
        assert await outcome(call) == "EVENT_NOT_FOUND"
    assert (await shop.seat_states(theatre.id)).states == "AB"


async def test_a_draft_shows_its_seats_to_its_admins_only(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, stalls("A"))
    draft = await shop.draft(organizer)
    made = await shop.add_type(organizer, draft.id, name="A")
    request = create(draft.id, hall.id, Zone(zone="A", ticket_type_id=made.id))
    await shop.public.seat_maps.CreateSeatMap(request, metadata=organizer.admin)
    superadmin: Metadata = shop.issuer.metadata("", "SUPERADMIN")
    for by in (organizer.admin, organizer.staff, superadmin):
        assert (await shop.seat_states(draft.id, by=by)).states == "A"
        assert (await shop.seat_map(draft.id, by)).event_id == draft.id
    for by in ((), shop.organizer().admin):
        assert await outcome(shop.seat_states(draft.id, by=by)) == "EVENT_NOT_FOUND"
        assert await outcome(shop.seat_map(draft.id, by)) == "EVENT_NOT_FOUND"


async def test_who_waits_gets_unblocked_seats_before_the_public(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "Aa")
    await shop.hold(theatre, 1)
    await join(shop, theatre)
    [_, second] = await shop.seats(theatre.id)
    changed = await shop.unblock(organizer, theatre.id, second)
    assert [(change.position, change.state) for change in changed.changes] == [(1, "H")]
    assert (await shop.seat_states(theatre.id)).states == "HH"
    assert await stock(shop, theatre.id) == [("A", 2, 0, True)]


async def test_who_waits_gets_new_seats_before_the_public(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, stalls("a"))
    published = await shop.on_sale(organizer, {"name": "A"})
    await shop.seat_event(organizer, published, hall.id)
    await join(shop, await shop.see(published.id))
    await shop.import_layout(organizer, hall, stalls("AA"))
    await shop.seat_event(organizer, published, hall.id)
    assert (await shop.seat_states(published.id)).states == "HA"


async def test_admins_who_seat_and_block_at_once_take_turns(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAAAA")
    hall = await shop.add_hall(organizer, stalls("AAAA"))
    seats = await shop.seats(theatre.id)
    apis = (shop.public, shop.twin, shop.hasty)
    found = await asyncio.gather(
        *(
            outcome(shop.block(organizer, theatre.id, seat, api=apis[number % 3]))
            for number, seat in enumerate(seats)
        ),
        outcome(shop.seat_event(organizer, theatre, hall.id, api=shop.twin)),
    )
    assert set(found) <= {"OK", "SEAT_NOT_FOUND"}
    assert (await shop.seat_states(theatre.id)).states == "AAAA"
    assert await stock(shop, theatre.id) == [("A", 4, 4, True)]


async def test_a_seat_map_is_drawn_once_until_the_event_is_seated_anew(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAA")
    other, third = [await shop.theatre(organizer, "AA") for _ in range(2)]
    drawn: list[str] = []

    def render(drawing: Drawing) -> str:
        drawn.append(drawing.seat_map.event_id)
        return f"{len(drawing.seats)} seats"

    drawings = Drawings(render, max_seats=5)

    async def look(of: event_pb2.Event) -> str | None:
        async with shop.database.begin() as tx:
            return await drawings.get(tx, of.id)

    assert [await look(theatre) for _ in range(2)] == ["3 seats"] * 2
    await look(other)
    assert drawn == [theatre.id, other.id]
    hall = await shop.add_hall(organizer, stalls("A"))
    await shop.seat_event(organizer, theatre, hall.id)
    assert [await look(theatre) for _ in range(2)] == ["1 seats"] * 2
    assert drawn[2:] == [theatre.id]
    await delete(shop, organizer, other.id)
    assert await look(other) is None
    await shop.seat_event(organizer, theatre, (await shop.add_hall(organizer, stalls("AAAA"))).id)
    await look(theatre)
    await look(third)  # more than are kept
    assert drawn[3:] == [theatre.id, third.id]
    await look(theatre)
    assert drawn[5:] == [theatre.id]
