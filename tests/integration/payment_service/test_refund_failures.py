"""Refunds that fail, wait, come late or are made elsewhere: the money is where the books say."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from tessera.payment.v1 import messages_pb2, order_pb2, refund_pb2

from kit.rpc_errors import RemoteError
from payment_service.refunds import domain, fitting, store
from payment_service.refunds.domain import RefundReport
from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    signature,
    state_of,
)
from tests.integration.payment_service.till import (
    at_stripe,
    booked,
    books,
    held_back,
    in_dashboard,
    paid,
    refund,
    refunds_of_organizer,
    through,
    valid,
)
from tests.integration.ticket_service.support import eventually, money, refused

# As many times as it takes that the SDK, which tries twice, gives up.
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "rate limit": {"action": "error", "status": 429},
    "failure": {"action": "error", "status": 500, "times": 2},
    "failure after the effect": {"action": "error", "status": 500, "when": "after", "times": 2},
    "no connection": {"action": "drop", "times": 2},
    "lost answer": {"action": "drop", "when": "after", "times": 2},
}


async def look_now(shop: Shop, order: order_pb2.Order) -> None:
    """Let an hour pass for the order's refunds."""
    due = "UPDATE refunds SET next_attempt_at = now() WHERE order_id = :id AND state = 'PENDING'"
    await shop.installation.execute("payment", due, id=order.id)


async def settle(shop: Shop, made: refund_pb2.Refund) -> None:
    """Let the time pass that the bank takes for a refund."""
    await shop.sandbox.ask("/settle", object=await provider_id(shop, made))


async def provider_id(shop: Shop, made: refund_pb2.Refund) -> str:
    query = "SELECT provider_id FROM refunds WHERE id = :id"
    ((found,),) = await shop.installation.execute("payment", query, id=made.id)
    return str(found)


async def events(shop: Shop, about: str) -> list[Any]:
    """What Stripe reports of a refund, oldest first."""
    page = await shop.sandbox.http.get(
        f"{shop.sandbox.url}/v1/events?limit=100",
        headers={"Authorization": f"Bearer {shop.sandbox.keys.secret_key}"},
    )
    found = page.raise_for_status().json()["data"][::-1]
    return [event for event in found if event["data"]["object"]["id"] == about]


async def send(shop: Shop, event: Any) -> None:
    payload = json.dumps(event).encode()
    await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


# Stripe at its worst


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_refund_that_fails_is_made_once_in_the_end(
    shop: Shop, fault: Mapping[str, Any]
) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await shop.spoil("/v1/refunds", method="POST", **fault)
    await refund(shop, order, amount=money("10.00"))
    await through(shop, order, "SUCCEEDED")
    assert [given.amount for given in await at_stripe(shop, order)] == [1_000]
    assert (await books(shop, order))["GOODWILL"] == 1_000


async def test_refund_that_fails_at_ticket_service_waits_with_the_money(shop: Shop) -> None:
    order = await paid(shop)
    await shop.installation.stop("ticket_service")
    try:
        with refused("UNAVAILABLE"):
            await refund(shop, order)
        await refund(shop, order, amount=money("10.00"))
        await through(shop, order, "SUCCEEDED")
    finally:
        await shop.installation.start("ticket_service")

    async def is_accepted() -> bool:
        with suppress(RemoteError):  # it takes a moment until it is found again
            await refund(shop, order, idempotency_key="all of it")
            return True
        return False

    await eventually(is_accepted)
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert await valid(shop, order) == []


async def test_slow_refund_is_pending_until_stripe_says_otherwise(shop: Shop) -> None:
    order = await paid(shop, method="pm_card_pendingRefund")
    await refund(shop, order)
    (made,) = await through(shop, order, "PENDING")
    assert await booked(shop, order) == ["CHARGE", "REFUND"]
    await settle(shop, made)
    await through(shop, order, "SUCCEEDED")
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.RefundIssued, order.id)) == 1


async def test_refund_waits_for_funds(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/balance", currency="eur", amount=1_000)
    await refund(shop, order)
    await through(shop, order, "PENDING")
    await shop.sandbox.ask("/balance", currency="eur", amount=None)
    await shop.sandbox.ask("/settle")
    await through(shop, order, "SUCCEEDED")


async def test_word_that_no_webhook_brought_is_asked_for(shop: Shop) -> None:
    order = await paid(shop, method="pm_card_pendingRefund")
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await refund(shop, order)
    (made,) = await through(shop, order, "PENDING")
    await look_now(shop, order)
    await shop.settled()
    await settle(shop, made)
    await look_now(shop, order)
    await through(shop, order, "SUCCEEDED")


async def test_refund_that_the_bank_sends_back_can_be_made_again(shop: Shop) -> None:
    event = await shop.event()
    order = await paid(shop, event, method="pm_card_refundFail")
    await refund(shop, order)
    (made,) = await through(shop, order, "SUCCEEDED")
    await settle(shop, made)
    (failed,) = await through(shop, order, "FAILED")
    assert failed.failure_reason == "unknown"
    found = await refunds_of_organizer(shop, state=refund_pb2.REFUND_STATE_FAILED)
    assert [each.id for each in found.refunds] == [failed.id]
    assert (await books(shop, order))["PROVIDER"] == 15_000
    assert await booked(shop, order) == ["CHARGE", "REFUND", "REFUND_FAILED"]
    assert state_of(await shop.get(order)) == "CANCELLED"
    assert await shop.remaining(event) == 10
    again = await refund(shop, order)
    assert (again.amount.amount, list(again.ticket_numbers)) == ("150.00", [])
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert await books(shop, order) == {}
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.OrderCancelled, order.id)) == 1


