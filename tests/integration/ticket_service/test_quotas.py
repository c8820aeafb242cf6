"""Quotas: limits that ticket types share, before, during and after a sale."""

import asyncio
from typing import Any

import pytest
from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    quota_pb2,
    quota_service_pb2,
    ticket_type_pb2,
)

from kit.rpc_errors import RemoteError
from tests.integration.ticket_service.lines import join, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    new_key,
    outcome,
    patch,
    quota,
    refused,
)

Event = event_pb2.Event
Quota = quota_pb2.Quota
TicketType = ticket_type_pb2.TicketType


async def two_types(shop: Shop, by: Organizer) -> tuple[Event, list[TicketType]]:
    """An event on sale with ten early-bird and ten regular tickets."""
    published = await shop.on_sale(by, {"name": "Early"}, {"name": "Regular"})
    return published, list(published.ticket_types)


async def test_a_new_quota_is_empty_of_sales(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    early, regular = [await shop.add_type(organizer, draft.id) for _ in "ab"]
    made = await shop.add_quota(organizer, 15, regular, early, name="The room")
    assert made.id.startswith("quota_")
    assert (made.event_id, made.name, made.size, made.remaining, made.version) == (
        draft.id,
        "The room",
        15,
        15,
        1,
    )
    assert list(made.ticket_type_ids) == [early.id, regular.id]
    assert await shop.quota(organizer, made) == made
    second = await shop.add_quota(organizer, 0, name="Nothing yet", event_id=draft.id)
    assert await shop.quotas(organizer, draft.id) == [made, second]


async def test_a_quota_made_during_the_sale_counts_what_is_sold_and_held(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    await shop.issue((await shop.hold(published, 2, 1)).id)
    await shop.hold(published, 1, 0)
    await shop.release((await shop.hold(published, 5, 5)).id)
    with pytest.raises(RemoteError, match="4 tickets") as caught:
        await shop.add_quota(organizer, 3, *types)
    assert caught.value.reason == "QUOTA_BELOW_SOLD"
    assert (await shop.add_quota(organizer, 4, *types)).remaining == 0
    assert (await shop.add_quota(organizer, 4, types[0])).remaining == 1
    assert await shop.remaining(published.id) == [0, 0]


async def test_what_one_ticket_type_takes_the_other_cannot_have(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 5, *types)
    assert await shop.remaining(published.id) == [5, 5]
    await shop.hold(published, 3, 0)
    assert await shop.remaining(published.id) == [2, 2]
    with pytest.raises(RemoteError) as caught:
        await shop.hold(published, 0, 3)
    assert caught.value.reason == "SOLD_OUT"
    assert caught.value.metadata == {"ticket_type_id": types[1].id, "remaining": "2"}
    await shop.hold(published, 1, 1)
    assert await shop.remaining(published.id) == [0, 0]
    seen = await shop.quota(organizer, shared)
    assert (seen.remaining, seen.version) == (0, 1)


async def test_one_hold_of_both_ticket_types_takes_their_sum(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 5, *types)
    with refused("SOLD_OUT"):
        await shop.hold(published, 3, 3)
    assert await shop.remaining(published.id) == [5, 5]
    await shop.hold(published, 3, 2)
    assert await shop.remaining(published.id) == [0, 0]


async def test_a_ticket_type_under_two_quotas_draws_on_both(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": "Opera"}, {"name": "Ballet"}, {"name": "Both nights"}]
    published = await shop.on_sale(organizer, *kinds)
    opera, ballet, both = published.ticket_types
    await shop.add_quota(organizer, 6, opera, both)
    await shop.add_quota(organizer, 4, ballet, both)
    assert await shop.remaining(published.id) == [6, 4, 4]
    await shop.hold(published, 0, 0, 3)
    assert await shop.remaining(published.id) == [3, 1, 1]
    await shop.hold(published, 3)
    assert await shop.remaining(published.id) == [0, 1, 0]
    with refused("SOLD_OUT"):
        await shop.hold(published, 0, 0, 1)
    await shop.hold(published, 0, 1, 0)
    assert await shop.remaining(published.id) == [0, 0, 0]


async def test_every_view_shows_the_least_that_applies(shop: Shop, organizer: Organizer) -> None:
    published, [early, _] = await two_types(shop, organizer)
    await shop.add_quota(organizer, 30, early)
    await shop.add_quota(organizer, 4, early)
    await shop.hold(published, 1, 0)
    events = shop.public.events
    where: dict[str, Any] = {"event_id": published.id}
    types = (
        await events.ListTicketTypes(event_service_pb2.ListTicketTypesRequest(**where))
    ).ticket_types
    request = event_service_pb2.ListEventsRequest(organizer_id=organizer.id)
    [found] = (await events.ListEvents(request)).events
    seen = await shop.see(published.id)
    assert [kind.remaining for kind in types] == [3, 10]
    assert list(types) == list(seen.ticket_types) == list(found.ticket_types)
    one = event_service_pb2.GetTicketTypeRequest(**where, ticket_type_id=early.id)
    assert await events.GetTicketType(one) == types[0]
    change = patch(event_service_pb2.UpdateTicketTypeRequest, **where, ticket_type_id=early.id)
    changed = await events.UpdateTicketType(change, metadata=organizer.admin)
    assert (changed.remaining, changed.total_stock) == (3, 10)
    renamed = patch(event_service_pb2.UpdateEventRequest, **where, title="Later")
    event = await events.UpdateEvent(renamed, metadata=organizer.admin)
    assert [kind.remaining for kind in event.ticket_types] == [3, 10]


async def test_what_returns_to_a_ticket_type_returns_to_its_quotas(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 6, *types)
    released = await shop.hold(published, 2, 1)
    sold = await shop.hold(published, 1, 1)
    [ticket, _] = await shop.issue(sold.id)
    await shop.release(released.id)
    assert await shop.remaining(published.id) == [4, 4]
    await shop.hold(published, 4, 0, hasty=True)
    assert await shop.remaining(published.id) == [0, 0]

    async def expired() -> bool:
        return await shop.remaining(published.id) == [4, 4]

    await eventually(expired)
    await shop.take_back(ticket.order_id, sold.id)
    assert await shop.remaining(published.id) == [6, 6]


async def test_a_late_payment_takes_its_tickets_from_the_quota_again_or_not_at_all(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 2, *types)
    late, too_late = await shop.hold(published, 1), await shop.hold(published, 1)
    await shop.release(late.id)
    await shop.release(too_late.id)
    await shop.hold(published, 0, 1)
    await shop.issue(late.id)
    assert await shop.remaining(published.id) == [0, 0]
    with refused("SOLD_OUT"):
        await shop.issue(too_late.id)


async def test_a_quota_grows_and_shrinks_under_sale_never_below_what_is_out(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 5, *types)
    await shop.issue((await shop.hold(published, 2, 1)).id)
    await shop.hold(published, 0, 1)
    grown = await shop.change_quota(organizer, shared, size=8)
    assert (grown.size, grown.remaining, grown.version, grown.name) == (8, 4, 2, shared.name)
    assert list(grown.ticket_type_ids) == list(shared.ticket_type_ids)
    assert grown.updated_at.ToDatetime() > shared.updated_at.ToDatetime()
    assert (await shop.change_quota(organizer, shared, size=4)).remaining == 0
    with refused("SOLD_OUT"):
        await shop.hold(published, 1)
    with pytest.raises(RemoteError, match="4 tickets") as caught:
        await shop.change_quota(organizer, shared, size=3)
    assert caught.value.reason == "QUOTA_BELOW_SOLD"
    assert (await shop.quota(organizer, shared)).size == 4


async def test_ticket_types_come_and_go_with_what_is_out_of_them(
    shop: Shop, organizer: Organizer
) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    await shop.hold(published, 3, 4)
    changing = await shop.add_quota(organizer, 5, early)
    with refused("QUOTA_BELOW_SOLD"):
        await shop.change_quota(organizer, changing, ticket_type_ids=[early.id, regular.id])
    swapped = await shop.change_quota(organizer, changing, ticket_type_ids=[regular.id])
    assert (list(swapped.ticket_type_ids), swapped.remaining) == ([regular.id], 1)
    assert await shop.remaining(published.id) == [7, 1]
    everything = await shop.change_quota(
        organizer, changing, ticket_type_ids=[regular.id, early.id], size=7
    )
    assert (list(everything.ticket_type_ids), everything.remaining) == ([early.id, regular.id], 0)
    nothing = await shop.change_quota(organizer, changing, ticket_type_ids=[])
    assert (list(nothing.ticket_type_ids), nothing.remaining) == ([], 7)
    assert await shop.remaining(published.id) == [7, 6]


async def test_a_change_of_other_fields_keeps_the_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    renamed = await shop.change_quota(organizer, made, name="Gallery")
    assert (renamed.name, renamed.size) == ("Gallery", 5)
    assert list(renamed.ticket_type_ids) == list(made.ticket_type_ids)
    for field in ("name", "size"):
        with refused("FIELD_NOT_NULLABLE", field=field):
            await shop.change_quota(organizer, made, null=(field,))
    for field in ("event_id", "remaining", "update_mask"):
        with refused("FIELD_NOT_CHANGEABLE", field=field):
            await shop.change_quota(organizer, made, null=(field,))


async def test_a_lifted_quota_limits_nothing(shop: Shop, organizer: Organizer) -> None:
    published, types = await two_types(shop, organizer)
    tight, loose = [await shop.add_quota(organizer, size, *types) for size in (1, 7)]
    await shop.hold(published, 1)
    with refused("VERSION_MISMATCH"):
        await shop.lift_quota(organizer, tight, '"2"')
    await shop.lift_quota(organizer, tight, '"1"')
    assert await shop.remaining(published.id) == [6, 6]
    assert [found.id for found in await shop.quotas(organizer, published.id)] == [loose.id]
    for call in (shop.lift_quota, shop.quota, shop.change_quota):
        with refused("QUOTA_NOT_FOUND"):
            await call(organizer, tight)


async def test_if_match_lets_one_of_two_writers_through(shop: Shop, organizer: Organizer) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    outcomes = await asyncio.gather(
        *(outcome(shop.change_quota(organizer, made, size=size, if_match='"1"')) for size in (6, 7))
    )
    assert sorted(outcomes) == ["OK", "VERSION_MISMATCH"]
    assert (await shop.change_quota(organizer, made, size=8, if_match="*")).version == 3


async def test_a_quota_that_grows_is_offered_to_who_waits_before_the_public_sees_it(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 0, *types)
    early, regular = [await join(shop, published, 2, number=number) for number in (0, 1)]
    grown = await shop.change_quota(organizer, shared, size=3)
    assert (grown.size, grown.remaining) == (3, 1)
    assert await states(shop, early, regular) == ["OFFERED", "WAITING"]
    assert await shop.remaining(published.id) == [1, 1]
    assert (await shop.change_quota(organizer, shared, size=5)).remaining == 1
    assert await states(shop, early, regular) == ["OFFERED", "OFFERED"]


async def test_a_ticket_type_that_leaves_a_quota_is_offered_to_who_waits_for_it(
    shop: Shop, organizer: Organizer
) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 1, early, regular)
    await shop.hold(published, 1)
    entry = await join(shop, published, 2, number=1)
    await shop.change_quota(organizer, shared, ticket_type_ids=[early.id])
    assert await states(shop, entry) == ["OFFERED"]
    assert await shop.remaining(published.id) == [0, 8]


async def test_what_leaves_a_quota_makes_room_for_who_waits_for_the_rest(
    shop: Shop, organizer: Organizer
) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 4, early, regular)
    await shop.hold(published, 4)
    entry = await join(shop, published, 3, number=1)
    changed = await shop.change_quota(organizer, shared, ticket_type_ids=[regular.id])
    assert await states(shop, entry) == ["OFFERED"]
    assert changed.remaining == 1


async def test_what_a_lifted_quota_leaves_is_offered_to_who_waits(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    shared = await shop.add_quota(organizer, 1, *types)
    entries = [await join(shop, published, 6, number=number) for number in (0, 1)]
    await shop.lift_quota(organizer, shared)
    assert await states(shop, *entries) == ["OFFERED", "OFFERED"]
    assert await shop.remaining(published.id) == [4, 4]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " \t"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"size": -1}, "size"),
        ({"size": 1_000_001}, "size"),
        ({"ticket_type_ids": [""]}, "ticket_type_ids[0]"),
        ({"ticket_type_ids": ["x"] * 101}, "ticket_type_ids"),
    ],
)
async def test_bad_input_is_refused_and_leaves_nothing_behind(
    shop: Shop, organizer: Organizer, fields: dict[str, Any], field: str
) -> None:
    published, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    with refused("INVALID_REQUEST", field=field):
        await shop.add_quota(organizer, **{"size": 5, "event_id": published.id, **fields})
    with refused("INVALID_REQUEST", field=field):
        await shop.change_quota(organizer, made, **fields)
    assert await shop.quotas(organizer, published.id) == [made]


