"""Hidden ticket types: who sees them, and who can have them."""

from typing import Any

from tessera.ticket.v1 import (
    availability_pb2,
    availability_service_pb2,
    event_pb2,
    event_service_pb2,
    hold_service_pb2,
    ticket_type_pb2,
)

from tests.integration.ticket_service.lines import join, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    TicketApi,
    hold,
    outcome,
    patch,
    refused,
    stalls,
)
from tests.support.tokens import Metadata

PUBLIC = {"name": "Standard"}
HIDDEN = {"name": "Backstage", "is_hidden": True}


async def names_seen(api: TicketApi, of: event_pb2.Event, by: Metadata = ()) -> list[list[str]]:
    """The ticket types that each way to look at an event shows to a caller."""
    events = api.events
    one = await events.GetEvent(event_service_pb2.GetEventRequest(event_id=of.id), metadata=by)
    request = event_service_pb2.ListTicketTypesRequest(event_id=of.id)
    listed = (await events.ListTicketTypes(request, metadata=by)).ticket_types
    everything = event_service_pb2.ListEventsRequest(organizer_id=of.organizer_id)
    [found] = (await events.ListEvents(everything, metadata=by)).events
    single = [kind.name for kind in of.ticket_types if await is_found(api, kind, by)]
    available = await ask(api, of.id, by)
    counted = [kind.ticket_type_id for kind in available.ticket_types]
    return [
        [kind.name for kind in one.ticket_types],
        [kind.name for kind in listed],
        [kind.name for kind in found.ticket_types],
        single,
        [kind.name for kind in of.ticket_types if kind.id in counted],
    ]


async def is_found(api: TicketApi, kind: ticket_type_pb2.TicketType, by: Metadata) -> bool:
    request = event_service_pb2.GetTicketTypeRequest(event_id=kind.event_id, ticket_type_id=kind.id)
    found = await outcome(api.events.GetTicketType(request, metadata=by))
    assert found in {"OK", "TICKET_TYPE_NOT_FOUND"}
    return found == "OK"


async def ask(api: TicketApi, event_id: str, by: Metadata = ()) -> availability_pb2.Availability:
    request = availability_service_pb2.GetAvailabilityRequest(event_id=event_id)
    return await api.availability.GetAvailability(request, metadata=by)


async def change(
    shop: Shop, by: Organizer, of: ticket_type_pb2.TicketType, **fields: Any
) -> ticket_type_pb2.TicketType:
    request = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=of.event_id,
        ticket_type_id=of.id,
        **fields,
    )
    return await shop.public.events.UpdateTicketType(request, metadata=by.admin)


async def with_hidden(shop: Shop, organizer: Organizer, **fields: Any) -> event_pb2.Event:
    """A published event with a ticket type for everybody and a hidden one, as its admin sees it."""
    return await shop.on_sale(organizer, PUBLIC, {**HIDDEN, **fields})


async def test_only_its_organizer_and_other_services_see_a_hidden_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    published = await with_hidden(shop, organizer)
    other = shop.organizer()
    superadmin = shop.issuer.metadata("", "SUPERADMIN")
    for api, by in (
        (shop.public, organizer.admin),
        (shop.public, superadmin),
        (shop.internal, ()),
    ):
        assert await names_seen(api, published, by) == [["Standard", "Backstage"]] * 5
    for by in ((), other.admin):
        assert await names_seen(shop.public, published, by) == [["Standard"]] * 5


