"""Venues and their halls: whose they are, how they change, and how many there may be."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from tessera.ticket.v1 import venue_pb2
from tessera.ticket.v1 import venue_service_pb2 as requests

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    layout,
    new_key,
    outcome,
    patch,
    refused,
)
from tests.support.tokens import Metadata


def get_venue(shop: Shop, by: Organizer, venue_id: str) -> Awaitable[venue_pb2.Venue]:
    request = requests.GetVenueRequest(venue_id=venue_id)
    return shop.public.venues.GetVenue(request, metadata=by.admin)


def update_venue(
    shop: Shop, by: Organizer, venue_id: str, **fields: Any
) -> Awaitable[venue_pb2.Venue]:
    request = patch(requests.UpdateVenueRequest, venue_id=venue_id, **fields)
    return shop.public.venues.UpdateVenue(request, metadata=by.admin)


def delete_venue(shop: Shop, by: Organizer, venue_id: str, if_match: str = "") -> Awaitable[object]:
    request = requests.DeleteVenueRequest(venue_id=venue_id, if_match=if_match)
    return shop.public.venues.DeleteVenue(request, metadata=by.admin)


async def list_venues(
    shop: Shop, by: Organizer, size: int = 0, token: str = ""
) -> requests.ListVenuesResponse:
    request = requests.ListVenuesRequest(page_size=size, page_token=token)
    return await shop.public.venues.ListVenues(request, metadata=by.admin)


def get_hall(shop: Shop, by: Organizer, hall: venue_pb2.Hall) -> Awaitable[venue_pb2.Hall]:
    request = requests.GetHallRequest(venue_id=hall.venue_id, hall_id=hall.id)
    return shop.public.venues.GetHall(request, metadata=by.admin)


def update_hall(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, **fields: Any
) -> Awaitable[venue_pb2.Hall]:
    request = patch(requests.UpdateHallRequest, venue_id=hall.venue_id, hall_id=hall.id, **fields)
    return shop.public.venues.UpdateHall(request, metadata=by.admin)


def delete_hall(
    shop: Shop, by: Organizer, hall: venue_pb2.Hall, if_match: str = ""
) -> Awaitable[object]:
    request = requests.DeleteHallRequest(venue_id=hall.venue_id, hall_id=hall.id, if_match=if_match)
    return shop.public.venues.DeleteHall(request, metadata=by.admin)


async def call(shop: Shop, request: Message, by: Metadata | None) -> None:
    """The RPC that takes this request."""
    name = type(request).__name__.removesuffix("Request")
    await getattr(shop.public.venues, name)(request, metadata=by)


def about_venue(venue_id: str) -> list[Message]:
    """Every request that names a venue alone."""
    mask = FieldMask(paths=["name"])
    return [
        requests.GetVenueRequest(venue_id=venue_id),
        requests.UpdateVenueRequest(venue_id=venue_id, name="X", update_mask=mask),
        requests.DeleteVenueRequest(venue_id=venue_id),
        requests.CreateHallRequest(venue_id=venue_id, name="X"),
        requests.ListHallsRequest(venue_id=venue_id),
    ]


def about_hall(venue_id: str, hall_id: str, section_id: str) -> list[Message]:
    """Every request that names a hall."""
    hall: dict[str, Any] = {"venue_id": venue_id, "hall_id": hall_id}
    section: dict[str, Any] = {**hall, "section_id": section_id}
    named: dict[str, Any] = {"name": "X", "update_mask": FieldMask(paths=["name"])}
    return [
        requests.GetHallRequest(**hall),
        requests.UpdateHallRequest(**hall, **named),
        requests.DeleteHallRequest(**hall),
        requests.GetHallLayoutRequest(**hall),
        requests.ImportHallLayoutRequest(**hall),
        requests.CreateSectionRequest(**hall, name="X"),
        requests.GetSectionRequest(**section),
        requests.UpdateSectionRequest(**section, **named),
        requests.DeleteSectionRequest(**section),
    ]


async def test_a_new_venue_is_what_was_sent(shop: Shop, organizer: Organizer) -> None:
    created = await shop.add_venue(organizer, name="Reduta", address="Zelný trh 4, Brno")
    assert created.id.startswith("ven_")
    assert (created.organizer_id, created.name, created.address, created.version) == (
        organizer.id,
        "Reduta",
        "Zelný trh 4, Brno",
        1,
    )
    assert created.created_at == created.updated_at
    assert await get_venue(shop, organizer, created.id) == created


async def test_only_the_fields_sent_change_and_the_version_counts(
    shop: Shop, organizer: Organizer
) -> None:
    created = await shop.add_venue(organizer, name="Reduta", address="Brno")
    renamed = await update_venue(shop, organizer, created.id, name="Redoute")
    assert (renamed.name, renamed.address, renamed.version) == ("Redoute", "Brno", 2)
    homeless = await update_venue(shop, organizer, created.id, address="")
    assert (homeless.name, homeless.address, homeless.version) == ("Redoute", "", 3)
    assert await get_venue(shop, organizer, created.id) == homeless


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
async def test_a_venue_and_a_hall_have_names(shop: Shop, organizer: Organizer, name: str) -> None:
    with refused("INVALID_REQUEST", field="name"):
        await shop.add_venue(organizer, name=name)
    hall = await shop.add_hall(organizer)
    with refused("INVALID_REQUEST", field="name"):
        await update_hall(shop, organizer, hall, name=name)


async def test_a_change_that_has_not_seen_the_last_one_is_refused(
    shop: Shop, organizer: Organizer
) -> None:
    venue = await shop.add_venue(organizer)
    await update_venue(shop, organizer, venue.id, name="B", if_match='"1"')
    with refused("VERSION_MISMATCH"):
        await update_venue(shop, organizer, venue.id, name="C", if_match='"1"')
    with refused("VERSION_MISMATCH"):
        await delete_venue(shop, organizer, venue.id, if_match='"1"')
    await update_venue(shop, organizer, venue.id, name="D", if_match="*")
    await delete_venue(shop, organizer, venue.id, if_match='"3"')
    with refused("VENUE_NOT_FOUND"):
        await get_venue(shop, organizer, venue.id)


async def test_venues_are_listed_in_pages_oldest_first_each_organizers_own(
    shop: Shop, organizer: Organizer
) -> None:
    made = [await shop.add_venue(organizer, name=f"Venue {index}") for index in range(5)]
    other = shop.organizer()
    await shop.add_venue(other)
    first = await list_venues(shop, organizer, 2)
    assert list(first.venues) == made[:2]
    second = await list_venues(shop, organizer, 2, first.next_page_token)
    last = await list_venues(shop, organizer, 2, second.next_page_token)
    assert [*second.venues, *last.venues] == made[2:]
    assert last.next_page_token == ""
    assert list((await list_venues(shop, organizer)).venues) == made
    with refused("INVALID_PAGE_TOKEN"):
        await list_venues(shop, other, 2, first.next_page_token)


async def test_a_new_hall_is_empty(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer)
    assert hall.id.startswith("hall_")
    assert (hall.name, hall.seat_count, hall.version) == ("Main Hall", 0, 1)
    assert await get_hall(shop, organizer, hall) == hall
    assert await shop.layout(organizer, hall) == venue_pb2.HallLayout(version=1)


async def test_a_halls_name_changes_and_its_seats_stay(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {"A": 3}}))
    renamed = await update_hall(shop, organizer, hall, name="Little Hall", if_match='"2"')
    assert (renamed.name, renamed.seat_count, renamed.version) == ("Little Hall", 3, 3)
    with refused("VERSION_MISMATCH"):
        await update_hall(shop, organizer, hall, name="Hall", if_match='"2"')
    assert await get_hall(shop, organizer, hall) == renamed


async def test_halls_are_listed_oldest_first(shop: Shop, organizer: Organizer) -> None:
    first = await shop.add_hall(organizer)
    second = await shop.add_hall(organizer, venue_id=first.venue_id)
    await shop.add_hall(organizer)
    request = requests.ListHallsRequest(venue_id=first.venue_id)
    found = await shop.public.venues.ListHalls(request, metadata=organizer.admin)
    assert list(found.halls) == [first, second]


async def test_a_hall_goes_with_its_seats(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {"A": 3}}))
    [seat, *_] = (await shop.layout(organizer, hall)).sections[0].rows[0].seats
    with refused("VERSION_MISMATCH"):
        await delete_hall(shop, organizer, hall, if_match='"1"')
    await delete_hall(shop, organizer, hall, if_match='"2"')
    with refused("HALL_NOT_FOUND"):
        await get_hall(shop, organizer, hall)
    assert await shop.execute("SELECT id FROM seats WHERE id = :id", id=seat.id) == []
    assert await shop.execute("SELECT name FROM zones WHERE hall_id = :id", id=hall.id) == []


async def test_a_venue_is_deleted_after_its_halls(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer)
    with refused("VENUE_NOT_EMPTY"):
        await delete_venue(shop, organizer, hall.venue_id)
    await delete_hall(shop, organizer, hall)
    await delete_venue(shop, organizer, hall.venue_id)
    with refused("VENUE_NOT_FOUND"):
        await shop.add_hall(organizer, venue_id=hall.venue_id)


async def test_a_hall_that_comes_while_its_venue_goes_stays_or_is_refused(shop: Shop) -> None:
    for _ in range(5):
        organizer = shop.organizer()
        venue = await shop.add_venue(organizer)
        *created, deleted = await asyncio.gather(
            *(outcome(shop.add_hall(organizer, venue_id=venue.id)) for _ in range(3)),
            outcome(delete_venue(shop, organizer, venue.id)),
        )
        assert deleted in ("OK", "VENUE_NOT_EMPTY")
        assert set(created) == {"VENUE_NOT_FOUND" if deleted == "OK" else "OK"}


async def test_what_is_somebody_elses_is_not_there(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {"A": 3}}))
    section_id = (await shop.layout(organizer, hall)).sections[0].id
    stranger = shop.organizer()
    for request in about_venue(hall.venue_id):
        with refused("VENUE_NOT_FOUND"):
            await call(shop, request, stranger.admin)
    their_venue_id = (await shop.add_venue(stranger)).id
    for venue_id in (hall.venue_id, their_venue_id):
        for request in about_hall(venue_id, hall.id, section_id):
            with refused("HALL_NOT_FOUND"):
                await call(shop, request, stranger.admin)
    assert (await shop.layout(organizer, hall)).version == 2


async def test_a_hall_is_found_in_its_own_venue_only(shop: Shop, organizer: Organizer) -> None:
    hall = await shop.add_hall(organizer, layout({"Stalls": {"A": 3}}))
    section_id = (await shop.layout(organizer, hall)).sections[0].id
    elsewhere = (await shop.add_venue(organizer)).id
    for request in about_hall(elsewhere, hall.id, section_id):
        with refused("HALL_NOT_FOUND"):
            await call(shop, request, organizer.admin)


async def test_the_door_staff_and_the_public_do_not_see_venues(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer)
    for request in (
        requests.ListVenuesRequest(),
        requests.CreateVenueRequest(name="X"),
        *about_venue(hall.venue_id),
        *about_hall(hall.venue_id, hall.id, "sec_1"),
    ):
        with refused("ROLE_NOT_ALLOWED"):
            await call(shop, request, organizer.staff)
        with refused("TOKEN_MISSING"):
            await call(shop, request, None)


async def test_an_organizer_has_at_most_1000_venues(shop: Shop, organizer: Organizer) -> None:
    await shop.execute(
        "INSERT INTO venues (id, organizer_id, name, address) "
        "SELECT 'ven_' || :organizer || i, :organizer, 'Reduta', '' FROM generate_series(1, 999) i",
        organizer=organizer.id,
    )
    last = await asyncio.gather(*(outcome(shop.add_venue(organizer)) for _ in range(5)))
    assert sorted(last) == ["OK"] + ["TOO_MANY_VENUES"] * 4


async def test_a_venue_has_at_most_100_halls(shop: Shop, organizer: Organizer) -> None:
    venue = await shop.add_venue(organizer)
    await shop.execute(
        "INSERT INTO halls (id, venue_id, name) "
        "SELECT 'hall_' || :venue || i, :venue, 'Hall' FROM generate_series(1, 99) i",
        venue=venue.id,
    )
    last = await asyncio.gather(
        *(outcome(shop.add_hall(organizer, venue_id=venue.id)) for _ in range(5))
    )
    assert sorted(last) == ["OK"] + ["TOO_MANY_HALLS"] * 4


async def test_the_same_key_and_request_make_one_venue_and_one_hall(
    shop: Shop, organizer: Organizer
) -> None:
    key = new_key()
    venue = await shop.add_venue(organizer, idempotency_key=key)
    await update_venue(shop, organizer, venue.id, name="Changed since")
    assert await shop.add_venue(organizer, idempotency_key=key) == venue
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.add_venue(organizer, name="Another", idempotency_key=key)
    request = requests.CreateHallRequest(venue_id=venue.id, name="Hall", idempotency_key=new_key())
    hall = await shop.public.venues.CreateHall(request, metadata=organizer.admin)
    assert await shop.twin.venues.CreateHall(request, metadata=organizer.admin) == hall
    listed = requests.ListHallsRequest(venue_id=venue.id)
    found = await shop.public.venues.ListHalls(listed, metadata=organizer.admin)
    assert list(found.halls) == [hall]
