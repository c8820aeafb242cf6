"""The same key gives the same answer, and one effect."""

import asyncio

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox

BODY = {"amount": "900", "currency": "eur"}


async def post(sandbox: Sandbox, path: str, body: dict[str, str], key: str) -> httpx.Response:
    return await sandbox.http.post(
        f"{sandbox.url}/v1{path}",
        data=body,
        headers={"Idempotency-Key": key, "Authorization": f"Bearer {sandbox.keys.secret_key}"},
    )


async def test_same_key_replays_the_answer(sandbox: Sandbox) -> None:
    first = await post(sandbox, "/payment_intents", BODY, "k")
    again = await post(sandbox, "/payment_intents", BODY, "k")
    assert again.json() == first.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert len((await sandbox.stripe.v1.payment_intents.list_async()).data) == 1


async def test_replay_shows_the_first_answer_though_things_moved_on(sandbox: Sandbox) -> None:
    create = sandbox.stripe.v1.payment_intents.create_async
    params: stripe.params.PaymentIntentCreateParams = {"amount": 900, "currency": "eur"}
    intent = await create(params, {"idempotency_key": "k"})
    await sandbox.confirm(intent)
    assert (await create(params, {"idempotency_key": "k"})).status == "requires_payment_method"


async def test_same_key_with_other_parameters_is_an_error(sandbox: Sandbox) -> None:
    create = sandbox.stripe.v1.payment_intents.create_async
    await create({"amount": 900, "currency": "eur"}, {"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await create({"amount": 901, "currency": "eur"}, {"idempotency_key": "k"})


async def test_same_key_elsewhere_is_an_error(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    intents = sandbox.stripe.v1.payment_intents
    await intents.capture_async(intent.id, options={"idempotency_key": "k"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        await intents.cancel_async(intent.id, options={"idempotency_key": "k"})


async def test_key_in_use_is_a_conflict(sandbox: Sandbox) -> None:
    await sandbox.ask("/faults", action="delay", seconds=60)
    first = asyncio.create_task(post(sandbox, "/payment_intents", BODY, "k"))
    await sandbox.held_back("/payment_intents")
    turned_away = await post(sandbox, "/payment_intents", BODY, "k")
    await sandbox.clear_faults()
    accepted = await first
    assert accepted.status_code == 200
    assert turned_away.status_code == 409
    assert turned_away.json()["error"]["code"] == "idempotency_key_in_use"
    assert turned_away.headers["Stripe-Should-Retry"] == "true"
    assert (await post(sandbox, "/payment_intents", BODY, "k")).json() == accepted.json()


async def test_decline_is_replayed_and_another_key_tries_again(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    path = f"/payment_intents/{intent.id}/confirm"
    body = {"payment_method": "pm_card_chargeDeclined"}
    first = await post(sandbox, path, body, "attempt-1")
    again = await post(sandbox, path, body, "attempt-1")
    assert (first.status_code, again.status_code) == (402, 402)
    assert again.json() == first.json()
    await post(sandbox, path, body, "attempt-2")
    assert (await sandbox.event_types()).count("charge.failed") == 2


async def test_refusal_of_bad_parameters_is_not_kept(sandbox: Sandbox) -> None:
    refused = await post(sandbox, "/payment_intents", {"amount": "900"}, "k")
    assert refused.status_code == 400
    assert (await post(sandbox, "/payment_intents", BODY, "k")).status_code == 200


async def test_wrong_state_is_kept(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    path = f"/payment_intents/{intent.id}/capture"
    assert (await post(sandbox, path, {}, "k")).status_code == 400
    await sandbox.confirm(intent)
    again = await post(sandbox, path, {}, "k")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (400, "true")


async def test_refund_is_made_once_however_often_it_is_asked(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    ids = {
        (
            await sandbox.stripe.v1.refunds.create_async(
                {"payment_intent": intent.id, "amount": 1000}, {"idempotency_key": "refund-1"}
            )
        ).id
        for _ in range(3)
    }
    assert len(ids) == 1
