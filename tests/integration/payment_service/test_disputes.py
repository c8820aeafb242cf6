"""Disputes: the bank takes the money and decides; the tickets and the books follow."""

import json
from typing import Any

import pytest
from tessera.payment.v1 import dispute_pb2, messages_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import ticket_service_pb2

from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    opened_by,
    signature,
    state_of,
)
from tests.integration.payment_service.till import (
    booked,
    books,
    decide,
    dispute,
    dispute_is,
    disputes,
    get_dispute,
    paid,
    refund,
    through,
    valid,
)
from tests.integration.ticket_service.support import eventually, money, refused


async def shown(shop: Shop, order: order_pb2.Order) -> str:
    """What the door says of the order's first ticket."""
    (ticket, *_) = await shop.issued(order)
    request = ticket_service_pb2.CreateCheckInRequest(ticket_code=ticket.code)
    checked = await shop.tickets.tickets.CreateCheckIn(request, metadata=shop.admin)
    if checked.result == ticket_service_pb2.CHECK_IN_RESULT_ACCEPTED:
        return "ACCEPTED"
    name = ticket_service_pb2.CheckInRejection.Name(checked.reason)
    return name.removeprefix("CHECK_IN_REJECTION_")


async def reports(shop: Shop, about: str) -> list[Any]:
    """What Stripe reports of a dispute, oldest first."""
    page = await shop.sandbox.http.get(
        f"{shop.sandbox.url}/v1/events?limit=100",
        headers={"Authorization": f"Bearer {shop.sandbox.keys.secret_key}"},
    )
    found = page.raise_for_status().json()["data"][::-1]
    return [event for event in found if event["data"]["object"]["id"] == about]


async def send(shop: Shop, event: Any) -> None:
    payload = json.dumps(event).encode()
    await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


async def fees(shop: Shop, order: order_pb2.Order) -> int:
    """What Stripe kept for the order's disputes."""
    query = """
        SELECT coalesce(sum(amount_minor), 0) FROM ledger_transactions booked
        JOIN ledger_entries ON transaction_id = booked.id
        WHERE order_id = :id AND source LIKE 'dispute_fee%' AND account = 'PROVIDER_FEES'
    """
    ((found,),) = await shop.installation.execute("payment", query, id=order.id)
    return int(found)


# The life of a dispute


async def test_tickets_are_not_admitted_while_the_bank_decides(shop: Shop) -> None:
    order = await paid(shop)
    await dispute(shop, order)
    found = await dispute_is(shop, order, "OPEN")
    assert (found.amount.amount, found.reason) == ("150.00", "fraudulent")
    assert found.HasField("evidence_due_at")
    assert not found.HasField("closed_at")
    assert await shown(shop, order) == "TICKET_BLOCKED"
    assert state_of(await shop.get(order)) == "PAID"
    accounts = await books(shop, order)
    assert (accounts["DISPUTED"], accounts.get("PROVIDER", 0)) == (15_000, 0)
    assert await fees(shop, order) == 1_500


async def test_dispute_that_is_won_brings_back_the_money_and_the_tickets(shop: Shop) -> None:
    order = await paid(shop)
    opened = await dispute(shop, order)
    await dispute_is(shop, order, "OPEN")
    await decide(shop, opened, "won")
    found = await dispute_is(shop, order, "WON")
    assert found.HasField("closed_at")
    assert await shown(shop, order) == "ACCEPTED"
    assert "DISPUTED" not in await books(shop, order)
    assert (await books(shop, order))["PROVIDER"] == 15_000
    assert await fees(shop, order) == 0  # the sandbox gives all of it back


