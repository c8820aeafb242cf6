"""Sections one by one: added, changed and taken out, each time as a change of their hall."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from tessera.ticket.v1 import venue_pb2
from tessera.ticket.v1 import venue_service_pb2 as requests

from kit.rpc_errors import RemoteError
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    layout,
    new_key,
    outcome,
    patch,
    refused,
    row,
)
from ticket_service.venues import domain, store

THEATRE = {"Stalls": {"A": 4, "B": 5}, "Balcony": {"A": 3}}


def create(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, name: str, *rows: venue_pb2.Row, **rest: Any
) -> Awaitable[venue_pb2.Section]:
    request = requests.CreateSectionRequest(
        venue_id=hall.venue_id, hall_id=hall.id, name=name, rows=rows, **rest
    )
    return shop.public.venues.CreateSection(request, metadata=by.admin)


def get(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, section_id: str
) -> Awaitable[venue_pb2.Section]:
    request = requests.GetSectionRequest(
        venue_id=hall.venue_id, hall_id=hall.id, section_id=section_id
    )
    return shop.public.venues.GetSection(request, metadata=by.admin)


def update(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, section_id: str, **fields: Any
) -> Awaitable[venue_pb2.Section]:
    request = patch(
        requests.UpdateSectionRequest,
        venue_id=hall.venue_id,
        hall_id=hall.id,
        section_id=section_id,
        **fields,
    )
    return shop.public.venues.UpdateSection(request, metadata=by.admin)


def delete(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, section_id: str, if_match: str = ""
) -> Awaitable[object]:
    request = requests.DeleteSectionRequest(
        venue_id=hall.venue_id, hall_id=hall.id, section_id=section_id, if_match=if_match
    )
    return shop.public.venues.DeleteSection(request, metadata=by.admin)


async def see_hall(shop: Shop, by: Organizer, hall: venue_pb2.Hall) -> tuple[int, int]:
    """How many seats a hall says it has, and its version."""
    request = requests.GetHallRequest(venue_id=hall.venue_id, hall_id=hall.id)
    found = await shop.public.venues.GetHall(request, metadata=by.admin)
    return found.seat_count, found.version


def seat_ids(of: venue_pb2.Section) -> dict[tuple[str, str], str]:
    return {(line.name, seat.number): seat.id for line in of.rows for seat in line.seats}


@pytest.fixture
async def hall(shop: Shop, organizer: Organizer) -> venue_pb2.Hall:
    """A theatre of 12 seats, at version 2."""
    return await shop.add_hall(organizer, layout(THEATRE))


async def test_a_new_section_comes_last_and_counts_in_its_hall(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    made = await create(shop, organizer, hall, "Annex", row("A", 7, zone="Standard", rank=3))
    assert made.id.startswith("sec_")
    assert (made.name, len(made.rows[0].seats), made.version) == ("Annex", 7, 3)
    assert await get(shop, organizer, hall, made.id) == made
    assert await see_hall(shop, organizer, hall) == (19, 3)
    found = (await shop.layout(organizer, hall)).sections
    assert [section.name for section in found] == ["Stalls", "Balcony", "Annex"]
    assert found[2] == made


async def test_a_hall_can_be_built_section_by_section(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({}))  # which has a zone
    for name in ("C", "A", "B"):
        await create(shop, organizer, hall, name, row("1", 2, zone="Standard"))
    assert [found.name for found in (await shop.layout(organizer, hall)).sections] == [*"CAB"]
    assert await see_hall(shop, organizer, hall) == (6, 5)


async def test_a_renamed_section_keeps_its_place_its_seats_and_their_ids(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    before = await shop.layout(organizer, hall)
    section_id = before.sections[0].id
    renamed = await update(shop, organizer, hall, section_id, name="Parterre")
    assert (renamed.id, renamed.name, renamed.version) == (section_id, "Parterre", 3)
    after = await shop.layout(organizer, hall)
    assert [section.name for section in after.sections] == ["Parterre", "Balcony"]
    assert after.sections[0] == renamed
    assert after.sections[0].rows == before.sections[0].rows
    assert await see_hall(shop, organizer, hall) == (12, 3)


async def test_rows_are_replaced_and_seats_keep_their_ids_by_row_and_number(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    before = (await shop.layout(organizer, hall)).sections[0]
    rows = [row("C", 1, zone="Standard"), row("A", 6, zone="Standard")]
    changed = await update(shop, organizer, hall, before.id, rows=rows)
    old, new = seat_ids(before), seat_ids(changed)
    assert {place for place in new if new[place] in old.values()} == {
        ("A", str(number)) for number in range(1, 5)
    }
    assert all(old[place] == new[place] for place in set(old) & set(new))
    assert await get(shop, organizer, hall, before.id) == changed
    assert await see_hall(shop, organizer, hall) == (3 + 7, 3)


async def test_only_what_is_sent_changes(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    before = (await shop.layout(organizer, hall)).sections[0]
    same = await update(shop, organizer, hall, before.id)
    assert (same.name, same.rows) == (before.name, before.rows)
    both = await update(shop, organizer, hall, before.id, name="X", rows=before.rows[:1])
    assert (both.name, list(both.rows)) == ("X", list(before.rows[:1]))
    emptied = await update(shop, organizer, hall, before.id, rows=[])
    assert (emptied.name, len(emptied.rows)) == ("X", 0)
    assert await see_hall(shop, organizer, hall) == (3, 5)
    with refused("FIELD_NOT_CHANGEABLE", field="hall_id"):
        await update(shop, organizer, hall, before.id, null=("hall_id",))


async def test_a_section_goes_with_its_seats(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    stalls, balcony = (await shop.layout(organizer, hall)).sections
    await delete(shop, organizer, hall, stalls.id)
    after = await shop.layout(organizer, hall)
    assert [section.rows for section in after.sections] == [balcony.rows]
    assert await see_hall(shop, organizer, hall) == (3, 3)
    for call in (
        get(shop, organizer, hall, stalls.id),
        update(shop, organizer, hall, stalls.id, name="X"),
        delete(shop, organizer, hall, stalls.id),
    ):
        with refused("SECTION_NOT_FOUND"):
            await call


async def test_a_section_is_found_in_its_own_hall_only(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    other = await shop.add_hall(organizer, layout(THEATRE), hall.venue_id)
    theirs = (await shop.layout(organizer, other)).sections[0].id
    for call in (
        get(shop, organizer, hall, theirs),
        update(shop, organizer, hall, theirs, name="X"),
        delete(shop, organizer, hall, theirs),
    ):
        with refused("SECTION_NOT_FOUND"):
            await call
    assert (await get(shop, organizer, other, theirs)).name == "Stalls"


async def test_the_condition_of_a_change_is_about_the_hall(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    stalls, balcony = (await shop.layout(organizer, hall)).sections
    changed = await update(shop, organizer, hall, stalls.id, name="A", if_match='"2"')
    for call in (
        update(shop, organizer, hall, balcony.id, name="B", if_match='"2"'),
        delete(shop, organizer, hall, balcony.id, if_match='"2"'),
    ):
        with refused("VERSION_MISMATCH"):
            await call
    await delete(shop, organizer, hall, balcony.id, if_match=f'"{changed.version}"')


async def test_a_section_that_does_not_fit_is_refused_with_every_place_named(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    bad = (row("1", 15, zone="Standard"), row("1", 1, zone="Gold"))
    bad[0].seats[14].number = "7"
    stalls = (await shop.layout(organizer, hall)).sections[0].id
    for call in (
        create(shop, organizer, hall, "Balcony", *bad),
        update(shop, organizer, hall, stalls, name="Balcony", rows=bad),
    ):
        with pytest.raises(RemoteError) as caught:
            await call
        assert caught.value.reason == "INVALID_LAYOUT"
        assert [(each.field, each.description) for each in caught.value.violations] == [
            ("name", "is used twice in this hall"),
            ("rows[1].name", "is used twice in this section"),
            ("rows[0].seats[14].number", "is used twice in this row"),
            ("rows[1].zone", "is not one of the hall's zones"),
        ]
    assert await see_hall(shop, organizer, hall) == (12, 2)


async def test_of_sections_that_want_one_name_one_gets_it(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    outcomes = await asyncio.gather(
        *(outcome(create(shop, organizer, hall, "Annex")) for _ in range(5))
    )
    assert sorted(outcomes) == ["INVALID_LAYOUT"] * 4 + ["OK"]


async def test_sections_count_towards_the_limits_of_their_hall(
    shop: Shop, organizer: Organizer
) -> None:
    full = layout({"A": {str(number): 100 for number in range(499)}})
    full.sections.add(name="B", rows=[row("1", 99, zone="Standard")])
    hall = await shop.add_hall(organizer, full)
    await create(shop, organizer, hall, "C", row("1", 1, zone="Standard"))
    with refused("INVALID_LAYOUT", field="rows"):
        await create(shop, organizer, hall, "D", row("1", 1, zone="Standard"))
    sections = (await shop.layout(organizer, hall)).sections
    with refused("INVALID_LAYOUT", field="rows"):
        await update(shop, organizer, hall, sections[2].id, rows=[row("1", 2, zone="Standard")])
    await update(shop, organizer, hall, sections[2].id, rows=[row("2", 1, zone="Standard")])


async def test_a_hall_has_at_most_500_sections(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({str(number): {} for number in range(500)}))
    with refused("TOO_MANY_SECTIONS"):
        await create(shop, organizer, hall, "One more")
    last = (await shop.layout(organizer, hall)).sections[499]
    await update(shop, organizer, hall, last.id, name="Last")


async def test_the_database_measures_a_hall_as_the_rules_do(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    await create(
        shop, organizer, hall, "Žebřík", row("ř", 2, zone="Standard"), row("š", 0, zone="")
    )
    async with shop.database.begin() as tx:
        found = await store.read_layout(tx, hall.id)
        rest = await store.read_rest(tx, hall.id)
        beside = await store.read_rest(tx, hall.id, found.sections[2].id)
    assert rest.size == domain.Size.of(found.sections)
    assert rest.section_names == {"Stalls", "Balcony", "Žebřík"}
    assert rest.zones == {"Standard"}
    assert beside.size == domain.Size.of(found.sections[:2])
    assert beside.section_names == {"Stalls", "Balcony"}


async def test_the_same_key_and_request_make_one_section(
    shop: Shop, organizer: Organizer, hall: venue_pb2.Hall
) -> None:
    key = new_key()
    made = await create(shop, organizer, hall, "Annex", idempotency_key=key)
    await update(shop, organizer, hall, made.id, name="Changed since")
    assert await create(shop, organizer, hall, "Annex", idempotency_key=key) == made
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await create(shop, organizer, hall, "Other", idempotency_key=key)
    assert (await see_hall(shop, organizer, hall))[1] == 4