async def test_a_quota_is_over_ticket_types_of_its_event_each_once(
    shop: Shop, organizer: Organizer
) -> None:
    published, [early, _] = await two_types(shop, organizer)
    [foreign] = (await shop.on_sale(organizer)).ticket_types
    made = await shop.add_quota(organizer, 5, early)
    for ids, reason in (
        ([early.id, early.id], "DUPLICATE_TICKET_TYPE"),
        ([early.id, foreign.id], "TICKET_TYPE_NOT_FOUND"),
        (["tt_none"], "TICKET_TYPE_NOT_FOUND"),
    ):
        with refused(reason):
            await shop.add_quota(organizer, 5, event_id=published.id, ticket_type_ids=ids)
        with refused(reason):
            await shop.change_quota(organizer, made, ticket_type_ids=ids)
    assert await shop.quotas(organizer, published.id) == [made]


async def test_an_event_has_at_most_fifty_quotas(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    await shop.execute(
        """
        INSERT INTO quotas (id, event_id, name, size, remaining)
        SELECT :id || number, :id, 'x', 1, 1 FROM generate_series(1, 49) number
        """,
        id=draft.id,
    )
    outcomes = await asyncio.gather(
        *(outcome(shop.add_quota(organizer, 1, event_id=draft.id)) for _ in "abc")
    )
    assert sorted(outcomes) == ["OK", "TOO_MANY_QUOTAS", "TOO_MANY_QUOTAS"]


async def test_the_same_key_and_request_make_one_quota(shop: Shop, organizer: Organizer) -> None:
    published, types = await two_types(shop, organizer)
    request = quota(5, *types, idempotency_key=new_key())
    first = await shop.public.quotas.CreateQuota(request, metadata=organizer.admin)
    await shop.hold(published, 1)
    assert await shop.twin.quotas.CreateQuota(request, metadata=organizer.admin) == first
    request.size = 6
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.quotas.CreateQuota(request, metadata=organizer.admin)
    assert len(await shop.quotas(organizer, published.id)) == 1


async def test_quotas_are_their_organizers_admins_and_read_by_the_superadmin(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    own: dict[str, Any] = {"event_id": published.id, "quota_id": made.id}
    service, quotas = quota_service_pb2, shop.public.quotas
    reads: list[tuple[Any, Any]] = [
        (quotas.GetQuota, service.GetQuotaRequest(**own)),
        (quotas.ListQuotas, service.ListQuotasRequest(event_id=published.id)),
    ]
    changes: list[tuple[Any, Any]] = [
        (quotas.CreateQuota, quota(9, *types)),
        (quotas.UpdateQuota, patch(service.UpdateQuotaRequest, **own, size=9)),
        (quotas.DeleteQuota, service.DeleteQuotaRequest(**own)),
    ]
    superadmin = shop.issuer.metadata("", "SUPERADMIN")
    for call, request in [*reads, *changes]:
        with refused("EVENT_NOT_FOUND"):
            await call(request, metadata=shop.organizer().admin)
        with refused("ROLE_NOT_ALLOWED"):
            await call(request, metadata=organizer.staff)
        with refused("TOKEN_MISSING"):
            await call(request)
    for call, request in reads:
        await call(request, metadata=superadmin)
    for call, request in changes:
        with refused("ROLE_NOT_ALLOWED"):
            await call(request, metadata=superadmin)
    assert await shop.quotas(organizer, published.id) == [made]


async def test_a_quota_is_found_through_its_own_event_only(
    shop: Shop, organizer: Organizer
) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    astray = Quota(id=made.id, event_id=(await shop.on_sale(organizer)).id)
    for call in (shop.quota, shop.change_quota, shop.lift_quota):
        with refused("QUOTA_NOT_FOUND"):
            await call(organizer, astray)
    with refused("EVENT_NOT_FOUND"):
        await shop.quotas(organizer, "evt_none")
    assert await shop.quota(organizer, made) == made


async def test_the_quotas_of_what_was_called_off_stay_as_they_were(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    await shop.cancel(organizer, published.id)
    for change in (
        shop.add_quota(organizer, 1, *types),
        shop.change_quota(organizer, made, size=9),
        shop.lift_quota(organizer, made),
    ):
        with refused("EVENT_IS_FINAL"):
            await change
    assert await shop.quotas(organizer, published.id) == [made]


async def test_a_deleted_ticket_type_leaves_its_quotas(shop: Shop, organizer: Organizer) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, early, regular)
    await shop.hold(published, 0, 2)
    request = event_service_pb2.DeleteTicketTypeRequest(
        event_id=published.id, ticket_type_id=early.id
    )
    await shop.public.events.DeleteTicketType(request, metadata=organizer.admin)
    seen = await shop.quota(organizer, made)
    assert (list(seen.ticket_type_ids), seen.remaining) == ([regular.id], 3)


async def test_a_ticket_type_added_later_is_not_limited(shop: Shop, organizer: Organizer) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 5, *types)
    made = await shop.add_type(organizer, published.id, total_stock=20)
    assert made.remaining == 20
    assert await shop.remaining(published.id) == [5, 5, 20]