async def test_dispute_that_is_lost_ends_the_order(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    opened = await dispute(shop, order)
    await decide(shop, opened, "lost")
    await dispute_is(shop, order, "LOST")
    ended = await shop.get(order)
    assert (state_of(ended), ended.cancel_reason) == ("CANCELLED", "DISPUTE_LOST")
    assert await valid(shop, order) == []
    assert await shop.remaining(event) == 10
    assert (await books(shop, order))["DISPUTE_LOSSES"] == 15_000
    assert await fees(shop, order) == 1_500
    await shop.settled()
    (told,) = shop.announced.that(messages_pb2.OrderCancelled, order.id)
    assert told.reason == "DISPUTE_LOST"
    with refused("ORDER_DISPUTED"):
        await refund(shop, order)


async def test_what_a_lost_dispute_was_not_about_can_be_given_back(shop: Shop) -> None:
    order = await paid(shop)
    opened = await dispute(shop, order, minor=5_000)
    await dispute_is(shop, order, "OPEN")
    with refused("ORDER_DISPUTED"):
        await refund(shop, order)
    await decide(shop, opened, "lost")
    await dispute_is(shop, order, "LOST")
    assert state_of(await shop.get(order)) == "CANCELLED"
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("100.01"))
    await refund(shop, order)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.amount.amount == "100.00"
    assert await books(shop, order) == {}
    with refused("ORDER_DISPUTED"):
        await refund(shop, order)


async def test_card_that_disputes_at_once_is_heard_whatever_comes_first(shop: Shop) -> None:
    order = await paid(shop, method="pm_card_createDispute")
    await dispute_is(shop, order, "OPEN")
    assert await shown(shop, order) == "TICKET_BLOCKED"


async def test_what_was_lost_may_be_won_after_all(shop: Shop) -> None:
    """An appeal, or the customer takes the dispute back."""
    order = await paid(shop)
    opened = await dispute(shop, order)
    await decide(shop, opened, "lost")
    await dispute_is(shop, order, "LOST")
    (last,) = [each for each in await reports(shop, opened) if each["type"].endswith("closed")]
    last["data"]["object"]["status"] = "won"
    await send(shop, {**last, "id": "evt_appeal_won"})
    await dispute_is(shop, order, "WON")
    accounts = await books(shop, order)
    assert (accounts["PROVIDER"], accounts.get("DISPUTED"), accounts.get("DISPUTE_LOSSES")) == (
        15_000,
        None,
        None,
    )
    assert await valid(shop, order) == []
    await send(shop, {**last, "id": "evt_appeal_won_again"})
    assert len(await booked(shop, order)) == 5


# Inquiries


async def test_inquiry_moves_no_money_keeps_nobody_out_and_can_be_refunded(shop: Shop) -> None:
    order = await paid(shop)
    opened = await dispute(shop, order, is_inquiry=True)
    for report in await reports(shop, opened):
        await send(shop, {**report, "id": f"{report['id']}_heard"})
    assert await disputes(shop, order_id=order.id) == []
    assert await booked(shop, order) == ["CHARGE"]
    assert await shown(shop, order) == "ACCEPTED"
    await refund(shop, order, amount=money("10.00"))
    await through(shop, order, "SUCCEEDED")


async def test_inquiry_becomes_a_dispute_when_the_bank_makes_it_one(shop: Shop) -> None:
    order = await paid(shop)
    opened = await dispute(shop, order, is_inquiry=True)
    (report,) = await reports(shop, opened)
    report["data"]["object"]["status"] = "needs_response"
    await send(shop, {**report, "id": "evt_escalated", "type": "charge.dispute.updated"})
    await dispute_is(shop, order, "OPEN")
    assert await booked(shop, order) == ["CHARGE", "DISPUTE_OPENED"]
    await decide(shop, opened, "lost")  # which the sandbox calls the end of an inquiry
    await dispute_is(shop, order, "OPEN")


# Webhooks in any order


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_reports_in_any_order_and_number_end_the_same(shop: Shop, outcome: str) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    opened = await dispute(shop, order)
    await decide(shop, opened, outcome)
    heard = await reports(shop, opened)
    assert len(heard) >= 4
    for report in heard[::-1]:
        await send(shop, report)
    await at_once(*(send(shop, {**each, "id": f"{each['id']}_again"}) for each in heard))
    await dispute_is(shop, order, outcome.upper())
    last = "DISPUTE_WON" if outcome == "won" else "DISPUTE_LOST"
    assert await booked(shop, order) == ["CHARGE", "DISPUTE_OPENED", last]
    assert await fees(shop, order) == (0 if outcome == "won" else 1_500)


