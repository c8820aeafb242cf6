"""Webhooks: signed, retried, and spoiled on demand."""

import asyncio
from dataclasses import replace
from pathlib import Path

import stripe

from deploy.local.environment import free_port
from tests.integration.stripe_sandbox.support import (
    PATIENCE_SECONDS,
    Sandbox,
    Shop,
    running,
    served,
    settings,
)


async def test_events_arrive_signed(connected: Sandbox, shop: Shop) -> None:
    intent = await connected.authorized()
    await shop.received("payment_intent.amount_capturable_updated")
    event = shop.about("payment_intent.amount_capturable_updated")
    assert event.data.object["id"] == intent.id
    assert event.data.object["status"] == "requires_capture"
    assert not any(name.startswith("_") for name in event.data.object.to_dict())


async def test_whole_life_of_a_payment_is_told(connected: Sandbox, shop: Shop) -> None:
    intent = await connected.authorized()
    await connected.stripe.v1.payment_intents.capture_async(intent.id)
    await connected.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    await connected.stripe.v1.payment_intents.cancel_async((await connected.intent()).id)
    await shop.received("refund.created", "payment_intent.canceled")
    assert shop.types == await connected.event_types()


async def test_endpoint_is_sent_the_types_it_is_for(
    tmp_path: Path, shop: Shop, transport: stripe.HTTPXClient
) -> None:
    choosy = replace(settings(tmp_path, shop.url), webhook_events=("payment_intent.succeeded",))
    async with running(choosy, transport) as sandbox:
        await sandbox.paid()
        await shop.received("payment_intent.succeeded")
        happened = (await sandbox.stripe.v1.events.list_async()).data

    assert shop.types == ["payment_intent.succeeded"]
    pending = {event.type: event.pending_webhooks for event in happened}
    assert pending["payment_intent.created"] == pending["charge.succeeded"] == 0


async def test_delivered_event_has_no_webhooks_pending(connected: Sandbox, shop: Shop) -> None:
    await connected.ask("/webhooks/faults", action="hold")
    await connected.intent()
    (event,) = (await connected.stripe.v1.events.list_async()).data
    assert event.pending_webhooks == 1
    await connected.ask("/webhooks/release")
    delivered = await connected.stripe.v1.events.retrieve_async(event.id)
    assert delivered.pending_webhooks == 0


async def test_refused_webhook_comes_again(connected: Sandbox, shop: Shop) -> None:
    shop.answers = [500, 503, 302]
    await connected.intent()
    await shop.received("payment_intent.created")
    assert (shop.refused, len(shop.events)) == (3, 1)

    async with asyncio.timeout(PATIENCE_SECONDS):
        while (sent := (await connected.look("/webhooks"))["data"][0])["state"] == "pending":
            await asyncio.sleep(0.01)
    assert (sent["state"], sent["attempts"]) == ("delivered", 4)


async def test_webhooks_wait_for_an_endpoint_that_is_away(
    tmp_path: Path, transport: stripe.HTTPXClient
) -> None:
    shop = Shop(free_port(), "")
    async with running(settings(tmp_path, shop.url), transport) as sandbox:
        shop.secret = sandbox.keys.webhook_secret
        await sandbox.paid()
        async with served(shop.app(), shop.port):
            await shop.until(lambda: len(shop.events) == 3)
            assert sorted(shop.types) == sorted(await sandbox.event_types())


async def test_sender_gives_up_in_the_end(tmp_path: Path, transport: stripe.HTTPXClient) -> None:
    impatient = replace(settings(tmp_path, "http://127.0.0.1:1/"), webhook_max_attempts=1)
    async with running(impatient, transport) as sandbox:
        await sandbox.ask("/webhooks/faults", action="hold")
        await sandbox.intent()
        await sandbox.ask("/webhooks/release")
        (sent,) = (await sandbox.look("/webhooks"))["data"]
        assert sent["state"] == "failed"
        assert sent["last_error"].startswith("unreachable")


async def test_endpoint_can_be_named_later(sandbox: Sandbox, shop: Shop) -> None:
    await sandbox.intent()
    await sandbox.ask("/webhooks/endpoint", url=shop.url)
    await sandbox.paid()
    await shop.received("payment_intent.succeeded")
    assert shop.types.count("payment_intent.created") == 1


async def test_endpoint_may_have_another_secret(sandbox: Sandbox, shop: Shop) -> None:
    shop.secret = "whsec_other"
    await sandbox.ask("/webhooks/endpoint", url=shop.url, secret=shop.secret)
    await sandbox.intent()
    await shop.received("payment_intent.created")


async def test_held_webhooks_come_in_reverse_on_demand(connected: Sandbox, shop: Shop) -> None:
    await connected.ask("/webhooks/faults", action="hold")
    await connected.paid()
    assert {sent["state"] for sent in (await connected.look("/webhooks"))["data"]} == {"held"}
    await connected.ask("/webhooks/release", order="reverse")
    assert shop.types == (await connected.event_types())[::-1]
    await connected.intent()
    await shop.until(lambda: len(shop.events) == 4)


async def test_only_the_types_asked_for_are_spoiled(connected: Sandbox, shop: Shop) -> None:
    await connected.ask("/webhooks/faults", action="drop", types=["charge.*"])
    await connected.paid()
    await shop.received("payment_intent.created", "payment_intent.succeeded")
    assert "charge.succeeded" not in shop.types
    states = {sent["type"]: sent["state"] for sent in (await connected.look("/webhooks"))["data"]}
    assert states["charge.succeeded"] == "dropped"


async def test_webhook_can_come_twice(connected: Sandbox, shop: Shop) -> None:
    await connected.ask("/webhooks/faults", action="duplicate", times=1)
    await connected.paid()
    await shop.until(lambda: len(shop.events) == 4)
    created = [event.id for event in shop.events if event.type == "payment_intent.created"]
    assert len(created) == 2
    assert len(set(created)) == 1


async def test_webhook_can_come_late(connected: Sandbox, shop: Shop) -> None:
    await connected.ask(
        "/webhooks/faults", action="delay", seconds=3600, types=["payment_intent.created"]
    )
    await connected.paid()
    await shop.received("charge.succeeded", "payment_intent.succeeded")
    assert "payment_intent.created" not in shop.types
    await connected.ask("/webhooks/endpoint", url=shop.url)
    await shop.received("payment_intent.created")


async def test_late_webhook_comes_by_itself(connected: Sandbox, shop: Shop) -> None:
    await connected.ask("/webhooks/faults", action="delay", seconds=0.05)
    await connected.intent()
    await shop.received("payment_intent.created")


async def test_event_can_be_sent_again(connected: Sandbox, shop: Shop) -> None:
    await connected.intent()
    await shop.received("payment_intent.created")
    await connected.ask(f"/events/{shop.events[0].id}/send")
    await shop.until(lambda: len(shop.events) == 2)
    assert shop.events[0].id == shop.events[1].id
