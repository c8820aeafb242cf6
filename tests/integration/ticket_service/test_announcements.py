"""What those who have tickets hear of an event: that it is called off, or has changed."""

from typing import Any

import pytest
from google.protobuf import json_format
from tessera.ticket.v1 import event_pb2, event_service_pb2, messages_pb2

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    money,
    new_key,
    patch,
    refused,
)


async def announced(shop: Shop, event_id: str) -> list[tuple[str, str, Any]]:
    """The messages about an event: routing key, version, and the message itself."""
    rows = await shop.execute(
        """
        SELECT routing_key, type, headers::json ->> 'version', convert_from(body, 'UTF8')
        FROM outbox WHERE convert_from(body, 'UTF8')::json ->> 'event_id' = :id ORDER BY id
        """,
        id=event_id,
    )
    return [
        (key, version, json_format.Parse(body, getattr(messages_pb2, name.rpartition(".")[2])()))
        for key, name, version, body in rows
    ]


def updated(changed: event_pb2.Event, **previous: Any) -> tuple[str, str, Any]:
    """What is announced of a changed event."""
    message = messages_pb2.EventUpdated(
        event_id=changed.id,
        organizer_id=changed.organizer_id,
        version=changed.version,
        **previous,
    )
    return ("event.updated", str(changed.version), message)


async def update(shop: Shop, by: Organizer, event_id: str, **fields: Any) -> event_pb2.Event:
    request = patch(event_service_pb2.UpdateEventRequest, event_id=event_id, **fields)
    changed: event_pb2.Event = await shop.public.events.UpdateEvent(request, metadata=by.admin)
    return changed


async def test_an_event_is_called_off_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    cancelled = await shop.cancel(organizer, published.id)
    await shop.cancel(organizer, published.id)
    message = messages_pb2.EventCancelled(event_id=published.id, organizer_id=organizer.id)
    expected = ("event.cancelled", str(cancelled.version), message)
    assert await announced(shop, published.id) == [expected]


async def test_the_same_key_calls_an_event_off_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    request = event_service_pb2.CancelEventRequest(event_id=published.id, idempotency_key=new_key())
    for _ in range(2):
        await shop.public.events.CancelEvent(request, metadata=organizer.admin)
    assert len(await announced(shop, published.id)) == 1


async def test_what_is_not_called_off_is_not_announced(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    with refused("EVENT_NOT_PUBLISHED"):
        await shop.cancel(organizer, draft.id)
    assert await announced(shop, draft.id) == []


async def test_a_change_is_announced_with_what_was_otherwise_before(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    moved = await update(
        shop, organizer, published.id, location="Other Hall", starts_at=days_ahead(29)
    )
    renamed = await update(
        shop, organizer, published.id, title="Strings", location="Other Hall", description="x"
    )
    later = await update(shop, organizer, published.id, ends_at=days_ahead(31))
    assert await announced(shop, published.id) == [
        updated(
            moved, previous_location=published.location, previous_starts_at=published.starts_at
        ),
        updated(renamed, previous_title=published.title),
        updated(later, previous_ends_at=published.ends_at),
    ]


async def test_another_time_zone_is_another_time_on_the_tickets(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    changed = await update(shop, organizer, published.id, time_zone="Europe/London")
    assert await announced(shop, published.id) == [updated(changed)]


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "Other words"},
        {"title": "A Night of Strings", "starts_at": days_ahead(30)},
        {"booking_fee": event_pb2.BookingFee(per_ticket=money("1.00"))},
        {"cancellation_policy": event_pb2.CancellationPolicy(until=days_ahead(1))},
    ],
)
async def test_what_nobody_has_to_know_is_not_announced(
    shop: Shop, organizer: Organizer, fields: dict[str, Any]
) -> None:
    published = await shop.on_sale(organizer)
    await update(shop, organizer, published.id, **fields)
    assert await announced(shop, published.id) == []


async def test_a_draft_changes_in_silence(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    await update(shop, organizer, draft.id, title="Other", starts_at=days_ahead(20))
    assert await announced(shop, draft.id) == []


async def test_a_change_that_is_refused_is_not_announced(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    with refused("VERSION_MISMATCH"):
        await update(shop, organizer, published.id, title="Other", if_match='"1"')
    with refused("INVALID_EVENT_TIMES"):
        await update(shop, organizer, published.id, starts_at=days_ahead(60))
    assert await announced(shop, published.id) == []
