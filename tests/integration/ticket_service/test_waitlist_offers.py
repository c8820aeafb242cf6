"""What returns to sale is offered to those who wait for it, before the public sees it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from google.protobuf import json_format
from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    hold_pb2,
    hold_service_pb2,
    messages_pb2,
    quota_service_pb2,
    seat_map_service_pb2,
)

from tests.integration.ticket_service.lines import (
    Entry,
    announced,
    join,
    lapse,
    leave,
    look,
    state_of,
    states,
)
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    money,
    patch,
    refused,
)
from ticket_service.waitlist.domain import WaitlistState

Return = Callable[[Shop, Organizer, event_pb2.Event], Awaitable[None]]


async def release(shop: Shop, organizer: Organizer, of: event_pb2.Event) -> None:
    await shop.release(await first_hold(shop, of))


async def expire(shop: Shop, organizer: Organizer, of: event_pb2.Event) -> None:
    await lapse(shop, await first_hold(shop, of))


async def take_back(shop: Shop, organizer: Organizer, of: event_pb2.Event) -> None:
    hold_id = await first_hold(shop, of)
    [ticket, *_] = await shop.issue(hold_id)
    await shop.take_back(ticket.order_id, hold_id)


async def give_up_an_order(shop: Shop, organizer: Organizer, of: event_pb2.Event) -> None:
    await shop.take_back("ord_none", await first_hold(shop, of))


async def add_stock(shop: Shop, organizer: Organizer, of: event_pb2.Event) -> None:
    change = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=of.id,
        ticket_type_id=of.ticket_types[0].id,
        total_stock=of.ticket_types[0].total_stock + 2,
    )
    await shop.public.events.UpdateTicketType(change, metadata=organizer.admin)


async def first_hold(shop: Shop, of: event_pb2.Event) -> str:
    [[hold_id]] = await shop.execute("SELECT min(id) FROM holds WHERE event_id = :id", id=of.id)
    return str(hold_id)


async def offered_hold(shop: Shop, entry: Entry) -> hold_pb2.Hold:
    """What an entry was offered."""
    hold_id = (await look(shop, entry.id)).hold_id
    return await shop.public.holds.GetHold(hold_service_pb2.GetHoldRequest(hold_id=hold_id))


async def hold_seats(shop: Shop, of: event_pb2.Event, *seat_ids: str) -> hold_pb2.Hold:
    """Hold exactly these seats of the event's first ticket type."""
    item = hold_service_pb2.CreateHoldItem(ticket_type_id=of.ticket_types[0].id, seat_ids=seat_ids)
    request = hold_service_pb2.CreateHoldRequest(event_id=of.id, items=[item])
    return await shop.public.holds.CreateHold(request)


@asynccontextmanager
async def never_on_sale(shop: Shop, of: event_pb2.Event) -> AsyncIterator[None]:
    """All the while, the public is told that nothing remains."""
    seen: set[int] = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            seen.update(await shop.remaining(of.id))

    watching = asyncio.create_task(watch())
    yield
    done.set()
    await watching
    assert seen == {0}


@pytest.mark.parametrize("stock_returns", [release, expire, take_back, give_up_an_order, add_stock])
async def test_what_returns_goes_to_the_first_in_line_and_the_public_never_sees_it(
    shop: Shop, organizer: Organizer, stock_returns: Return
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    await shop.hold(published, 2)
    first, second = [await join(shop, published, 2) for _ in range(2)]

    async def offered() -> bool:
        return await states(shop, first, second) == ["OFFERED", "WAITING"]

    async with never_on_sale(shop, published):
        await stock_returns(shop, organizer, published)
        await eventually(offered)

    entry = await look(shop, first.id)
    assert await shop.hold_state(entry.hold_id) == "ACTIVE"
    with refused("SOLD_OUT"):
        await shop.hold(published)


async def test_an_offer_is_a_hold_at_the_price_of_the_day_that_lives_half_an_hour(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    held = await shop.hold(published, 2)
    entry = await join(shop, published, 2)
    await shop.release(held.id)

    offered = await offered_hold(shop, entry)
    assert offered.total == money("100.00")
    assert offered.expires_at == (await look(shop, entry.id)).offer_expires_at
    lifetime = offered.expires_at.ToDatetime() - offered.created_at.ToDatetime()
    assert lifetime == timedelta(minutes=30)


async def test_an_offer_is_announced_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    assert await announced(shop, [entry]) == 0
    await shop.release(held.id)
    entry = await look(shop, entry.id)

    rows = await shop.execute(
        "SELECT routing_key, type, body FROM outbox WHERE encode(body, 'escape') LIKE :about",
        about=f"%{entry.id}%",
    )
    [(routing_key, kind, body)] = rows
    assert (routing_key, kind) == (
        "waitlist_entry.offered",
        "tessera.ticket.v1.WaitlistEntryOffered",
    )
    assert json_format.Parse(body, messages_pb2.WaitlistEntryOffered()) == (
        messages_pb2.WaitlistEntryOffered(
            waitlist_entry_id=entry.id,
            event_id=published.id,
            organizer_id=organizer.id,
            hold_id=entry.hold_id,
            expires_at=entry.offer_expires_at,
        )
    )


async def test_who_wants_more_than_there_is_keeps_their_place(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 6})
    small, large = await shop.hold(published, 2), await shop.hold(published, 4)
    family, couple, single, another = [await join(shop, published, n) for n in (4, 1, 2, 1)]
    await shop.release(small.id)
    assert await states(shop, family, couple, single, another) == [
        "WAITING",
        "OFFERED",
        "WAITING",
        "OFFERED",
    ]
    await shop.release(large.id)
    assert await states(shop, family, single) == ["OFFERED", "WAITING"]
    assert await shop.remaining(published.id) == [0]


async def test_what_nobody_waits_for_is_on_sale_again(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 3})
    held = await shop.hold(published, 3)
    entry, too_many = await join(shop, published), await join(shop, published, 5)
    await shop.release(held.id)
    assert await states(shop, entry, too_many) == ["OFFERED", "WAITING"]
    assert await shop.remaining(published.id) == [2]


