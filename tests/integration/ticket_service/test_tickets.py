"""Issuing an order's tickets once, and taking them back."""

import asyncio

from sqlalchemy import text
from tessera.ticket.v1 import event_service_pb2, ticket_pb2, ticket_service_pb2

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    money,
    new_order_id,
    outcome,
    refused,
)


async def expired_hold(shop: Shop, organizer: Organizer, stock: int) -> tuple[str, str]:
    """The ids of an event with so much stock and of a hold on one of its tickets, now expired."""
    published = await shop.on_sale(organizer, {"total_stock": stock})
    held = await shop.hold(published, hasty=True)

    async def expired() -> bool:
        return await shop.hold_state(held.id) == "EXPIRED"

    await eventually(expired)
    return published.id, held.id


async def test_a_hold_becomes_one_ticket_per_place_in_order(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "A"}, {"name": "B", "price": money("0.00")})
    order_id = new_order_id()
    issued = await shop.issue((await shop.hold(published, 1, 2)).id, order_id)
    assert [ticket.ticket_type_name for ticket in issued] == ["A", "B", "B"]
    assert [ticket.number for ticket in issued] == [1, 2, 3]
    assert len({ticket.id for ticket in issued}) == len({ticket.code for ticket in issued}) == 3
    for ticket in issued:
        assert ticket.id.startswith("tkt_")
        assert len(ticket.code) == 20
        assert ticket.state == ticket_pb2.TICKET_STATE_ISSUED
        assert (ticket.order_id, ticket.event_id) == (order_id, published.id)
        assert (ticket.holder_name, ticket.holder_email) == ("Ada Lovelace", "")
        assert not ticket.is_blocked
        assert not ticket.HasField("admitted_at")
    assert await shop.tickets(order_id) == issued
    assert await shop.remaining(published.id) == [9, 8]


async def test_an_order_without_tickets_has_none(shop: Shop) -> None:
    assert await shop.tickets(new_order_id()) == []


async def test_the_same_order_gets_the_same_tickets(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 3), new_order_id()
    issued = await shop.issue(held.id, order_id)
    assert await shop.issue(held.id, order_id) == issued
    with refused("HOLD_CONVERTED"):
        await shop.issue(held.id)


async def test_ten_calls_at_once_issue_an_orders_tickets_once(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 3), new_order_id()
    answers = await asyncio.gather(*(shop.issue(held.id, order_id) for _ in range(10)))
    assert answers == [answers[0]] * 10
    assert await shop.remaining(published.id) == [7]


async def test_of_ten_orders_one_gets_the_holds_tickets(shop: Shop, organizer: Organizer) -> None:
    held = await shop.hold(await shop.on_sale(organizer))
    outcomes = await asyncio.gather(*(outcome(shop.issue(held.id)) for _ in range(10)))
    assert sorted(outcomes) == ["HOLD_CONVERTED"] * 9 + ["OK"]


async def test_an_expired_hold_is_issued_after_all_if_its_stock_is_there(
    shop: Shop, organizer: Organizer
) -> None:
    event_id, hold_id = await expired_hold(shop, organizer, stock=1)
    order_id = new_order_id()
    issued = await shop.issue(hold_id, order_id)
    assert await shop.remaining(event_id) == [0]
    assert await shop.hold_state(hold_id) == "CONVERTED"
    assert await shop.issue(hold_id, order_id) == issued


async def test_an_expired_hold_whose_stock_is_gone_is_sold_out(
    shop: Shop, organizer: Organizer
) -> None:
    event_id, hold_id = await expired_hold(shop, organizer, stock=1)
    published = await shop.see(event_id)
    await shop.hold(published)
    with refused("SOLD_OUT"):
        await shop.issue(hold_id)
    assert await shop.hold_state(hold_id) == "EXPIRED"


async def test_of_two_expired_holds_the_last_ticket_goes_to_one(
    shop: Shop, organizer: Organizer
) -> None:
    event_id, first = await expired_hold(shop, organizer, stock=1)
    second = (await shop.hold(await shop.see(event_id))).id
    await shop.release(second)
    outcomes = await asyncio.gather(outcome(shop.issue(first)), outcome(shop.issue(second)))
    assert sorted(outcomes) == ["OK", "SOLD_OUT"]


async def test_a_released_hold_is_issued_only_while_the_event_is_on_sale(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    await shop.release(held.id)
    request = event_service_pb2.UnpublishEventRequest(event_id=published.id)
    await shop.public.events.UnpublishEvent(request, metadata=organizer.admin)
    with refused("EVENT_NOT_ON_SALE"):
        await shop.issue(held.id)


async def test_nothing_is_issued_for_a_cancelled_event(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held, sold, order_id = await shop.hold(published), await shop.hold(published), new_order_id()
    issued = await shop.issue(sold.id, order_id)
    await shop.cancel(organizer, published.id)
    with refused("EVENT_NOT_ON_SALE"):
        await shop.issue(held.id)
    assert await shop.issue(sold.id, order_id) == issued  # what was issued before stays said


async def test_what_is_being_called_off_waits_and_is_not_issued(
    shop: Shop, organizer: Organizer
) -> None:
    held = await shop.hold(await shop.on_sale(organizer))

    async def waits_or_is_done() -> bool:
        [[waiting]] = await shop.execute(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        return waiting > 0 or issued.done()

    async with shop.database.begin() as tx:
        calling_off = text("UPDATE events SET state = 'CANCELLED' WHERE id = :id")
        await tx.execute(calling_off, {"id": held.event_id})
        issued = asyncio.create_task(outcome(shop.issue(held.id)))
        await eventually(waits_or_is_done)
    assert await issued == "EVENT_NOT_ON_SALE"
    assert await shop.hold_state(held.id) == "ACTIVE"


async def test_a_hold_that_is_not_there_is_not_found(shop: Shop) -> None:
    with refused("HOLD_NOT_FOUND"):
        await shop.issue("hold_none")


async def test_tickets_are_taken_back_once(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 4), new_order_id()
    await shop.issue(held.id, order_id)
    answers = await asyncio.gather(*(shop.take_back(order_id) for _ in range(5)))
    assert answers == [answers[0]] * 5
    assert {ticket.state for ticket in answers[0]} == {ticket_pb2.TICKET_STATE_CANCELLED}
    assert await shop.remaining(published.id) == [10]
    # Nor does the order get others in their place.
    assert await shop.issue(held.id, order_id) == answers[0]
    assert await shop.remaining(published.id) == [10]


async def test_an_issue_that_comes_after_its_take_back_issues_nothing(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, order_id = await shop.hold(published, 4), new_order_id()
    assert await shop.take_back(order_id, held.id) == []
    assert await shop.remaining(published.id) == [10]
    assert await shop.issue(held.id, order_id) == []
    assert await shop.take_back(order_id, held.id) == []
    assert await shop.remaining(published.id) == [10]


async def test_taking_back_what_was_never_issued_is_nothing(shop: Shop) -> None:
    assert await shop.take_back(new_order_id()) == []


async def test_only_the_services_named_may_issue_and_list(shop: Shop, organizer: Organizer) -> None:
    request = ticket_service_pb2.IssueTicketsRequest(
        hold_id="hold_x", order_id="ord_x", holder_name="x"
    )
    for metadata in ((), organizer.admin):
        denied = "ROLE_NOT_ALLOWED" if metadata else "SERVICE_NOT_ALLOWED"
        with refused(denied):
            await shop.public.tickets.IssueTickets(request, metadata=metadata)