async def test_charge_that_no_order_keeps_can_be_given_back_again(shop: Shop) -> None:
    event = await shop.event(stock=1)
    order = await shop.order(await shop.hold(event))
    await shop.charges_at_once(order)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    await shop.pay(order, "pm_card_refundFail")
    await shop.give_to_others(order, event)
    await shop.sandbox.clear_faults()
    await shop.reach_deadline(order)
    await shop.becomes(order, "CANCELLED")
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.origin == refund_pb2.REFUND_ORIGIN_AUTOMATIC
    assert await books(shop, order) == {}
    await settle(shop, made)
    await through(shop, order, "FAILED")
    assert await books(shop, order) == {"PROVIDER": 5_000, "UNALLOCATED": -5_000}
    with refused("TICKET_NOT_VALID"):
        await refund(shop, order, ticket_ids=["tkt_of_nobody"])
    await refund(shop, order, amount=money("20.00"))
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert await books(shop, order) == {"PROVIDER": 3_000, "UNALLOCATED": -3_000}
    await refund(shop, order)
    await through(shop, order, "FAILED", "SUCCEEDED", "SUCCEEDED")
    assert await books(shop, order) == {}


# Webhooks in any order


async def test_reports_in_any_order_and_number_end_the_same(shop: Shop) -> None:
    order = await paid(shop, method="pm_card_pendingRefund")
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await refund(shop, order)
    (made,) = await through(shop, order, "PENDING")
    name = await provider_id(shop, made)
    await settle(shop, made)
    await shop.sandbox.ask(f"/refunds/{name}/fail")
    reports = await events(shop, name)
    assert {report["type"] for report in reports} > {"refund.created", "refund.failed"}
    for report in reports[::-1]:
        await send(shop, report)
    await at_once(*(send(shop, {**each, "id": f"{each['id']}_again"}) for each in reports))
    await through(shop, order, "FAILED")
    assert await booked(shop, order) == ["CHARGE", "REFUND", "REFUND_FAILED"]
    await shop.sandbox.ask("/webhooks/release", order="reverse")
    await through(shop, order, "FAILED")
    assert (await books(shop, order))["PROVIDER"] == 15_000


async def test_webhook_before_the_answer_is_as_good_as_the_answer(shop: Shop) -> None:
    order = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="drop", when="after", times=2)
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED")
    assert len(await at_stripe(shop, order)) == 1
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.RefundIssued, order.id)) == 1


# Stripe's dashboard


async def test_refund_from_the_dashboard_is_recorded_and_leaves_the_tickets(shop: Shop) -> None:
    order = await paid(shop)
    await in_dashboard(shop, order, 2_000)
    (made,) = await through(shop, order, "SUCCEEDED")
    assert (made.origin, made.amount.amount) == (refund_pb2.REFUND_ORIGIN_PROVIDER, "20.00")
    assert await valid(shop, order) == [1, 2, 3]
    assert (await books(shop, order))["GOODWILL"] == 2_000
    with refused("REFUND_TOO_LARGE"):
        await refund(shop, order, amount=money("130.01"))
    await shop.settled()
    assert len(shop.announced.that(messages_pb2.RefundIssued, order.id)) == 1


async def test_refund_from_the_dashboard_that_fails_is_booked_back(shop: Shop) -> None:
    order = await paid(shop, method="pm_card_refundFail")
    made = await in_dashboard(shop, order, 15_000)
    await through(shop, order, "SUCCEEDED")
    await shop.sandbox.ask("/settle", object=made.id)
    await through(shop, order, "FAILED")
    assert "GOODWILL" not in await books(shop, order)
    await refund(shop, order)
    await through(shop, order, "FAILED", "SUCCEEDED")


async def test_refund_from_the_dashboard_whose_failure_is_heard_first_changes_nothing(
    shop: Shop,
) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    made = await in_dashboard(shop, order, 15_000)
    await shop.sandbox.ask(f"/refunds/{made.id}/fail")
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED")
    for report in (await events(shop, made.id))[::-1]:
        await send(shop, report)
    await through(shop, order, "SUCCEEDED", "FAILED")
    assert await books(shop, order) == {}


