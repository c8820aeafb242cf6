"""What was sold, for how much, what remains and who came."""

import uuid

import pytest
from tessera.payment.v1 import insights_service_pb2
from tessera.ticket.v1 import event_service_pb2, hold_service_pb2, ticket_service_pb2

from tests.integration.payment_service.support import Shop
from tests.integration.ticket_service.support import event, refused, ticket_type


def about(event_id: str) -> insights_service_pb2.GetEventInsightsRequest:
    return insights_service_pb2.GetEventInsightsRequest(event_id=event_id)


async def test_insights_count_what_was_paid_and_who_came(shop: Shop) -> None:
    draft = await shop.tickets.events.CreateEvent(event(), metadata=shop.admin)
    for name, amount in (("Stalls", "50.00"), ("Balcony", "20.50")):
        price = {"currency_code": "EUR", "amount": amount}
        kind = ticket_type(draft.id, name=name, price=price, total_stock=10)
        await shop.tickets.events.CreateTicketType(kind, metadata=shop.admin)
    publish = event_service_pb2.PublishEventRequest(event_id=draft.id)
    found = await shop.tickets.events.PublishEvent(publish, metadata=shop.admin)
    stalls, balcony = (added.id for added in found.ticket_types)
    items = [
        hold_service_pb2.CreateHoldItem(ticket_type_id=stalls, quantity=1),
        hold_service_pb2.CreateHoldItem(ticket_type_id=balcony, quantity=2),
    ]
    request = hold_service_pb2.CreateHoldRequest(event_id=found.id, items=items)
    order = await shop.order(await shop.tickets.holds.CreateHold(request))
    await shop.hold(found, 3)
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    ticket = (await shop.issued(order))[0]
    scan = ticket_service_pb2.CreateCheckInRequest(ticket_code=ticket.code)
    await shop.tickets.tickets.CreateCheckIn(scan, metadata=shop.admin)

    seen = await shop.payments.insights.GetEventInsights(about(found.id), metadata=shop.admin)
    assert (seen.sold, seen.revenue.amount, seen.remaining, seen.admitted) == (3, "91.00", 14, 1)
    rows = {row.name: row for row in seen.ticket_types}
    assert (rows["Stalls"].sold, rows["Stalls"].revenue.amount) == (1, "50.00")
    assert (rows["Stalls"].remaining, rows["Stalls"].admitted) == (6, 1)
    assert (rows["Balcony"].sold, rows["Balcony"].revenue.amount) == (2, "41.00")
    assert (rows["Balcony"].remaining, rows["Balcony"].admitted) == (8, 0)
    assert [(day.sold, day.revenue.amount) for day in seen.days if day.sold] == [(3, "91.00")]
    assert sum(day.admitted for day in seen.days) == 1


async def test_days_are_the_events_own(shop: Shop) -> None:
    """At ten in the morning of 9 January in London it is the 10th in Kiritimati, 14 hours ahead."""
    sold_at = "UPDATE orders SET paid_at = '2026-01-09T10:00:00Z' WHERE id = :id"
    for zone, date in (("Pacific/Kiritimati", "2026-01-10"), ("Europe/London", "2026-01-09")):
        held = await shop.hold(await shop.event(price="0.00", time_zone=zone))
        order = await shop.order(held)
        await shop.installation.execute("payment", sold_at, id=order.id)
        seen = await shop.payments.insights.GetEventInsights(
            about(held.event_id), metadata=shop.admin
        )
        assert [(day.date, day.sold) for day in seen.days] == [(date, 1)]


async def test_event_without_sales_has_zeroes_in_its_currency(shop: Shop) -> None:
    found = await shop.event(currency="JPY", price="5000")
    seen = await shop.payments.insights.GetEventInsights(about(found.id), metadata=shop.admin)
    assert (seen.sold, seen.revenue.amount, seen.remaining) == (0, "0", 10)
    assert list(seen.days) == []


@pytest.mark.parametrize("exists", [True, False])
async def test_event_of_another_organizer_is_not_found(shop: Shop, exists: bool) -> None:
    found = await shop.event()
    stranger = shop.installation.issuer.metadata(f"org_{uuid.uuid4().hex}")
    with refused("EVENT_NOT_FOUND"):
        await shop.payments.insights.GetEventInsights(
            about(found.id if exists else "evt_nowhere"), metadata=stranger
        )


async def test_superadmin_sees_every_event(shop: Shop) -> None:
    found = await shop.event()
    root = shop.installation.issuer.metadata("", "SUPERADMIN")
    assert (
        await shop.payments.insights.GetEventInsights(about(found.id), metadata=root)
    ).remaining == 10
