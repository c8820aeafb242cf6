"""A hall's seats as one document: brought, taken along, brought again."""

import asyncio
from math import nan

import pytest
from tessera.ticket.v1 import seat_pb2, venue_pb2
from tessera.ticket.v1 import venue_service_pb2 as requests

from kit.rpc_errors import RemoteError
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    layout,
    outcome,
    refused,
    row,
)
from ticket_service.venues import domain, store

THEATRE = {"Stalls": {"A": 4, "B": 5}, "Balcony": {"A": 3}}


def ids(of: venue_pb2.HallLayout) -> dict[tuple[str, ...], str]:
    """Every id, by where it is."""
    return {(section.name,): section.id for section in of.sections} | {
        (section.name, found.name, seat.number): seat.id
        for section in of.sections
        for found in section.rows
        for seat in found.seats
    }


def without_ids(of: venue_pb2.HallLayout) -> venue_pb2.HallLayout:
    """All but what Tessera gives."""
    copy = venue_pb2.HallLayout(zones=of.zones, sections=of.sections)
    for section in copy.sections:
        section.ClearField("id")
        section.ClearField("version")
        for found in section.rows:
            for seat in found.seats:
                seat.ClearField("id")
    return copy


def opera() -> venue_pb2.HallLayout:
    """A layout in which nothing is as it is by default, and nothing is in the order of its name."""
    given = layout(
        {"Stalls": {"B": 3, "A": 2}, "Empty": {}, "Balcony": {"II": 0, "I": 10}}, ["Gold", "Azure"]
    )
    given.zones[0].color = "#FFD700"
    stalls, _, balcony = given.sections
    stalls.rows[0].rank, stalls.rows[1].rank = -5, 2**31 - 1
    balcony.rows[1].zone = ""
    for seat in balcony.rows[1].seats:
        seat.zone = "Azure"
    seats = stalls.rows[0].seats
    seats[0].number, seats[1].number, seats[2].number = "12", "11 ½", "10 levé"
    seats[0].x, seats[0].y, seats[1].x = 0.1 + 0.2, -1e-9, 1e300
    seats[1].aisle = True
    for seat, reason in zip(balcony.rows[1].seats, seat_pb2.BlockReason.values(), strict=False):
        seat.block_reason = reason
    return given


async def test_what_is_brought_is_kept_to_the_last_digit(shop: Shop, organizer: Organizer) -> None:
    hall, given = await shop.add_hall(organizer), opera()
    answer = await shop.import_layout(organizer, hall, given)
    assert without_ids(answer) == given
    assert answer.version == 2
    assert {section.version for section in answer.sections} == {2}
    assert await shop.layout(organizer, hall) == answer
    request = requests.GetHallRequest(venue_id=hall.venue_id, hall_id=hall.id)
    found = await shop.public.venues.GetHall(request, metadata=organizer.admin)
    assert (found.seat_count, found.version) == (15, 2)


async def test_every_section_and_seat_gets_an_id(shop: Shop, organizer: Organizer) -> None:
    found = ids(await shop.import_layout(organizer, await shop.add_hall(organizer), opera()))
    assert len(found) == len(set(found.values())) == 3 + 15
    for place, new in found.items():
        assert new.startswith("sec_" if len(place) == 1 else "seat_")


async def test_what_was_exported_is_brought_again_and_changes_nothing(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, opera())
    exported = await shop.layout(organizer, hall)
    again = await shop.import_layout(organizer, hall, exported)
    assert (ids(again), without_ids(again)) == (ids(exported), without_ids(exported))
    assert again.version == exported.version + 1
    assert await shop.layout(organizer, hall) == again


async def test_what_was_exported_can_be_brought_to_another_hall(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, opera())
    exported = await shop.layout(organizer, hall)
    stranger = shop.organizer()
    theirs = await shop.import_layout(stranger, await shop.add_hall(stranger), exported)
    assert without_ids(theirs) == without_ids(exported)
    assert not set(ids(theirs).values()) & set(ids(exported).values())
    assert await shop.layout(organizer, hall) == exported


async def test_a_seat_that_stays_keeps_its_id_and_the_rest_is_new_or_gone(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout(THEATRE))
    before = await shop.layout(organizer, hall)
    given = layout({"Balcony": {"A": 3}, "Stalls": {"C": 5, "A": 6}})
    given.sections[0].rows[0].seats[0].x = 99
    after = await shop.import_layout(organizer, hall, given)
    old, new = ids(before), ids(after)
    kept = set(old) & set(new)
    assert kept == {("Stalls",), ("Balcony",)} | {
        (section, "A", str(number))
        for section, last in (("Stalls", 4), ("Balcony", 3))
        for number in range(1, last + 1)
    }
    assert all(old[place] == new[place] for place in kept)
    assert not {new[place] for place in new if place not in kept} & set(old.values())
    assert await shop.layout(organizer, hall) == after
    assert after.sections[0].rows[0].seats[0].x == 99


async def test_ids_that_are_not_the_seats_own_are_not_looked_at(
    shop: Shop, organizer: Organizer
) -> None:
    hall, given = await shop.add_hall(organizer, layout(THEATRE)), layout(THEATRE)
    before = await shop.layout(organizer, hall)
    swapped = before.sections[0].rows[0].seats
    given.sections[0].rows[0].seats[0].id = swapped[1].id
    given.sections[0].rows[0].seats[1].id = swapped[0].id
    given.sections[1].id = "sec_mine"
    assert ids(await shop.import_layout(organizer, hall, given)) == ids(before)
    stranger = shop.organizer()
    theirs = await shop.import_layout(stranger, await shop.add_hall(stranger), given)
    assert not set(ids(theirs).values()) & {"sec_mine", *ids(before).values()}


