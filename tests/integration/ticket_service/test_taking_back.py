"""Some of an order's tickets are taken back, and what comes back is sold again or is not."""

import asyncio
from collections.abc import Sequence

import pytest
from tessera.ticket.v1 import (
    availability_service_pb2,
    event_service_pb2,
    seat_map_service_pb2,
    seat_pb2,
    ticket_pb2,
)

from tests.integration.ticket_service.lines import join, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    new_order_id,
    patch,
    refused,
)

CANCELLED = ticket_pb2.TICKET_STATE_CANCELLED


def cancelled(tickets: Sequence[ticket_pb2.Ticket]) -> list[int]:
    """The numbers of those tickets that were taken back."""
    return [ticket.number for ticket in tickets if ticket.state == CANCELLED]


async def sizes(shop: Shop, event_id: str) -> list[tuple[int, int]]:
    """Of each ticket type of a public event, how many there are in all, and how many remain."""
    return [(kind.total_stock, kind.remaining) for kind in (await shop.see(event_id)).ticket_types]


# Some of them.


async def test_the_tickets_named_are_taken_back_and_the_others_stay(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "B"})
    held, order_id = await shop.hold(published, 2, 2), new_order_id()
    issued = await shop.issue(held.id, order_id)
    answer = await shop.take_back(order_id, held.id, numbers=[2, 3])
    assert cancelled(answer) == [2, 3]
    assert [ticket.id for ticket in answer] == [ticket.id for ticket in issued]
    assert await shop.remaining(published.id) == [9, 9]
    assert await shop.tickets(order_id) == await shop.issue(held.id, order_id) == answer
    assert await shop.hold_state(held.id) == "CONVERTED"


async def test_numbers_that_overlap_take_each_ticket_back_once(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 4), new_order_id()
    await shop.issue(held.id, order_id)
    which = ([1, 2], [2, 3], [1, 2], [3, 7])
    await asyncio.gather(*(shop.take_back(order_id, held.id, numbers=each) for each in which))
    assert cancelled(await shop.tickets(order_id)) == [1, 2, 3]
    assert await shop.remaining(published.id) == [9]
    assert cancelled(await shop.take_back(order_id, held.id)) == [1, 2, 3, 4]
    assert await shop.remaining(published.id) == [10]


async def test_taking_back_some_of_no_tickets_gives_up_no_hold(
    shop: Shop, organizer: Organizer
) -> None:
    held, order_id = await shop.hold(await shop.on_sale(organizer)), new_order_id()
    assert await shop.take_back(order_id, held.id, numbers=[1]) == []
    assert await shop.hold_state(held.id) == "ACTIVE"
    assert len(await shop.issue(held.id, order_id)) == 1


async def test_the_seat_of_a_ticket_that_is_taken_back_is_sold_again(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAA")
    held, order_id = await shop.hold(theatre, 3), new_order_id()
    await shop.issue(held.id, order_id)
    await shop.take_back(order_id, held.id, numbers=[2])
    assert (await shop.seat_states(theatre.id)).states == "SAS"
    [ticket] = await shop.issue((await shop.hold(theatre, 1)).id)
    assert ticket.seat.number == "2"
    await shop.take_back(order_id, held.id, numbers=[1, 2])  # the second is another's now
    assert (await shop.seat_states(theatre.id)).states == "ASS"


async def test_what_comes_back_goes_to_those_who_wait(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 3})
    held, order_id = await shop.hold(published, 3), new_order_id()
    await shop.issue(held.id, order_id)
    pair, single = await join(shop, published, 2), await join(shop, published)
    await shop.take_back(order_id, held.id, numbers=[2])
    assert await states(shop, pair, single) == ["WAITING", "OFFERED"]
    assert await shop.remaining(published.id) == [0]


# What was used to enter.


async def test_what_was_used_is_spared_if_asked_and_stays_so_the_next_time(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 3), new_order_id()
    _, used, _ = await shop.issue(held.id, order_id)
    await shop.scan(organizer.staff, used.code)
    for _ in range(2):
        answer = await shop.take_back(order_id, held.id, numbers=[1, 2], spare_admitted=True)
        assert cancelled(answer) == [1]
        assert answer[1].HasField("admitted_at")
        assert await shop.remaining(published.id) == [8]
    assert cancelled(await shop.take_back(order_id, held.id, spare_admitted=True)) == [1, 3]
    assert cancelled(await shop.take_back(order_id, held.id)) == [1, 2, 3]
    assert await shop.remaining(published.id) == [10]


# What is not sold again.


async def test_the_stock_of_what_is_kept_off_sale_is_gone(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "B"})
    quota = await shop.add_quota(organizer, 12, *published.ticket_types)
    held, order_id = await shop.hold(published, 3, 2), new_order_id()
    await shop.issue(held.id, order_id)
    for _ in range(2):
        answer = await shop.take_back(order_id, held.id, numbers=[1, 3, 4], keep_off_sale=True)
        assert cancelled(answer) == [1, 3, 4]
    assert await sizes(shop, published.id) == [(8, 7), (9, 7)]
    shrunk = await shop.quota(organizer, quota)
    assert (shrunk.size, shrunk.remaining) == (9, 7)
    # What is cancelled is cancelled: neither does it come back, nor go again.
    await shop.take_back(order_id, held.id, numbers=[1, 2])
    assert await sizes(shop, published.id) == [(8, 8), (9, 8)]
    await shop.take_back(order_id, held.id, keep_off_sale=True)
    assert await sizes(shop, published.id) == [(8, 8), (8, 8)]