async def test_tickets_follow_once_ticket_service_answers(shop: Shop) -> None:
    order = await paid(shop)
    await shop.installation.stop("ticket_service")
    try:
        opened = await dispute(shop, order)

        async def is_known() -> bool:
            return len(await disputes(shop, order_id=order.id)) == 1

        await eventually(is_known)
    finally:
        await shop.installation.start("ticket_service")
    await dispute_is(shop, order, "OPEN")
    assert await shown(shop, order) == "TICKET_BLOCKED"
    await decide(shop, opened, "won")
    await dispute_is(shop, order, "WON")
    assert await shown(shop, order) == "ACCEPTED"


# Refunds and disputes


async def test_disputed_order_is_not_refunded(shop: Shop) -> None:
    order = await paid(shop)
    await dispute(shop, order)
    await dispute_is(shop, order, "OPEN")
    with refused("ORDER_DISPUTED"):
        await refund(shop, order)
    with refused("ORDER_DISPUTED"):
        await refund(shop, order, amount=money("1.00"))
    with refused("ORDER_DISPUTED"):
        await shop.cancel(order, by=shop.admin)


@pytest.mark.parametrize(
    ("outcome", "state", "kept"), [("won", "SUCCEEDED", 0), ("lost", "FAILED", 0)]
)
async def test_refund_that_a_dispute_overtakes_waits_for_its_end(
    shop: Shop, outcome: str, state: str, kept: int
) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    opened = await dispute(shop, order)
    await refund(shop, order)
    await waits(shop, order)
    assert await valid(shop, order) == []
    await shop.sandbox.ask("/webhooks/release")
    await decide(shop, opened, outcome)
    (made,) = await through(shop, order, state)
    assert made.failure_reason == ("dispute_lost" if outcome == "lost" else "")
    assert (await books(shop, order)).get("PROVIDER", 0) == kept