async def test_a_ticket_type_is_hidden_and_shown_again(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    [kind] = published.ticket_types
    hidden = await change(shop, organizer, kind, is_hidden=True, if_match='"1"')
    assert (hidden.is_hidden, hidden.version) == (True, 2)
    assert not (await shop.see(published.id)).ticket_types
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.hold(published)
    assert not (await change(shop, organizer, kind, is_hidden=False)).is_hidden
    assert (await shop.see(published.id)).ticket_types
    await shop.hold(published)


async def test_an_event_that_only_vouchers_open_is_published(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, HIDDEN)
    assert published.state == event_pb2.EVENT_STATE_PUBLISHED
    assert not (await shop.see(published.id)).ticket_types


async def test_watchers_hear_of_a_hidden_ticket_type_as_far_as_they_may_see_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await with_hidden(shop, organizer)
    standard, backstage = published.ticket_types
    shop.vouchers.opened[published.id, "FANS"] = [backstage.id]
    request = availability_service_pb2.WatchAvailabilityRequest(event_id=published.id)
    public = shop.public.availability.WatchAvailability(request)
    admin = shop.public.availability.WatchAvailability(request, metadata=organizer.admin)
    seen, seen_by_admin = aiter(public), aiter(admin)
    assert left(await anext(seen)) == {standard.id: 10}
    assert left(await anext(seen_by_admin)) == {standard.id: 10, backstage.id: 10}
    await shop.public.holds.CreateHold(hold(published, 0, 4, voucher_code="FANS"))
    assert left(await anext(seen_by_admin)) == {standard.id: 10, backstage.id: 6}
    await shop.hold(published, 1)
    assert left(await anext(seen)) == {standard.id: 9}  # and nothing was said in between
    await change(shop, organizer, backstage, is_hidden=False)
    assert left(await anext(seen)) == {standard.id: 9, backstage.id: 6}
    public.cancel()
    admin.cancel()


def left(found: availability_pb2.Availability) -> dict[str, int]:
    return {kind.ticket_type_id: kind.remaining for kind in found.ticket_types}


async def test_a_seat_map_does_not_say_as_what_hidden_seats_are_sold(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, stalls("AABB"))
    draft = await shop.draft(organizer)
    for name in "AB":
        await shop.add_type(organizer, draft.id, name=name, is_hidden=name == "B")
    published = await shop.publish(organizer, draft.id)
    await shop.seat_event(organizer, published, hall.id)
    seated, hidden = published.ticket_types
    for _ in range(2):  # the map is kept for those who may see more, and for those who may not
        public = await shop.seat_map(published.id)
        assert [(zone.zone, zone.ticket_type_id) for zone in public.zones] == [
            ("A", seated.id),
            ("B", ""),
        ]
        whole = await shop.seat_map(published.id, organizer.admin)
        assert [zone.ticket_type_id for zone in whole.zones] == [seated.id, hidden.id]
        assert public.sections == whole.sections
    [_, _, third, fourth] = await shop.seats(published.id)
    request = hold(published, 0, 1)
    request.items[0].seat_ids.append(third)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await shop.public.holds.CreateHold(request)
    shop.vouchers.opened[published.id, "BOX"] = [hidden.id]
    request.voucher_code = "BOX"
    held = await shop.public.holds.CreateHold(request)
    assert [seat.seat_id for seat in held.items[0].seats] == [third]
    best = await shop.public.holds.CreateHold(hold(published, 0, 1, voucher_code="BOX"))
    assert [seat.seat_id for seat in best.items[0].seats] == [fourth]


async def test_nobody_waits_for_hidden_tickets(shop: Shop, organizer: Organizer) -> None:
    published = await with_hidden(shop, organizer, total_stock=0)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await join(shop, published, number=1)


async def test_who_waits_for_what_is_then_hidden_waits_until_it_is_shown_again(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    [kind] = published.ticket_types
    held = await shop.hold(published)
    entry = await join(shop, published)
    await change(shop, organizer, kind, is_hidden=True)
    await shop.release(held.id)
    await change(shop, organizer, kind, total_stock=2)
    assert await states(shop, entry) == ["WAITING"]
    await change(shop, organizer, kind, is_hidden=False)
    assert await states(shop, entry) == ["OFFERED"]


async def test_what_is_held_when_it_is_hidden_stays_held_and_becomes_tickets(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 2)
    await change(shop, organizer, published.ticket_types[0], is_hidden=True)
    request = hold_service_pb2.GetHoldForOrderRequest(hold_id=held.id)
    [kind] = (await shop.internal.holds.GetHoldForOrder(request)).event.ticket_types
    assert kind.is_hidden
    await shop.release(held.id)
    assert len(await shop.issue(held.id)) == 2  # of what came back, since it was theirs