async def test_who_changes_stock_that_shrank_meanwhile_is_told(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    [seen] = published.ticket_types
    quota = await shop.add_quota(organizer, 12, seen)
    [ticket] = await shop.issue((await shop.hold(published)).id)
    await shop.take_back(ticket.order_id, keep_off_sale=True)
    change = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=published.id,
        ticket_type_id=seen.id,
        total_stock=11,
        if_match=f'"{seen.version}"',
    )
    with refused("VERSION_MISMATCH"):
        await shop.public.events.UpdateTicketType(change, metadata=organizer.admin)
    with refused("VERSION_MISMATCH"):
        await shop.change_quota(organizer, quota, size=9, if_match=f'"{quota.version}"')


async def test_a_seat_that_is_kept_off_sale_is_blocked_for_the_house(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AABBB")
    held, order_id = await shop.hold(theatre, 2, 1), new_order_id()
    await shop.issue(held.id, order_id)
    version = (await shop.seat_states(theatre.id)).version
    await shop.take_back(order_id, held.id, numbers=[2, 3], keep_off_sale=True)
    now = await shop.seat_states(theatre.id, version)
    assert now.version == version + 1
    assert [(change.position, change.state) for change in now.changes] == [(1, "B"), (2, "B")]
    assert await sizes(shop, theatre.id) == [(1, 0), (2, 2)]
    request = seat_map_service_pb2.ListBlockedSeatsRequest(event_id=theatre.id)
    blocked = await shop.public.seat_maps.ListBlockedSeats(request, metadata=organizer.admin)
    for each in blocked.blocked_seats:
        assert each.reason == seat_pb2.BLOCK_REASON_HOUSE
        assert order_id in each.note
    # An admin may change their mind.
    await shop.unblock(organizer, theatre.id, *await shop.seats(theatre.id, "1-2"))
    assert await sizes(shop, theatre.id) == [(2, 1), (2, 2)]


async def test_what_is_kept_off_sale_is_offered_to_nobody(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    held, order_id = await shop.hold(published, 2), new_order_id()
    await shop.issue(held.id, order_id)
    entry = await join(shop, published)
    await shop.take_back(order_id, held.id, keep_off_sale=True)
    assert await states(shop, entry) == ["WAITING"]
    assert await sizes(shop, published.id) == [(0, 0)]


async def test_the_stock_of_a_hold_that_is_given_up_returns_since_it_was_never_sold(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 4), new_order_id()
    assert await shop.take_back(order_id, held.id, keep_off_sale=True) == []
    assert await sizes(shop, published.id) == [(10, 10)]
    assert await shop.issue(held.id, order_id) == []


@pytest.mark.parametrize("keep_off_sale", [False, True])
async def test_two_who_take_back_the_same_at_once_move_its_stock_once(
    shop: Shop, organizer: Organizer, *, keep_off_sale: bool
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    held, order_id = await shop.hold(theatre, 4), new_order_id()
    await shop.issue(held.id, order_id)
    both = (
        shop.take_back(order_id, held.id, numbers=numbers, keep_off_sale=keep_off_sale)
        for numbers in ([1, 2, 3], [3, 2], [], [4])
    )
    await asyncio.gather(*both)
    expected = [(0, 0)] if keep_off_sale else [(4, 4)]
    assert await sizes(shop, theatre.id) == expected


async def test_a_watcher_sees_the_seat_that_is_kept_off_sale(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    held, order_id = await shop.hold(theatre, 2), new_order_id()
    await shop.issue(held.id, order_id)
    request = availability_service_pb2.WatchAvailabilityRequest(event_id=theatre.id)
    watching = shop.public.availability.WatchAvailability(request)
    messages = aiter(watching)
    await anext(messages)
    await shop.take_back(order_id, held.id, numbers=[2], keep_off_sale=True)
    async with asyncio.timeout(20):
        seen = await anext(messages)
    assert [(change.position, change.state) for change in seen.changed_seats] == [(1, "B")]
    watching.cancel()


async def test_tickets_that_were_kept_off_sale_leave_their_type_to_be_sold_on(
    shop: Shop, organizer: Organizer
) -> None:
    """Also while others buy: the last of what is left is sold once."""
    published = await shop.on_sale(organizer, {"total_stock": 6, "max_per_order": 6})
    held, order_id = await shop.hold(published, 4), new_order_id()
    await shop.issue(held.id, order_id)

    async def buy() -> None:
        await shop.public.holds.CreateHold(hold(published, 1))

    await asyncio.gather(
        shop.take_back(order_id, held.id, numbers=[1, 2], keep_off_sale=True),
        buy(),
        shop.take_back(order_id, held.id, numbers=[3]),
        buy(),
    )

    async def is_settled() -> bool:
        return await sizes(shop, published.id) == [(4, 1)]

    await eventually(is_settled)