async def test_who_lets_an_offer_lapse_is_out_and_the_next_in_line_gets_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    held = await shop.hold(published, 2)
    first, second = [await join(shop, published, 2) for _ in range(2)]
    await shop.release(held.id)

    async def passed_on() -> bool:
        return await states(shop, first, second) == ["OFFER_EXPIRED", "OFFERED"]

    async with never_on_sale(shop, published):
        await lapse(shop, (await look(shop, first.id)).hold_id)
        await eventually(passed_on)

    assert await announced(shop, [first, second]) == 2
    again = await join(shop, published)
    assert state_of(again) == "WAITING"


async def test_who_buys_what_was_offered_has_it(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    await shop.release(held.id)
    await shop.issue((await look(shop, entry.id)).hold_id)

    assert await states(shop, entry) == ["CONVERTED"]
    with refused("WAITLIST_ENTRY_CONVERTED"):
        await leave(shop, entry.id)


@pytest.mark.parametrize("state", ["OFFER_EXPIRED", "CANCELLED"])
async def test_what_is_bought_is_never_overwritten(
    shop: Shop, organizer: Organizer, state: str
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    await shop.release(held.id)
    hold_id = (await look(shop, entry.id)).hold_id
    await shop.issue(hold_id)
    async with shop.database.begin() as tx:
        await shop.offers.settle(tx, [hold_id], WaitlistState(state))
    assert await states(shop, entry) == ["CONVERTED"]


async def test_who_pays_late_and_gets_the_tickets_all_the_same_has_them(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    await shop.release(held.id)
    offered = await look(shop, entry.id)
    await lapse(shop, offered.hold_id)

    async def expired() -> bool:
        return await states(shop, entry) == ["OFFER_EXPIRED"]

    await eventually(expired)
    await shop.issue(offered.hold_id)
    assert await states(shop, entry) == ["CONVERTED"]


@pytest.mark.parametrize("by", ["the entry", "the hold", "the order"])
async def test_who_gives_an_offer_up_passes_it_on(
    shop: Shop, organizer: Organizer, by: str
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    first, second = [await join(shop, published) for _ in range(2)]
    await shop.release(held.id)
    hold_id = (await look(shop, first.id)).hold_id

    async with never_on_sale(shop, published):
        if by == "the entry":
            assert state_of(await leave(shop, first.id)) == "CANCELLED"
        elif by == "the hold":
            await shop.release(hold_id)
        else:
            await shop.take_back("ord_given_up", hold_id)

    assert await states(shop, first, second) == ["CANCELLED", "OFFERED"]
    assert await shop.hold_state(hold_id) == "RELEASED"
    assert state_of(await leave(shop, first.id)) == "CANCELLED"


async def test_leaving_when_the_offer_has_lapsed_changes_nothing(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    await shop.release(held.id)
    await lapse(shop, (await look(shop, entry.id)).hold_id)

    async def expired() -> bool:
        return await states(shop, entry) == ["OFFER_EXPIRED"]

    await eventually(expired)
    assert state_of(await leave(shop, entry.id)) == "OFFER_EXPIRED"


async def test_leaving_while_the_offer_is_made_either_has_it_or_passes_it_on(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 10, "max_per_order": 1})
    holds = [await shop.hold(published) for _ in range(10)]
    entries = [await join(shop, published) for _ in range(12)]
    await asyncio.gather(
        *(shop.release(held.id) for held in holds),
        *(leave(shop, entry.id) for entry in entries[:6]),
    )
    assert await states(shop, *entries) == ["CANCELLED"] * 6 + ["OFFERED"] * 6
    assert await shop.remaining(published.id) == [4]


async def test_room_in_a_quota_is_offered_to_those_who_wait_for_any_of_its_ticket_types(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {}, {}, {})
    shared, other = published.ticket_types[:2], published.ticket_types[1:]
    await shop.add_quota(organizer, 2, *shared)
    await shop.add_quota(organizer, 9, *other)
    held = await shop.hold(published, 2)
    entry, later = await join(shop, published, 2, number=1), await join(shop, published)

    await shop.release(held.id)

    assert await states(shop, entry, later) == ["OFFERED", "WAITING"]
    assert await shop.remaining(published.id) == [0, 0, 7]


async def test_of_those_who_share_a_quota_whoever_waits_longest_is_served(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {}, {})
    await shop.add_quota(organizer, 1, *published.ticket_types)
    held = await shop.hold(published)
    entries = [await join(shop, published, number=number) for number in (1, 0, 1)]
    for expected in range(3):
        await shop.release(held.id)
        found = await states(shop, *entries)
        assert found.index("OFFERED") == expected, found
        held = await offered_hold(shop, entries[expected])


async def test_a_quota_that_grows_serves_the_line(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    quota = await shop.add_quota(organizer, 1, *published.ticket_types)
    await shop.hold(published)
    entry = await join(shop, published, 2)
    change = patch(
        quota_service_pb2.UpdateQuotaRequest, event_id=published.id, quota_id=quota.id, size=3
    )
    async with never_on_sale(shop, published):
        await shop.public.quotas.UpdateQuota(change, metadata=organizer.admin)
    assert await states(shop, entry) == ["OFFERED"]


async def test_seats_that_return_are_offered_together_or_not_at_all(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAAAA")
    seats = await shop.seats(theatre.id)
    left, middle, right = [await hold_seats(shop, theatre, *seats[n : n + 2]) for n in (0, 2, 4)]
    pair, trio, single = [await join(shop, theatre, count) for count in (2, 3, 1)]

    await shop.release(middle.id)
    assert await states(shop, pair, trio, single) == ["OFFERED", "WAITING", "WAITING"]
    offered = await offered_hold(shop, pair)
    assert offered.items[0].seats == middle.items[0].seats

    await shop.release(left.id)
    assert await states(shop, trio, single) == ["WAITING", "OFFERED"]
    await shop.release(right.id)
    # Three are free, but not three together.
    assert await states(shop, trio) == ["WAITING"]
    assert await shop.remaining(theatre.id) == [3]


async def test_seats_that_are_unblocked_are_offered(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "Aaa")
    await shop.hold(theatre)
    entry = await join(shop, theatre, 2)
    async with never_on_sale(shop, theatre):
        await shop.unblock(organizer, theatre.id, *await shop.seats(theatre.id, "1-2", "1-3"))
    assert await states(shop, entry) == ["OFFERED"]


async def test_what_is_not_on_sale_is_not_offered(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1}, {"total_stock": 1})
    one, other = await shop.hold(published, 1), await shop.hold(published, 0, 1)
    entries = [await join(shop, published), await join(shop, published, number=1)]
    await shop.execute(
        "UPDATE ticket_types SET sales_end = now() WHERE id = :id", id=published.ticket_types[0].id
    )
    await shop.release(one.id)
    assert await shop.remaining(published.id) == [1, 0]
    await shop.cancel(organizer, published.id)
    await shop.release(other.id)
    assert "OFFERED" not in await states(shop, *entries)
    assert await announced(shop, entries) == 0


async def test_who_joined_before_an_admin_allowed_fewer_per_order_is_passed_over(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 3})
    held = await shop.hold(published, 3)
    three, one = await join(shop, published, 3), await join(shop, published)
    await shop.execute(
        "UPDATE ticket_types SET max_per_order = 2 WHERE id = :id", id=published.ticket_types[0].id
    )
    await shop.release(held.id)
    assert await states(shop, three, one) == ["WAITING", "OFFERED"]


async def test_what_returned_while_sales_were_paused_is_offered_when_they_begin_again(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    held = await shop.hold(published)
    entry = await join(shop, published)
    begin = "UPDATE ticket_types SET sales_start = now() + CAST(:pause AS interval) WHERE id = :id"
    [made] = published.ticket_types
    await shop.execute(begin, id=made.id, pause=timedelta(hours=1))
    await shop.release(held.id)
    assert await states(shop, entry) == ["WAITING"]
    await shop.execute(begin, id=made.id, pause=timedelta(0))

    async def offered() -> bool:
        return await states(shop, entry) == ["OFFERED"]

    await eventually(offered)


async def test_seats_that_are_none_any_more_are_offered(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AA|A", "A")
    held = [await shop.hold(theatre, quantity) for quantity in (2, 1, 1)]
    entry = await join(shop, theatre, 3)
    for each in held:
        await shop.release(each.id)
    assert await states(shop, entry) == ["WAITING"]  # no three are together
    request = seat_map_service_pb2.DeleteSeatMapRequest(event_id=theatre.id)
    await shop.public.seat_maps.DeleteSeatMap(request, metadata=organizer.admin)
    assert await states(shop, entry) == ["OFFERED"]
    assert await shop.remaining(theatre.id) == [1]
