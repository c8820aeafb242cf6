"""Quotas: limits that ticket types share, before, during and after a sale."""

import asyncio
from collections import Counter
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
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    new_key,
    outcome,
    patch,
    persist,
    quota,
    refused,
)

Event = event_pb2.Event
Quota = quota_pb2.Quota
TicketType = ticket_type_pb2.TicketType


async def get(shop: Shop, by: Organizer, of: Quota) -> Quota:
    request = quota_service_pb2.GetQuotaRequest(event_id=of.event_id, quota_id=of.id)
    return await shop.public.quotas.GetQuota(request, metadata=by.admin)


async def every(shop: Shop, by: Organizer, event_id: str) -> list[Quota]:
    request = quota_service_pb2.ListQuotasRequest(event_id=event_id)
    return list((await shop.public.quotas.ListQuotas(request, metadata=by.admin)).quotas)


async def update(
    shop: Shop, by: Organizer, of: Quota, *, null: tuple[str, ...] = (), **fields: Any
) -> Quota:
    request = patch(
        quota_service_pb2.UpdateQuotaRequest,
        null=null,
        event_id=of.event_id,
        quota_id=of.id,
        **fields,
    )
    changed: Quota = await shop.public.quotas.UpdateQuota(request, metadata=by.admin)
    return changed


async def lift(shop: Shop, by: Organizer, of: Quota, if_match: str = "") -> None:
    request = quota_service_pb2.DeleteQuotaRequest(
        event_id=of.event_id, quota_id=of.id, if_match=if_match
    )
    await shop.public.quotas.DeleteQuota(request, metadata=by.admin)


async def two_types(shop: Shop, by: Organizer, **fields: Any) -> tuple[Event, list[TicketType]]:
    """An event on sale with ten early-bird and ten regular tickets."""
    published = await shop.on_sale(by, {"name": "Early"}, {"name": "Regular"}, **fields)
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
    assert await get(shop, organizer, made) == made
    second = await shop.add_quota(organizer, 0, name="Nothing yet", event_id=draft.id)
    assert await every(shop, organizer, draft.id) == [made, second]


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
    seen = await get(shop, organizer, shared)
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
    grown = await update(shop, organizer, shared, size=8)
    assert (grown.size, grown.remaining, grown.version, grown.name) == (8, 4, 2, shared.name)
    assert list(grown.ticket_type_ids) == list(shared.ticket_type_ids)
    assert grown.updated_at.ToDatetime() > shared.updated_at.ToDatetime()
    assert (await update(shop, organizer, shared, size=4)).remaining == 0
    with refused("SOLD_OUT"):
        await shop.hold(published, 1)
    with pytest.raises(RemoteError, match="4 tickets") as caught:
        await update(shop, organizer, shared, size=3)
    assert caught.value.reason == "QUOTA_BELOW_SOLD"
    assert (await get(shop, organizer, shared)).size == 4


async def test_ticket_types_come_and_go_with_what_is_out_of_them(
    shop: Shop, organizer: Organizer
) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    await shop.hold(published, 3, 4)
    changing = await shop.add_quota(organizer, 5, early)
    with refused("QUOTA_BELOW_SOLD"):
        await update(shop, organizer, changing, ticket_type_ids=[early.id, regular.id])
    swapped = await update(shop, organizer, changing, ticket_type_ids=[regular.id])
    assert (list(swapped.ticket_type_ids), swapped.remaining) == ([regular.id], 1)
    assert await shop.remaining(published.id) == [7, 1]
    everything = await update(
        shop, organizer, changing, ticket_type_ids=[regular.id, early.id], size=7
    )
    assert (list(everything.ticket_type_ids), everything.remaining) == ([early.id, regular.id], 0)
    nothing = await update(shop, organizer, changing, ticket_type_ids=[])
    assert (list(nothing.ticket_type_ids), nothing.remaining) == ([], 7)
    assert await shop.remaining(published.id) == [7, 6]


async def test_a_change_of_other_fields_keeps_the_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    renamed = await update(shop, organizer, made, name="Gallery")
    assert (renamed.name, renamed.size) == ("Gallery", 5)
    assert list(renamed.ticket_type_ids) == list(made.ticket_type_ids)
    for field in ("name", "size"):
        with refused("FIELD_NOT_NULLABLE", field=field):
            await update(shop, organizer, made, null=(field,))
    for field in ("event_id", "remaining", "update_mask"):
        with refused("FIELD_NOT_CHANGEABLE", field=field):
            await update(shop, organizer, made, null=(field,))


async def test_a_lifted_quota_limits_nothing(shop: Shop, organizer: Organizer) -> None:
    published, types = await two_types(shop, organizer)
    tight, loose = [await shop.add_quota(organizer, size, *types) for size in (1, 7)]
    await shop.hold(published, 1)
    with refused("VERSION_MISMATCH"):
        await lift(shop, organizer, tight, '"2"')
    await lift(shop, organizer, tight, '"1"')
    assert await shop.remaining(published.id) == [6, 6]
    assert [found.id for found in await every(shop, organizer, published.id)] == [loose.id]
    for call in (lift, get, update):
        with refused("QUOTA_NOT_FOUND"):
            await call(shop, organizer, tight)


async def test_if_match_lets_one_of_two_writers_through(shop: Shop, organizer: Organizer) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    outcomes = await asyncio.gather(
        *(outcome(update(shop, organizer, made, size=size, if_match='"1"')) for size in (6, 7))
    )
    assert sorted(outcomes) == ["OK", "VERSION_MISMATCH"]
    assert (await update(shop, organizer, made, size=8, if_match="*")).version == 3


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
        await update(shop, organizer, made, **fields)
    assert await every(shop, organizer, published.id) == [made]


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
            await update(shop, organizer, made, ticket_type_ids=ids)
    assert await every(shop, organizer, published.id) == [made]


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
    assert len(await every(shop, organizer, published.id)) == 1


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
    assert await every(shop, organizer, published.id) == [made]


