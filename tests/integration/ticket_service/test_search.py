"""Finding events: by words, dates, state and organizer, page by page."""

from typing import Any

import pytest
from tessera.ticket.v1 import event_pb2, event_service_pb2

from kit import paging
from tests.integration.ticket_service.support import Organizer, Shop, days_ahead, refused
from tests.support.tokens import Metadata


async def page(shop: Shop, by: Metadata = (), **fields: Any) -> tuple[list[event_pb2.Event], str]:
    request = event_service_pb2.ListEventsRequest(**fields)
    answer = await shop.public.events.ListEvents(request, metadata=by)
    return list(answer.events), answer.next_page_token


async def ids(shop: Shop, by: Metadata = (), **fields: Any) -> list[str]:
    return [found.id for found in (await page(shop, by, **fields))[0]]


async def on(shop: Shop, organizer: Organizer, day: float, **fields: Any) -> event_pb2.Event:
    times = {"starts_at": days_ahead(day), "ends_at": days_ahead(day + 0.1)}
    return await shop.on_sale(organizer, **{**times, **fields})


async def test_events_come_soonest_first_with_their_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    late, soon = await on(shop, organizer, 20), await on(shop, organizer, 10)
    found, token = await page(shop, organizer_id=organizer.id)
    assert found == [soon, late]
    assert [kind.remaining for kind in found[0].ticket_types] == [10]
    assert token == ""


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("", True),
        ("strings", True),
        ("STRINGS night", True),
        ("janáček brno", True),
        ("strings vienna", False),
        ("100%", True),
        ("100_", False),
        ("%", True),
        ("_", False),
        ("\\", False),
        ("' OR 1=1 --", False),
    ],
)
async def test_every_word_must_be_in_the_title_description_or_location(
    shop: Shop, organizer: Organizer, query: str, matches: bool
) -> None:
    published = await shop.on_sale(organizer, description="Dvořák and Janáček, 100% live")
    found = await ids(shop, query=query, organizer_id=organizer.id)
    assert found == ([published.id] if matches else [])


async def test_dates_bound_the_start_from_and_until(shop: Shop, organizer: Organizer) -> None:
    events = [await on(shop, organizer, day) for day in (1, 2, 3)]
    first, second, third = (found.starts_at for found in events)
    mine: dict[str, Any] = {"organizer_id": organizer.id}
    assert await ids(shop, starts_after=second, **mine) == [events[1].id, events[2].id]
    assert await ids(shop, starts_before=second, **mine) == [events[0].id]
    assert await ids(shop, starts_after=first, starts_before=third, **mine) == [
        events[0].id,
        events[1].id,
    ]


async def test_drafts_are_listed_for_their_admins_only(shop: Shop, organizer: Organizer) -> None:
    draft, published = await shop.draft(organizer), await shop.on_sale(organizer)
    mine: dict[str, Any] = {"organizer_id": organizer.id}
    assert set(await ids(shop, organizer.admin, **mine)) == {draft.id, published.id}
    superadmin = shop.issuer.metadata("", "SUPERADMIN")
    assert set(await ids(shop, superadmin, **mine)) == {draft.id, published.id}
    for stranger in ((), shop.organizer().admin):
        assert await ids(shop, stranger, **mine) == [published.id]
        assert await ids(shop, stranger, state=event_pb2.EVENT_STATE_DRAFT, **mine) == []
    assert await ids(shop, organizer.admin, state=event_pb2.EVENT_STATE_DRAFT, **mine) == [draft.id]


async def test_what_was_called_off_is_listed_where_it_is_asked_for(
    shop: Shop, organizer: Organizer
) -> None:
    cancelled = await shop.on_sale(organizer)
    await shop.cancel(organizer, cancelled.id)
    mine: dict[str, Any] = {"organizer_id": organizer.id}
    assert await ids(shop, **mine) == []
    assert await ids(shop, state=event_pb2.EVENT_STATE_CANCELLED, **mine) == [cancelled.id]


async def test_pages_show_each_event_once_though_others_come_and_go(
    shop: Shop, organizer: Organizer
) -> None:
    same_day = days_ahead(5)
    times = {"starts_at": same_day, "ends_at": days_ahead(6)}  # the id decides
    events = [await shop.on_sale(organizer, **times) for _ in range(5)]
    mine: dict[str, Any] = {"organizer_id": organizer.id, "page_size": 2}
    first, token = await page(shop, **mine)
    assert first == events[:2]
    await on(shop, organizer, 4)  # before where the page ended: not on the next one
    await shop.cancel(organizer, events[0].id)
    await shop.cancel(organizer, events[3].id)
    later = await on(shop, organizer, 7)
    second, token = await page(shop, page_token=token, **mine)
    assert second == [events[2], events[4]]
    assert await page(shop, page_token=token, **mine) == ([later], "")


async def test_a_page_that_holds_the_last_event_has_no_next(
    shop: Shop, organizer: Organizer
) -> None:
    for _ in range(2):
        await shop.on_sale(organizer)
    found, token = await page(shop, organizer_id=organizer.id, page_size=2)
    assert (len(found), token) == (2, "")


@pytest.mark.parametrize("size", [-1, 201])
async def test_a_page_size_out_of_bounds_is_refused(shop: Shop, size: int) -> None:
    with refused("INVALID_REQUEST", field="page_size"):
        await page(shop, page_size=size)


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "bm9uc2Vuc2U=",
        paging.encode(["2026-01-01 00:00:00+00:00"], "||None|None||"),
        paging.encode(["2026-01-01 00:00:00+00:00", "evt_1"], "another question"),
        paging.encode(["not a time", "evt_1"], "|None|None||"),
        paging.encode(["2026-01-01 00:00:00", "evt_1"], "|None|None||"),
        paging.encode(["2026-01-01 00:00:00+00:00", "\0"], "|None|None||"),
        paging.encode(["2026-01-01 00:00:00+00:00", "\ud800"], "|None|None||"),
    ],
)
async def test_a_page_token_of_ones_own_making_is_refused(shop: Shop, token: str) -> None:
    with refused("INVALID_PAGE_TOKEN", field="page_token"):
        await page(shop, page_token=token)


async def test_a_page_token_belongs_to_its_question(shop: Shop, organizer: Organizer) -> None:
    for _ in range(2):
        await shop.on_sale(organizer)
    _, token = await page(shop, organizer_id=organizer.id, page_size=1)
    with refused("INVALID_PAGE_TOKEN"):
        await page(shop, organizer_id=organizer.id, query="strings", page_token=token)
