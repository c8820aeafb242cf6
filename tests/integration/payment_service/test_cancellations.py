"""Cancelling what was paid: by the customer within the event's terms, by an admin at any time."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tessera.payment.v1 import messages_pb2, order_pb2, order_service_pb2, refund_pb2
from tessera.ticket.v1 import ticket_pb2, ticket_service_pb2

from kit.clock import now, to_timestamp
from tests.integration.payment_service.support import Shop, at_once, opened_by, state_of
from tests.integration.payment_service.till import paid, refund, refunds, through
from tests.integration.ticket_service.support import eventually, money, new_key, refused

CANCELLED = ticket_pb2.TICKET_STATE_CANCELLED


def policy(days: float = 7, **fields: Any) -> dict[str, Any]:
    return {"until": to_timestamp(now() + timedelta(days=days)), **fields}


async def pass_the_date(shop: Shop, order: order_pb2.Order) -> None:
    passed = "UPDATE orders SET cancellable_until = now() WHERE id = :id"
    await shop.installation.execute("payment", passed, id=order.id)


async def test_customer_cancels_in_time_and_gets_everything_back(shop: Shop) -> None:
    of = await shop.event(cancellation_policy=policy())
    order = await paid(shop, of, quantity=2)
    key = new_key()
    cancelled = await shop.cancel(order, key=key)
    assert (state_of(cancelled), cancelled.cancel_reason) == ("CANCELLED", "CANCELLED")
    assert cancelled.refunded.amount == "100.00"
    assert await shop.cancel(order, key=key) == cancelled
    assert state_of(await shop.cancel(order)) == "CANCELLED"
    (refund,) = await through(shop, order, "SUCCEEDED")
    await shop.settled()
    assert (refund.origin, refund.amount.amount) == (refund_pb2.REFUND_ORIGIN_CUSTOMER, "100.00")
    assert {ticket.state for ticket in await shop.issued(order)} == {CANCELLED}
    assert await shop.remaining(of) == 10
    assert await shop.booked(order) == {"charge": 10_000, "fee": -175, "refund": -10_000}
    assert len(shop.announced.that(messages_pb2.OrderCancelled, order.id)) == 1


async def test_fee_of_the_events_terms_is_kept(shop: Shop) -> None:
    fee = {"currency_code": "EUR", "amount": "5.00"}
    order = await paid(shop, quantity=2, cancellation_policy=policy(fee=fee, fee_percentage="10"))
    await shop.cancel(order)
    (refund,) = await through(shop, order, "SUCCEEDED")
    assert refund.amount.amount == "85.00"
    await shop.settled()


@pytest.mark.parametrize("is_over", [True, False])
async def test_customer_cannot_cancel_after_the_date_or_without_one(
    shop: Shop, is_over: bool
) -> None:
    terms: dict[str, Any] = {"cancellation_policy": policy()} if is_over else {}
    order = await paid(shop, **terms)
    if is_over:
        await pass_the_date(shop, order)
    with refused("ORDER_NOT_CANCELLABLE"):
        await shop.cancel(order)
    assert state_of(await shop.get(order)) == "PAID"
    assert await refunds(shop, order) == []


async def test_fee_is_of_what_a_refund_leaves_that_got_there_just_before(shop: Shop) -> None:
    order = await paid(shop, quantity=2, cancellation_policy=policy(fee_percentage="50"))
    lock = text("SELECT id FROM orders WHERE id = :id FOR UPDATE")
    async with shop.installation.database("payment").begin() as tx:
        await tx.execute(lock, {"id": order.id})
        giving = asyncio.create_task(refund(shop, order, amount=money("60.00")))
        await in_line(shop, 1)
        cancelling = asyncio.create_task(shop.cancel(order))
        await in_line(shop, 2)
    await asyncio.gather(giving, cancelling)
    returned = await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert [each.amount.amount for each in returned] == ["60.00", "20.00"]


async def in_line(shop: Shop, count: int) -> None:
    """Wait until so many wait for a lock."""
    waiting = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'
    """

    async def look() -> bool:
        ((found,),) = await shop.installation.execute("payment", waiting)
        return bool(found == count)

    await eventually(look)


async def test_admin_cancels_at_any_time_without_a_fee(shop: Shop) -> None:
    order = await paid(shop, cancellation_policy=policy(fee_percentage="50"))
    await pass_the_date(shop, order)
    cancelled = await shop.cancel(order, by=shop.admin)
    assert state_of(cancelled) == "CANCELLED"
    (refund,) = await through(shop, order, "SUCCEEDED")
    assert (refund.origin, refund.amount.amount) == (refund_pb2.REFUND_ORIGIN_ADMIN, "150.00")


async def test_free_order_is_cancelled_with_its_tickets(shop: Shop) -> None:
    of = await shop.event(price="0.00", cancellation_policy=policy())
    order = await paid(shop, of, quantity=2)
    await shop.cancel(order)
    await through(shop, order, "SUCCEEDED")
    await shop.settled()
    assert await shop.remaining(of) == 10


async def test_order_of_which_a_ticket_was_used_stays(shop: Shop) -> None:
    order = await paid(shop, cancellation_policy=policy())
    scan = ticket_service_pb2.CreateCheckInRequest(ticket_code=(await shop.issued(order))[0].code)
    await shop.tickets.tickets.CreateCheckIn(scan, metadata=shop.admin)
    for by in (opened_by(order), shop.admin):
        with refused("TICKET_ADMITTED"):
            await shop.cancel(order, by=by)
    assert state_of(await shop.get(order)) == "PAID"