async def test_a_quota_is_found_through_its_own_event_only(
    shop: Shop, organizer: Organizer
) -> None:
    _, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    astray = Quota(id=made.id, event_id=(await shop.on_sale(organizer)).id)
    for call in (get, update, lift):
        with refused("QUOTA_NOT_FOUND"):
            await call(shop, organizer, astray)
    with refused("EVENT_NOT_FOUND"):
        await every(shop, organizer, "evt_none")
    assert await get(shop, organizer, made) == made


async def test_the_quotas_of_what_was_called_off_stay_as_they_were(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, *types)
    await shop.cancel(organizer, published.id)
    for change in (
        shop.add_quota(organizer, 1, *types),
        update(shop, organizer, made, size=9),
        lift(shop, organizer, made),
    ):
        with refused("EVENT_IS_FINAL"):
            await change
    assert await every(shop, organizer, published.id) == [made]


async def test_a_deleted_ticket_type_leaves_its_quotas(shop: Shop, organizer: Organizer) -> None:
    published, [early, regular] = await two_types(shop, organizer)
    made = await shop.add_quota(organizer, 5, early, regular)
    await shop.hold(published, 0, 2)
    request = event_service_pb2.DeleteTicketTypeRequest(
        event_id=published.id, ticket_type_id=early.id
    )
    await shop.public.events.DeleteTicketType(request, metadata=organizer.admin)
    seen = await get(shop, organizer, made)
    assert (list(seen.ticket_type_ids), seen.remaining) == ([regular.id], 3)


async def test_a_ticket_type_added_later_is_not_limited(shop: Shop, organizer: Organizer) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 5, *types)
    made = await shop.add_type(organizer, published.id, total_stock=20)
    assert made.remaining == 20
    assert await shop.remaining(published.id) == [5, 5, 20]


async def test_the_last_place_has_exactly_one_winner_whatever_the_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    published, types = await two_types(shop, organizer)
    await shop.add_quota(organizer, 1, *types)

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        quantities = (1, 0) if number % 3 else (0, 1)
        request = hold(published, *quantities, idempotency_key=new_key())
        return await persist(api.holds.CreateHold, request)

    outcomes = await asyncio.gather(*(buy(number) for number in range(200)))
    assert Counter(outcomes) == {"OK": 1, "SOLD_OUT": 199}


async def test_quotas_that_cross_do_not_make_buyers_block_each_other(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": name, "total_stock": 40} for name in "abc"]
    published = await shop.on_sale(organizer, *kinds)
    a, b, c = published.ticket_types
    for pair in ((c, a), (b, c), (a, b)):
        await shop.add_quota(organizer, 80, *pair)

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        quantities = [(1, 0, 1), (0, 1, 1), (1, 1, 0)][number % 3]
        request = hold(published, *quantities, idempotency_key=new_key())
        return await persist(api.holds.CreateHold, request)

    outcomes = await asyncio.gather(*(buy(number) for number in range(60)))
    assert Counter(outcomes) == {"OK": 60}
    assert [each.remaining for each in await every(shop, organizer, published.id)] == [0, 0, 0]


async def test_quotas_hold_while_buyers_and_the_admin_change_them_at_once(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": "Early", "total_stock": 40}, {"name": "Regular", "total_stock": 40}]
    published = await shop.on_sale(organizer, *kinds)
    early, regular = published.ticket_types
    shared = await shop.add_quota(organizer, 20, early, regular)
    own = await shop.add_quota(organizer, 12, regular)

    async def buy(number: int) -> tuple[int, int]:
        """What the buyer has in the end of each type."""
        api = shop.twin if number % 2 else shop.public
        quantities = [(1, 0), (0, 2), (1, 1)][number % 3]
        request = hold(published, *quantities, idempotency_key=new_key())
        if await persist(api.holds.CreateHold, request) != "OK":
            return (0, 0)
        held = await api.holds.CreateHold(request)
        if number % 4 == 0:
            await shop.release(held.id)
            return (0, 0)
        if number % 4 == 1:
            await shop.issue(held.id)
        return quantities

    changes = [
        *(update(shop, organizer, shared, size=size) for size in (5, 35, 10, 28, 16)),
        update(shop, organizer, shared, ticket_type_ids=[early.id]),
        update(shop, organizer, own, ticket_type_ids=[early.id, regular.id]),
        update(shop, organizer, shared, ticket_type_ids=[regular.id, early.id]),
        update(shop, organizer, own, ticket_type_ids=[regular.id], size=30),
        shop.add_quota(organizer, 18, early),
    ]

    async def administer() -> list[str]:
        return [await outcome(change) for change in changes]

    buyers = asyncio.gather(*(buy(number) for number in range(60)))
    administered, bought = await asyncio.gather(administer(), buyers)
    assert set(administered) <= {"OK", "QUOTA_BELOW_SOLD"}
    out = [sum(each) for each in zip(*bought, strict=True)]
    seen = (await shop.see(published.id)).ticket_types
    by_id = dict(zip((early.id, regular.id), out, strict=True))
    least = {early.id: 40 - out[0], regular.id: 40 - out[1]}
    for each in await every(shop, organizer, published.id):
        assert each.size - each.remaining == sum(by_id[key] for key in each.ticket_type_ids)
        for key in each.ticket_type_ids:
            least[key] = min(least[key], each.remaining)
    assert [kind.remaining for kind in seen] == [least[early.id], least[regular.id]]
