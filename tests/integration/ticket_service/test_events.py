"""An event's life: created, changed, published, called off, deleted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tessera.ticket.v1 import event_pb2, event_service_pb2

from kit import idempotency
from tests.integration.ticket_service.lines import join, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    event,
    new_key,
    outcome,
    patch,
    refused,
    timestamp,
)
from ticket_service.catalog import operations
from ticket_service.tables import metadata


async def get(shop: Shop, event_id: str, **call: Any) -> event_pb2.Event:
    request = event_service_pb2.GetEventRequest(event_id=event_id)
    return await shop.public.events.GetEvent(request, **call)


async def update(shop: Shop, by: Organizer, event_id: str, **fields: Any) -> event_pb2.Event:
    request = patch(event_service_pb2.UpdateEventRequest, event_id=event_id, **fields)
    changed: event_pb2.Event = await shop.public.events.UpdateEvent(request, metadata=by.admin)
    return changed


async def delete(shop: Shop, by: Organizer, event_id: str, if_match: str = "") -> None:
    request = event_service_pb2.DeleteEventRequest(event_id=event_id, if_match=if_match)
    await shop.public.events.DeleteEvent(request, metadata=by.admin)


async def unpublish(shop: Shop, by: Organizer, event_id: str) -> event_pb2.Event:
    request = event_service_pb2.UnpublishEventRequest(event_id=event_id)
    return await shop.public.events.UnpublishEvent(request, metadata=by.admin)


async def test_a_new_event_is_a_draft_with_what_was_sent(shop: Shop, organizer: Organizer) -> None:
    request = event(title="Tosca", time_zone="Asia/Kathmandu", currency_code="JPY")
    created = await shop.public.events.CreateEvent(request, metadata=organizer.admin)
    assert created.id.startswith("evt_")
    assert created.organizer_id == organizer.id
    assert created.state == event_pb2.EVENT_STATE_DRAFT
    assert (created.title, created.time_zone, created.currency_code, created.version) == (
        "Tosca",
        "Asia/Kathmandu",
        "JPY",
        1,
    )
    assert created.starts_at == request.starts_at
    assert await get(shop, created.id, metadata=organizer.admin) == created


async def test_the_time_zone_is_utc_where_none_is_sent(shop: Shop, organizer: Organizer) -> None:
    assert (await shop.draft(organizer, time_zone="")).time_zone == "UTC"


@pytest.mark.parametrize(
    ("fields", "reason", "field"),
    [
        ({"title": ""}, "INVALID_REQUEST", "title"),
        ({"title": " \t"}, "INVALID_REQUEST", "title"),
        ({"title": "x" * 201}, "INVALID_REQUEST", "title"),
        ({"title": "a\0b"}, "INVALID_REQUEST", "title"),
        ({"description": "x" * 20_001}, "INVALID_REQUEST", "description"),
        ({"starts_at": None}, "INVALID_REQUEST", "starts_at"),
        ({"ends_at": days_ahead(29)}, "INVALID_EVENT_TIMES", "ends_at"),
        ({"starts_at": days_ahead(9), "ends_at": days_ahead(9)}, "INVALID_EVENT_TIMES", "ends_at"),
        ({"time_zone": "Middle-earth/Shire"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"time_zone": "Europe"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"time_zone": "localtime"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"currency_code": ""}, "INVALID_REQUEST", "currency_code"),
        ({"currency_code": "eur"}, "INVALID_REQUEST", "currency_code"),
        ({"currency_code": "XYZ"}, "UNKNOWN_CURRENCY", "currency_code"),
        ({"idempotency_key": "k" * 256}, "INVALID_REQUEST", "idempotency_key"),
    ],
)
async def test_bad_input_is_refused_and_the_field_is_named(
    shop: Shop, organizer: Organizer, fields: dict[str, Any], reason: str, field: str
) -> None:
    with refused(reason, field=field):
        await shop.draft(organizer, **fields)


async def test_a_time_beyond_the_calendar_is_refused(shop: Shop, organizer: Organizer) -> None:
    beyond = timestamp(datetime.max.replace(tzinfo=UTC))
    beyond.seconds += 1
    with refused("INVALID_TIME"):
        await shop.draft(organizer, ends_at=beyond)


@pytest.mark.parametrize("role", ["STAFF", "SUPERADMIN"])
async def test_only_an_organizers_admin_creates_events(shop: Shop, role: str) -> None:
    organizer_id = "" if role == "SUPERADMIN" else "org_x"
    with refused("ROLE_NOT_ALLOWED"):
        caller = shop.issuer.metadata(organizer_id, role)
        await shop.public.events.CreateEvent(event(), metadata=caller)
    with refused("TOKEN_MISSING"):
        await shop.public.events.CreateEvent(event())


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ({"exp": 1}, "TOKEN_EXPIRED"),
        ({"aud": "elsewhere"}, "INVALID_TOKEN"),
        ({"iss": "elsewhere"}, "INVALID_TOKEN"),
        ({"role": "EMPEROR"}, "INVALID_TOKEN"),
        ({"headers": {"typ": "JWT"}}, "INVALID_TOKEN"),
        ({"headers": {"kid": "another"}}, "INVALID_TOKEN"),
    ],
)
async def test_a_token_that_is_not_valid_opens_nothing_not_even_what_is_public(
    shop: Shop, organizer: Organizer, spoiled: dict[str, Any], reason: str
) -> None:
    public = await shop.on_sale(organizer)
    token = shop.issuer.mint(organizer.id, **spoiled)
    with refused(reason):
        await get(shop, public.id, metadata=(("authorization", f"Bearer {token}"),))


async def test_a_draft_is_seen_by_its_admins_and_the_superadmin_only(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    for seer in (organizer.admin, organizer.staff, shop.issuer.metadata("", "SUPERADMIN")):
        assert (await get(shop, draft.id, metadata=seer)).id == draft.id
    for stranger in ((), shop.organizer().admin):
        with refused("EVENT_NOT_FOUND"):
            await get(shop, draft.id, metadata=stranger)
    with refused("EVENT_NOT_FOUND"):
        await get(shop, "evt_none")


async def test_somebody_elses_event_is_not_found_for_every_change(
    shop: Shop, organizer: Organizer
) -> None:
    published, other = await shop.on_sale(organizer), shop.organizer()
    ticket_type_id = published.ticket_types[0].id
    service = event_service_pb2
    own: dict[str, Any] = {"event_id": published.id}
    both = {**own, "ticket_type_id": ticket_type_id}
    events = shop.public.events
    changes: tuple[tuple[Any, Any], ...] = (
        (events.UpdateEvent, patch(service.UpdateEventRequest, **own, title="Mine")),
        (events.DeleteEvent, service.DeleteEventRequest(**own)),
        (events.PublishEvent, service.PublishEventRequest(**own)),
        (events.UnpublishEvent, service.UnpublishEventRequest(**own)),
        (events.CancelEvent, service.CancelEventRequest(**own)),
        (events.UpdateTicketType, patch(service.UpdateTicketTypeRequest, **both, name="Mine")),
        (events.DeleteTicketType, service.DeleteTicketTypeRequest(**both)),
    )
    for call, request in changes:
        with refused("EVENT_NOT_FOUND"):
            await call(request, metadata=other.admin)
    with refused("EVENT_NOT_FOUND"):
        await shop.add_type(other, published.id)
    assert await shop.see(published.id) == published


async def test_a_patch_changes_the_fields_sent_and_no_other(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    end = days_ahead(31)
    changed = await update(shop, organizer, draft.id, title="Later", ends_at=end)
    assert (changed.title, changed.ends_at, changed.version) == ("Later", end, 2)
    assert (changed.location, changed.starts_at) == (draft.location, draft.starts_at)
    assert changed.updated_at.ToDatetime() > draft.updated_at.ToDatetime()


async def test_a_description_may_become_empty(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    assert (await update(shop, organizer, draft.id, description="")).description == ""


@pytest.mark.parametrize("field", ["title", "starts_at", "currency_code"])
async def test_null_clears_no_field_of_an_event(
    shop: Shop, organizer: Organizer, field: str
) -> None:
    draft = await shop.draft(organizer)
    request = patch(event_service_pb2.UpdateEventRequest, null=(field,), event_id=draft.id)
    with refused("FIELD_NOT_NULLABLE", field=field):
        await shop.public.events.UpdateEvent(request, metadata=organizer.admin)


@pytest.mark.parametrize("field", ["event_id", "if_match", "update_mask", "state", "nonsense"])
async def test_what_is_no_field_of_the_patch_cannot_change(
    shop: Shop, organizer: Organizer, field: str
) -> None:
    draft = await shop.draft(organizer)
    request = patch(event_service_pb2.UpdateEventRequest, null=(field,), event_id=draft.id)
    with refused("FIELD_NOT_CHANGEABLE", field=field):
        await shop.public.events.UpdateEvent(request, metadata=organizer.admin)


async def test_a_change_must_leave_a_valid_event(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    with refused("INVALID_EVENT_TIMES", field="ends_at"):
        await update(shop, organizer, draft.id, starts_at=days_ahead(40))
    with refused("UNKNOWN_TIME_ZONE", field="time_zone"):
        await update(shop, organizer, draft.id, time_zone="Mars/Olympus")
    with refused("INVALID_REQUEST", field="title"):
        await update(shop, organizer, draft.id, title="")


async def test_if_match_lets_one_of_two_writers_through(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    outcomes = await asyncio.gather(
        *(
            outcome(update(shop, organizer, draft.id, title=title, if_match='"1"'))
            for title in ("One", "Two")
        )
    )
    assert sorted(outcomes) == ["OK", "VERSION_MISMATCH"]
    assert (await update(shop, organizer, draft.id, title="Any", if_match="*")).version == 3
    with refused("VERSION_MISMATCH"):
        await delete(shop, organizer, draft.id, '"2"')
    with refused("INVALID_REQUEST", field="if_match"):
        await update(shop, organizer, draft.id, title="Bad", if_match="3")


async def test_the_currency_stays_once_there_are_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    assert (await update(shop, organizer, draft.id, currency_code="CHF")).currency_code == "CHF"
    await update(shop, organizer, draft.id, currency_code="EUR")
    await shop.add_type(organizer, draft.id)
    with refused("CURRENCY_IS_FIXED"):
        await update(shop, organizer, draft.id, currency_code="CHF")
    assert (await update(shop, organizer, draft.id, currency_code="EUR", title="x")).title == "x"


async def test_publishing_needs_a_ticket_type_and_twice_is_the_same_as_once(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    with refused("EVENT_WITHOUT_TICKET_TYPES"):
        await shop.publish(organizer, draft.id)
    await shop.add_type(organizer, draft.id)
    published = await shop.publish(organizer, draft.id)
    assert published.state == event_pb2.EVENT_STATE_PUBLISHED
    assert await shop.publish(organizer, draft.id) == published
    assert await shop.see(draft.id) == published


async def test_what_is_over_is_not_published(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer, starts_at=days_ahead(-2), ends_at=days_ahead(-1))
    await shop.add_type(organizer, draft.id)
    with refused("EVENT_HAS_ENDED"):
        await shop.publish(organizer, draft.id)


async def test_an_unpublished_event_is_a_draft_again_and_out_of_sight(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    draft = await unpublish(shop, organizer, published.id)
    assert draft.state == event_pb2.EVENT_STATE_DRAFT
    assert await unpublish(shop, organizer, published.id) == draft
    with refused("EVENT_NOT_FOUND"):
        await shop.see(published.id)
    with refused("EVENT_NOT_ON_SALE"):
        await shop.hold(published)


async def test_an_event_with_a_live_hold_is_neither_unpublished_nor_deleted(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    with refused("EVENT_IN_USE"):
        await unpublish(shop, organizer, published.id)
    with refused("EVENT_NOT_DRAFT"):
        await delete(shop, organizer, published.id)
    await shop.release(held.id)
    await unpublish(shop, organizer, published.id)
    await delete(shop, organizer, published.id)
    with refused("EVENT_NOT_FOUND"):
        await get(shop, published.id, metadata=organizer.admin)
    with refused("HOLD_NOT_FOUND"):
        await shop.hold_state(held.id)


async def test_a_deleted_draft_leaves_nothing_behind(shop: Shop, organizer: Organizer) -> None:
    seated = await shop.theatre(organizer, "AAa")
    standing = await shop.add_type(organizer, seated.id, name="Standing", total_stock=1)
    await shop.add_quota(organizer, 1, *seated.ticket_types, standing)
    await shop.add_quota(organizer, 5, event_id=seated.id)
    published = await shop.see(seated.id)
    held = await shop.hold(published, 0, 1)
    entry = await join(shop, published, 2)
    await shop.release(held.id)
    assert await states(shop, entry) == ["WAITING"]
    await unpublish(shop, organizer, published.id)
    await delete(shop, organizer, published.id)
    for table in [table.name for table in metadata.tables.values() if "event_id" in table.c]:
        left = await shop.execute(f"SELECT * FROM {table} WHERE event_id = :id", id=published.id)
        assert left == [], table


async def test_an_event_with_sold_tickets_is_not_unpublished_until_they_are_taken_back(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    [ticket] = await shop.issue((await shop.hold(published)).id)
    with refused("EVENT_IN_USE"):
        await unpublish(shop, organizer, published.id)
    await shop.take_back(ticket.order_id)
    await unpublish(shop, organizer, published.id)
    with refused("EVENT_IN_USE"):  # what happened to the ticket is kept
        await delete(shop, organizer, published.id)


async def test_who_waited_for_an_event_is_first_when_it_is_published_again(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 0})
    entry = await join(shop, published)
    await unpublish(shop, organizer, published.id)
    more = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=published.id,
        ticket_type_id=published.ticket_types[0].id,
        total_stock=3,
    )
    assert (
        await shop.public.events.UpdateTicketType(more, metadata=organizer.admin)
    ).remaining == 3
    assert await states(shop, entry) == ["WAITING"]
    [again] = (await shop.publish(organizer, published.id)).ticket_types
    assert (again.total_stock, again.remaining) == (3, 2)
    assert await states(shop, entry) == ["OFFERED"]


async def test_unpublishing_while_buyers_arrive_leaves_no_hold_on_a_draft(shop: Shop) -> None:
    for _ in range(5):
        organizer = shop.organizer()
        published = await shop.on_sale(organizer)
        *holds, unpublished = await asyncio.gather(
            *(outcome(shop.hold(published)) for _ in range(6)),
            outcome(unpublish(shop, organizer, published.id)),
        )
        assert unpublished in ("OK", "EVENT_IN_USE")
        expected = {"EVENT_NOT_ON_SALE"} if unpublished == "OK" else {"OK"}
        assert set(holds) == expected


async def test_cancelling_is_for_good(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    cancelled = await shop.cancel(organizer, published.id)
    assert cancelled.state == event_pb2.EVENT_STATE_CANCELLED
    assert await shop.cancel(organizer, published.id) == cancelled
    assert await shop.see(published.id) == cancelled
    for change in (
        shop.publish(organizer, published.id),
        unpublish(shop, organizer, published.id),
        update(shop, organizer, published.id, title="Back"),
        shop.add_type(organizer, published.id),
    ):
        with refused("EVENT_IS_FINAL"):
            await change
    with refused("EVENT_NOT_ON_SALE"):
        await shop.hold(published)


async def test_a_draft_is_deleted_not_cancelled_for_that_would_show_it(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    with refused("EVENT_NOT_PUBLISHED"):
        await shop.cancel(organizer, draft.id)
    await delete(shop, organizer, draft.id)


async def test_an_event_ends_by_itself(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    past = datetime.now(UTC) - timedelta(days=1)
    await shop.execute(
        "UPDATE events SET starts_at = :start, ends_at = :end WHERE id = :id",
        start=past - timedelta(hours=2),
        end=past,
        id=published.id,
    )
    with refused("EVENT_NOT_ON_SALE"):  # at once, whenever the work below is done
        await shop.hold(published)
    await operations.end_events(shop.database)
    ended = await shop.see(published.id)
    assert (ended.state, ended.version) == (event_pb2.EVENT_STATE_ENDED, published.version + 1)
    with refused("EVENT_IS_FINAL"):
        await shop.cancel(organizer, published.id)


async def test_the_same_key_and_request_create_one_event(shop: Shop, organizer: Organizer) -> None:
    request = event(idempotency_key=new_key())
    first = await shop.public.events.CreateEvent(request, metadata=organizer.admin)
    await update(shop, organizer, first.id, title="Changed since")
    again = await shop.hasty.events.CreateEvent(request, metadata=organizer.admin)
    assert again == first
    request.title = "Another"
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.events.CreateEvent(request, metadata=organizer.admin)


async def test_one_admins_key_is_not_anothers(shop: Shop, organizer: Organizer) -> None:
    request, other = event(idempotency_key=new_key()), shop.organizer()
    first = await shop.public.events.CreateEvent(request, metadata=organizer.admin)
    second = await shop.public.events.CreateEvent(request, metadata=other.admin)
    assert (first.organizer_id, second.organizer_id) == (organizer.id, other.id)


async def test_a_key_whose_request_is_still_worked_on_is_in_use(
    shop: Shop, organizer: Organizer
) -> None:
    request = event(idempotency_key=new_key())
    async with shop.database.begin() as tx:
        assert await idempotency.lock(tx, [f"{organizer.admin_id} {request.idempotency_key}"])
        with refused("IDEMPOTENCY_KEY_IN_USE"):
            await shop.public.events.CreateEvent(request, metadata=organizer.admin)
    await shop.public.events.CreateEvent(request, metadata=organizer.admin)


async def test_ten_requests_with_one_key_have_one_effect(shop: Shop, organizer: Organizer) -> None:
    request = event(idempotency_key=new_key())
    outcomes = await asyncio.gather(
        *(
            outcome(api.events.CreateEvent(request, metadata=organizer.admin))
            for api in (shop.public, shop.hasty) * 5
        )
    )
    assert set(outcomes) <= {"OK", "IDEMPOTENCY_KEY_IN_USE"}
    assert "OK" in outcomes
    [[count]] = await shop.execute(
        "SELECT count(*) FROM events WHERE organizer_id = :id", id=organizer.id
    )
    assert count == 1


async def test_a_refused_request_leaves_its_key_free(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    request = event_service_pb2.PublishEventRequest(event_id=draft.id, idempotency_key=new_key())
    with refused("EVENT_WITHOUT_TICKET_TYPES"):
        await shop.public.events.PublishEvent(request, metadata=organizer.admin)
    await shop.add_type(organizer, draft.id)
    published = await shop.public.events.PublishEvent(request, metadata=organizer.admin)
    assert await shop.public.events.PublishEvent(request, metadata=organizer.admin) == published
