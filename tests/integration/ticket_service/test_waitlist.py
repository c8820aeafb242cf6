"""Customers join the waiting list of what is sold out, look at their place, and leave it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tessera.ticket.v1 import event_pb2, event_service_pb2, waitlist_service_pb2

from tests.integration.ticket_service.lines import (
    Entry,
    customer,
    join,
    joining,
    leave,
    line,
    look,
    state_of,
    states,
)
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    days_ahead,
    new_key,
    outcome,
    patch,
    refused,
)
from ticket_service.waitlist import operations
from ticket_service.waitlist.domain import MAX_WAITING


async def sold_out(shop: Shop, organizer: Organizer, **fields: Any) -> event_pb2.Event:
    """An event whose only tickets, two if nothing else is said, are held."""
    stock = fields.pop("total_stock", 2)
    published = await shop.on_sale(organizer, {"total_stock": stock, **fields})
    if stock:
        await shop.hold(published, stock)
    return published


async def test_whoever_joins_gets_a_place_that_shows_nobody_who_they_are(
    shop: Shop, organizer: Organizer
) -> None:
    published = await sold_out(shop, organizer)
    entry = await join(shop, published, 2, customer=customer("grace@example.org"))

    assert state_of(entry) == "WAITING"
    assert (entry.event_id, entry.quantity) == (published.id, 2)
    assert entry.ticket_type_id == published.ticket_types[0].id
    assert not entry.HasField("hold_id")
    assert not entry.HasField("offer_expires_at")
    assert not entry.HasField("customer")
    assert await look(shop, entry.id) == entry


async def test_the_organizers_admins_see_who_waits_and_so_do_services(
    shop: Shop, organizer: Organizer
) -> None:
    entry = await join(shop, await sold_out(shop, organizer), customer=customer("g@example.org"))

    for seen in (
        await look(shop, entry.id, organizer.admin),
        await look(shop, entry.id, shop.issuer.metadata("", "SUPERADMIN")),
        await look(shop, entry.id, api=shop.internal),
    ):
        assert (seen.customer.email, seen.customer.full_name) == ("g@example.org", "Grace Guest")
    for by in (organizer.staff, shop.organizer().admin):
        assert not (await look(shop, entry.id, by)).HasField("customer")


async def test_one_who_can_have_the_tickets_need_not_wait(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    with refused("NOT_SOLD_OUT"):
        await join(shop, published, 2)
    assert state_of(await join(shop, published, 3)) == "WAITING"


async def test_an_exhausted_quota_is_sold_out_though_the_ticket_type_is_not(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {}, {})
    await shop.add_quota(organizer, 2, *published.ticket_types)
    with refused("NOT_SOLD_OUT"):
        await join(shop, published, number=1)
    await shop.hold(published, 2)
    assert state_of(await join(shop, published, number=1)) == "WAITING"


async def test_seats_are_on_sale_until_too_few_are_left(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    await shop.hold(theatre, 2)
    with refused("NOT_SOLD_OUT"):
        await join(shop, theatre, 2)
    assert state_of(await join(shop, theatre, 3)) == "WAITING"


Request = Callable[[event_pb2.Event], Any]


@pytest.mark.parametrize(
    ("request_for", "reason", "field"),
    [
        (lambda of: joining(of, event_id="evt_none"), "EVENT_NOT_FOUND", ""),
        (lambda of: joining(of, ticket_type_id="tt_none"), "TICKET_TYPE_NOT_FOUND", ""),
        (lambda of: joining(of, 11), "TOO_MANY_TICKETS", "quantity"),
        (lambda of: joining(of, 0), "INVALID_REQUEST", "quantity"),
        (lambda of: joining(of, 101), "INVALID_REQUEST", "quantity"),
        (lambda of: joining(of, customer=None), "INVALID_REQUEST", "customer"),
        (lambda of: joining(of, customer=customer("grace")), "INVALID_REQUEST", "customer.email"),
    ],
    ids=range(7),
)
async def test_what_nobody_could_buy_nobody_can_wait_for(
    shop: Shop, organizer: Organizer, request_for: Request, reason: str, field: str
) -> None:
    published = await sold_out(shop, organizer)
    with refused(reason, field=field):
        await shop.public.waitlist.CreateWaitlistEntry(request_for(published))


async def test_there_is_no_line_for_what_is_not_on_sale(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    ticket_type = await shop.add_type(organizer, draft.id, total_stock=0)
    with refused("EVENT_NOT_ON_SALE"):
        await join(shop, event_pb2.Event(id=draft.id, ticket_types=[ticket_type]))
    published = await shop.on_sale(
        organizer,
        {"total_stock": 0, "sales_start": days_ahead(1)},
        {"total_stock": 0, "sales_end": days_ahead(-1)},
    )
    with refused("SALES_NOT_STARTED"):
        await join(shop, published)
    with refused("SALES_ENDED"):
        await join(shop, published, number=1)
    await shop.cancel(organizer, published.id)
    with refused("EVENT_NOT_ON_SALE"):
        await join(shop, published)


async def test_the_ticket_type_is_of_the_event(shop: Shop, organizer: Organizer) -> None:
    published, other = await sold_out(shop, organizer), await sold_out(shop, organizer)
    with refused("TICKET_TYPE_NOT_FOUND"):
        await join(shop, published, ticket_type_id=other.ticket_types[0].id)


async def test_nobody_stands_in_a_line_twice_however_they_spell_their_address(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 0}, {"total_stock": 0})
    entry = await join(shop, published, customer=customer("grace@example.org"))
    with refused("ALREADY_WAITING"):
        await join(shop, published, 2, customer=customer("Grace@Example.org"))
    await join(shop, published, number=1, customer=customer("grace@example.org"))
    await leave(shop, entry.id)
    await join(shop, published, customer=customer("GRACE@example.org"))


async def test_of_an_addresses_requests_at_the_same_moment_one_gets_a_place(
    shop: Shop, organizer: Organizer
) -> None:
    published = await sold_out(shop, organizer)
    request = joining(published, customer=customer("grace@example.org"))
    outcomes = await asyncio.gather(
        *(
            outcome(api.waitlist.CreateWaitlistEntry(request))
            for api in [shop.public, shop.twin] * 5
        )
    )
    assert sorted(outcomes) == ["ALREADY_WAITING"] * 9 + ["OK"]


async def test_a_line_has_an_end(shop: Shop, organizer: Organizer) -> None:
    published = await sold_out(shop, organizer)
    await fill(shop, published, MAX_WAITING)
    with refused("WAITLIST_FULL"):
        await join(shop, published)
    [[waiting]] = await shop.execute(
        "SELECT min(id) FROM waitlist_entries WHERE event_id = :id", id=published.id
    )
    await leave(shop, waiting)
    await join(shop, published)
    await shop.execute("DELETE FROM waitlist_entries WHERE event_id = :id", id=published.id)


async def fill(shop: Shop, of: event_pb2.Event, count: int) -> None:
    """So many customers join at once."""
    await shop.execute(
        """
        INSERT INTO waitlist_entries (id, event_id, ticket_type_id, quantity, state, email,
                                      full_name)
        SELECT 'wle_' || :type || n, :event, :type, 1, 'WAITING', n || '@example.org', 'Grace'
        FROM generate_series(1, :count) n
        """,
        event=of.id,
        type=of.ticket_types[0].id,
        count=count,
    )


async def test_the_same_key_gives_the_same_place(shop: Shop, organizer: Organizer) -> None:
    published = await sold_out(shop, organizer)
    request = joining(published, idempotency_key=new_key())
    entry = await shop.public.waitlist.CreateWaitlistEntry(request)
    assert await shop.twin.waitlist.CreateWaitlistEntry(request) == entry
    await leave(shop, entry.id)
    assert await shop.public.waitlist.CreateWaitlistEntry(request) == entry
    request.quantity = 2
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.public.waitlist.CreateWaitlistEntry(request)


async def test_leaving_twice_is_leaving_once(shop: Shop, organizer: Organizer) -> None:
    entry = await join(shop, await sold_out(shop, organizer))
    left = await leave(shop, entry.id)
    assert state_of(left) == "CANCELLED"
    assert not left.HasField("customer")
    assert await leave(shop, entry.id) == left
    with refused("WAITLIST_ENTRY_NOT_FOUND"):
        await leave(shop, "wle_none")
    with refused("WAITLIST_ENTRY_NOT_FOUND"):
        await look(shop, "wle_none")


async def test_an_admin_reads_the_line_in_order_page_by_page(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 0}, {"total_stock": 0})
    entries = [await join(shop, published, number=number) for number in (0, 1, 0, 0, 1)]

    listed: list[Entry] = []
    token = ""
    while True:
        page = await line(shop, organizer, published.id, page_size=2, page_token=token)
        assert len(page.waitlist_entries) <= 2
        listed += page.waitlist_entries
        token = page.next_page_token
        if not token:
            break

    assert [each.id for each in listed] == [entry.id for entry in entries]
    assert all(each.customer.email for each in listed)
    with refused("INVALID_PAGE_TOKEN"):
        await line(shop, organizer, published.id, page_token="nonsense")


async def test_the_line_can_be_filtered_by_ticket_type_and_state(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 0}, {"total_stock": 0})
    first, second, third = [await join(shop, published, number=number) for number in (0, 1, 1)]
    await leave(shop, third.id)

    async def ids(**filters: Any) -> list[str]:
        page = await line(shop, organizer, published.id, **filters)
        return [each.id for each in page.waitlist_entries]

    assert await ids(state=1) == [first.id, second.id]
    assert await ids(state=5) == [third.id]
    assert await ids(ticket_type_id=second.ticket_type_id) == [second.id, third.id]
    assert await ids(ticket_type_id=second.ticket_type_id, state=1) == [second.id]
    assert await ids(state=2) == []


async def test_only_the_organizers_admins_read_the_line(shop: Shop, organizer: Organizer) -> None:
    published = await sold_out(shop, organizer)
    with refused("EVENT_NOT_FOUND"):
        await line(shop, shop.organizer(), published.id)
    with refused("EVENT_NOT_FOUND"):
        await line(shop, organizer, "evt_none")
    request = waitlist_service_pb2.ListWaitlistEntriesRequest(event_id=published.id)
    with refused("TOKEN_MISSING"):
        await shop.public.waitlist.ListWaitlistEntries(request)
    with refused("ROLE_NOT_ALLOWED"):
        await shop.public.waitlist.ListWaitlistEntries(request, metadata=organizer.staff)


async def test_a_ticket_type_that_is_deleted_takes_its_line_with_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 0}, {})
    entry = await join(shop, published)
    request = event_service_pb2.DeleteTicketTypeRequest(
        event_id=published.id, ticket_type_id=published.ticket_types[0].id
    )
    await shop.public.events.DeleteTicketType(request, metadata=organizer.admin)
    with refused("WAITLIST_ENTRY_NOT_FOUND"):
        await look(shop, entry.id)


@pytest.mark.parametrize("over", ["ENDED", "CANCELLED"])
async def test_nobody_waits_for_an_event_that_is_over_or_called_off(
    shop: Shop, organizer: Organizer, over: str
) -> None:
    published, other = await sold_out(shop, organizer), await sold_out(shop, organizer)
    entries = [await join(shop, each) for each in (published, published, other)]
    change = "UPDATE events SET state = :state WHERE id = :id"
    await shop.execute(change, state=over, id=published.id)
    await operations.close_lines(shop.database)
    assert await states(shop, *entries) == ["CANCELLED", "CANCELLED", "WAITING"]


async def test_nobody_waits_for_what_is_on_sale_however_they_come_and_go(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 20})
    holds = await asyncio.gather(*(shop.hold(published) for _ in range(20)))
    joined = [shop.public, shop.twin] * 15
    outcomes = await asyncio.gather(
        *(shop.release(held.id) for held in holds),
        *(outcome(api.waitlist.CreateWaitlistEntry(joining(published))) for api in joined),
    )

    assert set(outcomes[20:]) <= {"OK", "NOT_SOLD_OUT"}
    entries = (await line(shop, organizer, published.id)).waitlist_entries
    found = await states(shop, *entries)
    [remaining] = await shop.remaining(published.id)
    assert remaining == 0 or "WAITING" not in found
    assert found.count("OFFERED") + remaining == 20


async def test_more_per_order_can_be_waited_for_when_an_admin_allows_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await sold_out(shop, organizer)
    [ticket_type] = published.ticket_types
    change = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=published.id,
        ticket_type_id=ticket_type.id,
        max_per_order=12,
    )
    await shop.public.events.UpdateTicketType(change, metadata=organizer.admin)
    assert (await join(shop, published, 12)).quantity == 12
