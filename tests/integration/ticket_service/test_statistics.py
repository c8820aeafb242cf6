"""What payment_service learns of an event for its insights."""

from datetime import UTC, datetime

from tessera.ticket.v1 import ticket_service_pb2

from tests.integration.ticket_service.lines import join, look
from tests.integration.ticket_service.support import Organizer, Shop, refused


async def statistics(shop: Shop, event_id: str) -> ticket_service_pb2.GetEventStatisticsResponse:
    request = ticket_service_pb2.GetEventStatisticsRequest(event_id=event_id)
    return await shop.internal.tickets.GetEventStatistics(request)


async def test_stock_and_admissions_are_counted_by_ticket_type(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "B"}, {"name": "C"})
    issued = await shop.issue((await shop.hold(published, 3, 2)).id)
    await shop.hold(published, 1)
    for ticket in (issued[0], issued[0], issued[1], issued[4]):  # one is shown twice
        await shop.scan(organizer.staff, ticket.code)
    found = await statistics(shop, published.id)
    assert (found.organizer_id, found.currency_code, found.time_zone) == (
        organizer.id,
        "EUR",
        "Europe/Prague",
    )
    counted = [(kind.name, kind.remaining, kind.admitted) for kind in found.ticket_types]
    assert counted == [("A", 6, 2), ("B", 8, 1), ("C", 10, 0)]
    assert [day.admitted for day in found.days] == [3]


async def test_a_day_begins_at_midnight_where_the_event_is(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, time_zone="Asia/Kathmandu")  # UTC+05:45
    issued = await shop.issue((await shop.hold(published, 4)).id)
    moments = [(18, 14), (18, 15), (23, 59), (0, 0)]
    for ticket, (hour, minute) in zip(issued, moments, strict=True):
        await shop.scan(organizer.staff, ticket.code)
        await shop.execute(
            "UPDATE check_ins SET checked_at = :at WHERE ticket_id = :id",
            at=datetime(2026, 6, 30, hour, minute, tzinfo=UTC),
            id=ticket.id,
        )
    days = [(day.date, day.admitted) for day in (await statistics(shop, published.id)).days]
    assert days == [("2026-06-30", 2), ("2026-07-01", 2)]


async def test_what_remains_is_what_a_quota_leaves(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 10}, {"total_stock": 3})
    await shop.add_quota(organizer, 4, *published.ticket_types)
    found = await statistics(shop, published.id)
    assert [kind.remaining for kind in found.ticket_types] == [4, 3]


async def test_holds_are_counted_whatever_became_of_them_and_offers_that_were_taken_up(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 3})
    sold, released, _ = [await shop.hold(published) for _ in range(3)]
    await shop.issue(sold.id)
    assert (await statistics(shop, published.id)).holds == 3
    entries = [await join(shop, published) for _ in range(2)]
    await shop.release(released.id)
    assert (await statistics(shop, published.id)).holds == 3
    await shop.issue((await look(shop, entries[0].id)).hold_id)
    assert (await statistics(shop, published.id)).holds == 4


async def test_an_event_without_sales_has_zeroes(shop: Shop, organizer: Organizer) -> None:
    draft = await shop.draft(organizer)
    found = await statistics(shop, draft.id)
    assert (list(found.ticket_types), list(found.days), found.holds) == ([], [], 0)
    with refused("EVENT_NOT_FOUND"):
        await statistics(shop, "evt_none")
