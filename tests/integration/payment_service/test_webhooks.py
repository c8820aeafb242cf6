"""Stripe's reports: believed when signed, and once, however they come."""

import json
from typing import Any

import pytest

from tests.integration.payment_service.support import (
    Shop,
    at_once,
    intent_id,
    signature,
    state_of,
)
from tests.integration.ticket_service.support import eventually, refused


async def about(shop: Shop, kind: str) -> bytes:
    """A report as Stripe would send it: about nothing that is ours."""
    intent = {"id": "pi_strange", "object": "payment_intent", "status": "succeeded", "metadata": {}}
    event = {"id": f"evt_{kind}", "object": "event", "type": kind, "data": {"object": intent}}
    return json.dumps(event).encode()


@pytest.mark.parametrize(
    ("secret", "age_s"), [("whsec_of_somebody_else", 0), (None, 301), (None, 10_000)]
)
async def test_report_with_a_wrong_or_old_signature_is_refused(
    shop: Shop, secret: str | None, age_s: int
) -> None:
    payload = await about(shop, "payment_intent.succeeded")
    secret = secret or shop.sandbox.keys.webhook_secret
    with refused("INVALID_SIGNATURE"):
        await shop.deliver(payload, signature(payload, secret, age_s=age_s))


@pytest.mark.parametrize("header", ["", "t=,v1=", "t=now,v1=abc", "nonsense", "v1=abc,t=1"])
async def test_report_without_a_real_signature_is_refused(shop: Shop, header: str) -> None:
    with refused("INVALID_SIGNATURE"):
        await shop.deliver(await about(shop, "payment_intent.succeeded"), header)


async def test_altered_report_is_refused(shop: Shop) -> None:
    payload = await about(shop, "payment_intent.succeeded")
    genuine = signature(payload, shop.sandbox.keys.webhook_secret)
    with refused("INVALID_SIGNATURE"):
        await shop.deliver(payload.replace(b"pi_strange", b"pi_strangr"), genuine)


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe", b"[]", b"{}", b'{"id": 1, "data": 2}'])
async def test_signed_nonsense_is_refused(shop: Shop, payload: bytes) -> None:
    with refused("INVALID_SIGNATURE"):
        await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


async def test_report_about_somebody_elses_payment_is_accepted_and_changes_nothing(
    shop: Shop,
) -> None:
    payload = await about(shop, "payment_intent.succeeded")
    await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


async def test_report_about_something_else_is_accepted(shop: Shop) -> None:
    event = {"id": "evt_1", "type": "customer.created", "data": {"object": {"object": "customer"}}}
    payload = json.dumps({**event, "object": "event"}).encode()
    await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


async def send(shop: Shop, event: Any) -> None:
    payload = json.dumps(event).encode()
    await shop.deliver(payload, signature(payload, shop.sandbox.keys.webhook_secret))


async def test_report_that_comes_ten_times_at_once_has_one_effect(shop: Shop) -> None:
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    order = await shop.ordered()
    await shop.pay(order)
    authorized = (await shop.events(order))[-1]
    outcomes = await at_once(*(send(shop, authorized) for _ in range(10)))
    assert outcomes == [None] * 10
    await shop.becomes(order, "PAID")
    await shop.settled()
    kept = "SELECT 1 FROM webhooks WHERE id = :id"
    assert len(await shop.installation.execute("payment", kept, id=authorized["id"])) == 1
    assert len(shop.announced.of(order.id)) == 1
    assert await shop.calls(f"{intent_id(order)}/capture") == 1


async def test_reports_in_reverse_order_have_the_same_effect(shop: Shop) -> None:
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    order = await shop.ordered()
    await shop.pay(order, "pm_card_visa_chargeDeclined")
    await shop.pay(order)
    await shop.sandbox.ask("/webhooks/release", order="reverse")
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert len(shop.announced.of(order.id)) == 1


async def test_reports_that_come_twice_have_one_effect(shop: Shop) -> None:
    await shop.sandbox.ask("/webhooks/faults", action="duplicate", copies=3)
    order = await shop.ordered()
    await shop.pay(order)
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert len(shop.announced.of(order.id)) == 1


async def test_reports_that_come_after_the_end_change_nothing(shop: Shop) -> None:
    order = await shop.ordered()
    await shop.pay(order)
    paid = await shop.becomes(order, "PAID")
    for event in await shop.events(order):
        await send(shop, {**event, "id": f"{event['id']}_late"})
    await shop.settled()
    assert await shop.get(order) == paid
    assert len(shop.announced.of(order.id)) == 1


async def test_lost_reports_are_made_up_for_at_the_deadline(shop: Shop) -> None:
    await shop.sandbox.ask("/webhooks/faults", action="drop")
    order = await shop.ordered()
    await shop.pay(order)
    assert state_of(await shop.get(order)) == "PENDING"
    await shop.reach_deadline(order)
    await shop.becomes(order, "PAID")


async def test_report_before_the_answer_to_the_creation_is_as_good_as_the_answer(
    shop: Shop,
) -> None:
    """Only the webhook tells of a PaymentIntent whose creation was not answered."""
    held = await shop.hold(await shop.event())
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await shop.spoil("/v1/payment_intents", action="drop", when="after", times=2)
    with refused("PAYMENT_PROVIDER_UNAVAILABLE"):
        await shop.order(held)
    await shop.sandbox.ask("/webhooks/release")
    known = "SELECT p.provider_id FROM payments p JOIN orders o ON o.id = p.order_id"

    async def is_known() -> bool:
        rows = await shop.installation.execute(
            "payment", f"{known} WHERE o.hold_id = :id", id=held.id
        )
        return bool(rows[0].provider_id)

    await eventually(is_known)
    order = await shop.order(held)
    assert await shop.count_intents(order) == 1
    await shop.pay(order)
    await shop.becomes(order, "PAID")