async def test_a_bad_layout_is_refused_as_a_whole_with_every_place_named(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout(THEATRE))
    before = await shop.layout(organizer, hall)
    bad = layout({"A": {"1": 2}, "B": {"1": 2}, "C": {"1": 15}})
    bad.zones.add(name="Gold", color="gold")
    bad.sections[2].rows[0].seats[14].number = "3"
    bad.sections[1].rows[0].seats[1].x = nan
    with pytest.raises(RemoteError) as caught:
        await shop.import_layout(organizer, hall, bad)
    assert caught.value.reason == "INVALID_LAYOUT"
    assert [(each.field, each.description) for each in caught.value.violations] == [
        ("zones[1].color", "must be written like #c0392b, or empty"),
        ("sections[1].rows[0].seats[1].x", "must be a finite number"),
        ("sections[2].rows[0].seats[14].number", "is used twice in this row"),
    ]
    assert await shop.layout(organizer, hall) == before


async def test_a_list_has_its_limit_before_anything_looks_at_its_elements(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer)
    for bad, field in (
        (layout({"A": {"1": 1001}}), "sections[0].rows[0].seats"),
        (layout({"A": {str(number): 0 for number in range(501)}}), "sections[0].rows"),
        (layout({str(number): {} for number in range(501)}), "sections"),
        (layout({}, [str(number) for number in range(101)]), "zones"),
    ):
        with refused("INVALID_REQUEST", field=field):
            await shop.import_layout(organizer, hall, bad)
    assert (await shop.layout(organizer, hall)).version == 1


async def test_a_name_that_cannot_be_stored_is_refused(shop: Shop, organizer: Organizer) -> None:
    hall, bad = await shop.add_hall(organizer), layout(THEATRE)
    bad.sections[1].rows[0].seats[2].number = "3\0"
    with refused("INVALID_REQUEST", field="sections[1].rows[0].seats[2].number"):
        await shop.import_layout(organizer, hall, bad)


async def test_a_reason_from_a_newer_client_blocks_the_seat_too(
    shop: Shop, organizer: Organizer
) -> None:
    hall, given = await shop.add_hall(organizer), layout({"A": {"1": 1}})
    given.sections[0].rows[0].seats[0].block_reason = 99  # type: ignore[assignment]
    [seat] = (await shop.import_layout(organizer, hall, given)).sections[0].rows[0].seats
    assert seat.block_reason == seat_pb2.BLOCK_REASON_OTHER


async def test_a_layout_that_has_not_seen_the_last_change_is_refused(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout(THEATRE))
    before = await shop.layout(organizer, hall)
    with refused("VERSION_MISMATCH"):
        await shop.import_layout(organizer, hall, layout({}), if_match='"1"')
    assert await shop.layout(organizer, hall) == before
    stale = layout({"A": {"1": 1}})
    stale.version = 1  # the document's version is no condition
    assert (await shop.import_layout(organizer, hall, stale, if_match='"2"')).version == 3
    assert len((await shop.layout(organizer, hall)).sections) == 1


async def test_a_document_without_seats_does_not_empty_a_hall(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout(THEATRE))
    before = await shop.layout(organizer, hall)
    with refused("INVALID_LAYOUT", field="sections"):
        await shop.import_layout(organizer, hall, layout({}))
    assert await shop.layout(organizer, hall) == before
    bare = await shop.add_hall(organizer)
    assert (await shop.import_layout(organizer, bare, layout({}))).sections == []


async def test_of_two_who_saw_the_same_layout_one_changes_it(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout(THEATRE))
    outcomes = await asyncio.gather(
        *(
            outcome(shop.import_layout(organizer, hall, layout({"A": {"1": n}}), if_match='"2"'))
            for n in range(1, 6)
        )
    )
    assert sorted(outcomes) == ["OK"] + ["VERSION_MISMATCH"] * 4


async def test_a_layout_is_not_changed_while_it_is_read(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({"A": {"1": 2}}))
    async with shop.database.begin() as tx:
        assert await store.share_hall(tx, organizer.id, hall.id)
        other = layout({"B": {"1": 1}})
        bringing = asyncio.create_task(shop.import_layout(organizer, hall, other))
        await eventually(lambda: _somebody_waits(shop))
        found = await store.read_layout(tx, hall.id)
        assert domain.Size.of(found.sections).seats == 2
    assert (await bringing).version == 3


async def _somebody_waits(shop: Shop) -> bool:
    found = await shop.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
    return bool(found)


async def test_a_reader_sees_a_layout_as_it_was_at_some_version(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, layout({"A": {"1": 2}}))

    async def bring() -> None:
        for version in range(3, 23):
            await shop.import_layout(organizer, hall, layout({"A": {"1": version}}))

    bringing = asyncio.create_task(bring())
    while not bringing.done():
        for found in await asyncio.gather(*(shop.layout(organizer, hall) for _ in range(4))):
            assert len(found.sections[0].rows[0].seats) == found.version
    await bringing


async def test_the_largest_hall_fits_into_one_message(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer)
    given = layout({f"Section {index}": {} for index in range(50)})
    for section in given.sections:
        section.rows.append(row("1", 1000, zone="Standard"))
        for seat in section.rows[0].seats:
            seat.x, seat.y = 1 / 3, 1e5 / 3
    answer = await shop.import_layout(organizer, hall, given)
    assert await shop.layout(organizer, hall) == answer
    given.sections.add(name="One", rows=[row("1", 1, zone="Standard")])
    with refused("INVALID_LAYOUT", field="sections"):
        await shop.import_layout(organizer, hall, given)