async def test_refund_that_a_part_was_lost_of_is_of_the_rest(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    opened = await dispute(shop, order, minor=5_000)
    await refund(shop, order)
    await waits(shop, order)
    await shop.sandbox.ask("/webhooks/release")
    await decide(shop, opened, "lost")
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.amount.amount == "100.00"
    assert await books(shop, order) == {}


async def test_refunds_that_a_part_was_lost_of_share_the_rest(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    opened = await dispute(shop, order, minor=8_000)
    for _ in range(2):
        await refund(shop, order, amount=money("50.00"))
    await waits(shop, order, 2)
    await shop.sandbox.ask("/webhooks/release")
    await decide(shop, opened, "lost")
    made = await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert [each.amount.amount for each in made] == ["50.00", "20.00"]
    assert "PROVIDER" not in await books(shop, order)


async def test_refund_that_stripe_had_made_by_then_is_no_less_booked(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await shop.spoil("/v1/refunds", method="POST", action="drop", when="after", times=2)
    await shop.spoil("/v1/refunds", method="GET", action="error", status=503, times=1000)
    await refund(shop, order, amount=money("10.00"))
    await eventually(lambda: is_tried_again(shop, order))
    opened = await dispute(shop, order)
    await decide(shop, opened, "lost")
    for report in await reports(shop, opened):
        await send(shop, report)
    await shop.sandbox.clear_faults()
    await through(shop, order, "SUCCEEDED")
    accounts = await books(shop, order)
    assert (accounts["GOODWILL"], accounts["DISPUTE_LOSSES"]) == (1_000, 14_000)
    assert "PROVIDER" not in accounts


async def test_refund_that_failed_here_and_was_made_at_stripe_is_recorded(shop: Shop) -> None:
    order = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="error", status=400)
    await refund(shop, order, amount=money("10.00"))
    (failed,) = await through(shop, order, "FAILED")
    await shop.sandbox.stripe.v1.refunds.create_async(
        {"payment_intent": intent_id(order), "amount": 1_000, "metadata": {"refund_id": failed.id}}
    )
    _, recorded = await through(shop, order, "FAILED", "SUCCEEDED")
    assert (recorded.amount.amount, recorded.origin) == (
        "10.00",
        refund_pb2.REFUND_ORIGIN_PROVIDER,
    )
    assert (await books(shop, order))["GOODWILL"] == 1_000


async def is_tried_again(shop: Shop, order: order_pb2.Order) -> bool:
    again = "SELECT 1 FROM refunds WHERE order_id = :id AND attempts > 1"
    return bool(await shop.installation.execute("payment", again, id=order.id))


async def waits(shop: Shop, order: order_pb2.Order, count: int = 1) -> None:
    """Wait until so many refunds of the order are put off for long."""
    put_off = "SELECT 1 FROM refunds WHERE order_id = :id AND next_attempt_at > now() + '5 minutes'"

    async def is_put_off() -> bool:
        return len(await shop.installation.execute("payment", put_off, id=order.id)) == count

    await eventually(is_put_off)


async def test_refund_waits_for_funds_after_a_dispute_too(shop: Shop) -> None:
    order = await paid(shop)
    await decide(shop, await dispute(shop, order, minor=5_000), "lost")
    await dispute_is(shop, order, "LOST")
    await shop.spoil(
        "/v1/refunds", method="POST", action="error", status=400, code="balance_insufficient"
    )
    await refund(shop, order, amount=money("20.00"))
    await waits(shop, order)
    await through(shop, order, "CREATED")


@pytest.mark.parametrize("code", ["refund_disputed_payment", "balance_insufficient"])
async def test_refund_that_cannot_be_made_yet_is_made_later(shop: Shop, code: str) -> None:
    order = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="error", status=400, code=code)
    await refund(shop, order)
    await waits(shop, order)
    due = "UPDATE refunds SET next_attempt_at = now() WHERE order_id = :id"
    await shop.installation.execute("payment", due, id=order.id)
    await through(shop, order, "SUCCEEDED")
    assert await books(shop, order) == {}


# Who sees them


async def test_dispute_about_a_charge_that_the_order_does_not_keep_leaves_its_tickets_alone(
    shop: Shop,
) -> None:
    order = await shop.ordered()
    second = await shop.another(order)
    for each in (order, second):
        await shop.charges_at_once(each)
    await shop.spoil("/v1/refunds", method="POST", action="error", status=429, times=1000)
    await at_once(shop.pay(order), shop.pay(second))
    kept = (await shop.becomes(order, "PAID")).payment.id
    await through(shop, order, "CREATED")
    doubled = second if kept == order.payment.id else order
    opened = await dispute(shop, doubled)
    await dispute_is(shop, order, "OPEN")
    assert await shown(shop, order) == "ACCEPTED"
    await decide(shop, opened, "lost")
    await dispute_is(shop, order, "LOST")
    assert state_of(await shop.get(order)) == "PAID"
    await through(shop, order, "FAILED")
    assert await valid(shop, order) == [1]
    accounts = await books(shop, order)
    assert not {"DISPUTE_LOSSES", "UNALLOCATED"} & accounts.keys()


async def test_admins_see_the_disputes_of_their_own_organizer(shop: Shop) -> None:
    orders = [await paid(shop) for _ in range(3)]
    for order in orders:
        await dispute(shop, order)
        await dispute_is(shop, order, "OPEN")
    found = await disputes(shop)
    assert [each.order_id for each in found] == [order.id for order in orders[::-1]]
    assert [each.order_id for each in await disputes(shop, event_id=orders[1].event_id)] == [
        orders[1].id
    ]
    assert await disputes(shop, state=dispute_pb2.DISPUTE_STATE_WON) == []
    assert (await get_dispute(shop, found[0].id)).id == found[0].id
    stranger = Shop(shop.installation, shop.announced, shop.webhooks_url)
    assert await disputes(shop, by=stranger.admin) == []
    with refused("DISPUTE_NOT_FOUND"):
        await get_dispute(shop, found[0].id, by=stranger.admin)
    with refused("TOKEN_MISSING"):
        await disputes(shop, by=opened_by(orders[0]))


async def test_dispute_about_somebody_elses_payment_is_accepted(shop: Shop) -> None:
    stray = await shop.sandbox.paid("pm_card_createDispute")
    (found,) = (await shop.sandbox.stripe.v1.disputes.list_async({"payment_intent": stray.id})).data
    await decide(shop, found.id, "won")
    for report in await reports(shop, found.id):
        await send(shop, report)
    await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": stray.id})