async def test_cancelling_many_times_at_once_refunds_once(shop: Shop) -> None:
    order = await paid(shop, cancellation_policy=policy())
    outcomes = await at_once(*(shop.cancel(order) for _ in range(6)))
    assert {state_of(outcome) for outcome in outcomes} == {"CANCELLED"}
    await through(shop, order, "SUCCEEDED")
    await shop.settled()
    assert (await shop.charge(order)).amount_refunded == 15_000


async def test_name_on_a_ticket_is_corrected(shop: Shop) -> None:
    order, key = await paid(shop, quantity=1), new_key()
    (ticket,) = await shop.issued(order)
    request = order_service_pb2.RenameOrderTicketRequest(
        order_id=order.id, ticket_id=ticket.id, holder_name="Ada", idempotency_key=key
    )
    for by in (opened_by(order), shop.admin):
        renamed = await shop.payments.orders.RenameOrderTicket(request, metadata=by)
        assert (renamed.id, renamed.code, renamed.holder_name) == (ticket.id, ticket.code, "Ada")


async def test_ticket_given_to_somebody_else_has_one_successor(shop: Shop) -> None:
    order = await paid(shop, quantity=1)
    (ticket,) = await shop.issued(order)
    request = order_service_pb2.TransferOrderTicketRequest(
        order_id=order.id,
        ticket_id=ticket.id,
        holder_name="Ada Lovelace",
        holder_email="ada@customer.example",
        idempotency_key=new_key(),
    )
    first = await shop.payments.orders.TransferOrderTicket(request, metadata=opened_by(order))
    again = await shop.payments.orders.TransferOrderTicket(request, metadata=opened_by(order))
    assert again == first
    assert first.holder_email == "ada@customer.example"
    listed = await shop.payments.orders.ListOrderTickets(
        order_service_pb2.ListOrderTicketsRequest(order_id=order.id), metadata=opened_by(order)
    )
    assert {each.id: each.state for each in listed.tickets} == {
        ticket.id: ticket_pb2.TICKET_STATE_TRANSFERRED,
        first.id: ticket_pb2.TICKET_STATE_ISSUED,
    }
    assert [bool(each.code) for each in listed.tickets] == [True, False]  # the new one is Ada's
    assert not first.code
    with refused("NO_TICKETS_LEFT"):
        await shop.payments.orders.GetOrderTicketsPdf(
            order_service_pb2.GetOrderTicketsPdfRequest(order_id=order.id),
            metadata=opened_by(order),
        )
    request.holder_name = "Eve"
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.payments.orders.TransferOrderTicket(request, metadata=opened_by(order))


async def test_only_an_admin_changes_a_ticket_that_was_given_to_somebody_else(shop: Shop) -> None:
    order = await paid(shop, quantity=1)
    (ticket,) = await shop.issued(order)
    give = order_service_pb2.TransferOrderTicketRequest(
        order_id=order.id,
        ticket_id=ticket.id,
        holder_name="Bob",
        holder_email="bbo@customer.example",
    )
    wrong = await shop.payments.orders.TransferOrderTicket(give, metadata=opened_by(order))
    assert await shop.payments.orders.TransferOrderTicket(give, metadata=opened_by(order)) == wrong
    give.ticket_id, give.holder_email = wrong.id, "grace@customer.example"
    rename = order_service_pb2.RenameOrderTicketRequest(
        order_id=order.id, ticket_id=wrong.id, holder_name="Grace"
    )
    with refused("TICKET_GIVEN_AWAY"):
        await shop.payments.orders.TransferOrderTicket(give, metadata=opened_by(order))
    with refused("TICKET_GIVEN_AWAY"):
        await shop.payments.orders.RenameOrderTicket(rename, metadata=opened_by(order))
    rename.holder_name, give.holder_email = "Bob Brown", "bob@customer.example"
    renamed = await shop.payments.orders.RenameOrderTicket(rename, metadata=shop.admin)
    assert (renamed.id, renamed.holder_name) == (wrong.id, "Bob Brown")
    right = await shop.payments.orders.TransferOrderTicket(give, metadata=shop.admin)
    assert [each.id for each in await shop.issued(order)] == [ticket.id, wrong.id, right.id]
    assert right.holder_email == "bob@customer.example"


async def test_tickets_of_somebody_elses_or_an_unpaid_order_stay_as_they_are(shop: Shop) -> None:
    order, other = await shop.ordered(), await paid(shop, quantity=1)
    (ticket,) = await shop.issued(other)
    request = order_service_pb2.RenameOrderTicketRequest(
        order_id=order.id, ticket_id=ticket.id, holder_name="Eve"
    )
    with refused("ORDER_NOT_PAID"):
        await shop.payments.orders.RenameOrderTicket(request, metadata=opened_by(order))
    with refused("ORDER_NOT_FOUND"):
        await shop.payments.orders.RenameOrderTicket(request, metadata=opened_by(other))
    mine = await paid(shop, quantity=1)
    request.order_id = mine.id
    with refused("TICKET_NOT_FOUND"):
        await shop.payments.orders.RenameOrderTicket(request, metadata=opened_by(mine))

    async def is_unchanged() -> bool:
        return [each.holder_name for each in await shop.issued(other)] == ["Grace Hopper"]

    await eventually(is_unchanged)