async def test_refund_is_refused_for_what_the_dashboard_gave_back_before(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await in_dashboard(shop, order, 15_000)
    await refund(shop, order)
    failed, _elsewhere = await through(shop, order, "FAILED", "SUCCEEDED")
    assert failed.failure_reason == "charge_already_refunded"
    await shop.sandbox.ask("/webhooks/release")
    await shop.settled()
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert (await books(shop, order)).get("PROVIDER") is None
    assert await valid(shop, order) == []


async def test_refund_gives_back_what_the_dashboard_left(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await in_dashboard(shop, order, 2_000)
    await refund(shop, order)
    ours, elsewhere = await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    assert (ours.amount.amount, elsewhere.amount.amount) == ("130.00", "20.00")
    await shop.sandbox.ask("/webhooks/release")
    await shop.settled()
    assert sum(given.amount for given in await at_stripe(shop, order)) == 15_000
    assert await books(shop, order) == {}
    assert await valid(shop, order) == []


async def test_report_of_the_dashboards_refund_waits_for_ours_to_be_refused(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    made = await in_dashboard(shop, order, 15_000)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20)
    await refund(shop, order)
    await held_back(shop)
    (report,) = await events(shop, made.id)
    with refused("REFUNDED_ELSEWHERE"):
        await send(shop, report)
    await shop.sandbox.clear_faults()
    await through(shop, order, "FAILED", "SUCCEEDED")
    await send(shop, report)
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert (await books(shop, order)).get("PROVIDER") is None


async def test_refunds_that_wait_together_give_back_what_the_dashboard_left(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await in_dashboard(shop, order, 8_000)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20, times=2)
    await refund(shop, order, amount=money("50.00"))
    await refund(shop, order, amount=money("50.00"))
    await held_back(shop)
    await shop.sandbox.clear_faults()
    made = await through(shop, order, "SUCCEEDED", "SUCCEEDED", "SUCCEEDED")
    assert sorted(each.amount.amount for each in made) == ["20.00", "50.00", "80.00"]
    assert sum(given.amount for given in await at_stripe(shop, order)) == 15_000
    assert (await books(shop, order))["GOODWILL"] == 15_000


async def test_refunds_that_wait_together_fail_if_the_dashboard_left_nothing(shop: Shop) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await in_dashboard(shop, order, 15_000)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20, times=2)
    await refund(shop, order, amount=money("50.00"))
    await refund(shop, order, amount=money("50.00"))
    await held_back(shop)
    await shop.sandbox.clear_faults()
    await through(shop, order, "FAILED", "FAILED", "SUCCEEDED")
    assert (await books(shop, order)).get("PROVIDER") is None


async def test_refund_with_tickets_to_take_back_does_so_if_the_dashboard_left_nothing(
    shop: Shop,
) -> None:
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await in_dashboard(shop, order, 15_000)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20, times=2)
    given = await refund(shop, order, amount=money("50.00"))
    await refund(shop, order)
    await held_back(shop)
    async with shop.installation.database("payment").begin() as tx:
        first = await store.get_refund(tx, given.id)
        assert first
        assert first.payment_id
        _, second = await store.lock_waiting(tx, first.payment_id)
        await store.update_refund(tx, second.id, tickets_cancelled=False)
        made = RefundReport("re_1", "", intent_id(order), "succeeded", "EUR", 15_000)
        assert not await fitting.fit(tx, first, "charge_already_refunded", [made], is_refused=True)
    _, waiting, _ = await through(shop, order, "FAILED", "CREATED", "SUCCEEDED")
    assert waiting.amount.amount == "0.00"
    due = "UPDATE refunds SET next_attempt_at = now() WHERE id = :id"
    await shop.installation.execute("payment", due, id=waiting.id)
    await through(shop, order, "FAILED", "SUCCEEDED", "SUCCEEDED")
    assert await valid(shop, order) == []
    assert await books(shop, order) == {}


async def test_refund_that_stripe_made_before_it_was_fitted_is_booked_as_made(shop: Shop) -> None:
    order = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="delay", seconds=20)
    given = await refund(shop, order, amount=money("50.00"))
    await held_back(shop)
    async with shop.installation.database("payment").begin() as tx:
        on_its_way = await store.get_refund(tx, given.id, lock=True)
        assert on_its_way
        assert on_its_way.payment_id
        await store.resize(tx, domain.resized(on_its_way, 1_000))
        await store.reserve(tx, on_its_way.payment_id, -4_000)
    await shop.sandbox.clear_faults()
    (made,) = await through(shop, order, "SUCCEEDED")
    assert made.amount.amount == "50.00"
    assert (await books(shop, order))["GOODWILL"] == 5_000
    await shop.settled()


async def test_report_about_a_refund_of_somebody_elses_is_accepted(shop: Shop) -> None:
    stray = await shop.sandbox.paid()
    given = await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": stray.id})
    for report in await events(shop, given.id):
        await send(shop, report)
