"""What can be made to go wrong with a call."""

import asyncio
from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox

CAPTURE = "/v1/payment_intents/*/capture"


async def capture(sandbox: Sandbox, intent: stripe.PaymentIntent, key: str = "capture-1") -> str:
    captured = await sandbox.stripe.v1.payment_intents.capture_async(
        intent.id, options={"idempotency_key": key}
    )
    return captured.status


async def test_rate_limit_is_said_and_forgotten(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="error", status=429, path=CAPTURE)
    with pytest.raises(stripe.RateLimitError):
        await capture(sandbox, intent)
    assert await capture(sandbox, intent) == "succeeded"


async def test_error_before_the_operation_moves_no_money(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="error", status=500, path=CAPTURE)
    with pytest.raises(stripe.APIError) as error:
        await capture(sandbox, intent)
    assert error.value.http_status == 500
    assert (await sandbox.reload(intent)).status == "requires_capture"


async def test_500_is_replayed_under_its_key(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="error", status=500, path=CAPTURE)
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await capture(sandbox, intent)
    assert await capture(sandbox, intent, "capture-2") == "succeeded"


async def test_500_after_the_operation_hides_that_money_moved(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="error", status=500, when="after", path=CAPTURE)
    with pytest.raises(stripe.APIError):
        await capture(sandbox, intent)
    assert (await sandbox.reload(intent)).status == "succeeded"


async def test_502_after_the_operation_is_healed_by_the_same_key(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="error", status=502, when="after", path=CAPTURE)
    with pytest.raises(stripe.APIError):
        await capture(sandbox, intent)
    assert await capture(sandbox, intent) == "succeeded"
    assert (await sandbox.event_types()).count("charge.captured") == 1


@pytest.mark.parametrize(
    ("when", "status"), [("before", "requires_capture"), ("after", "succeeded")]
)
async def test_dropped_connection_leaves_the_caller_in_doubt(
    sandbox: Sandbox, when: str, status: str
) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="drop", when=when, path=CAPTURE)
    with pytest.raises(stripe.APIConnectionError):
        await capture(sandbox, intent)
    assert (await sandbox.reload(intent)).status == status
    assert await capture(sandbox, intent) == "succeeded"
    assert (await sandbox.event_types()).count("charge.captured") == 1


@pytest.mark.parametrize(
    ("when", "status"), [("before", "requires_capture"), ("after", "succeeded")]
)
async def test_silence_lasts_until_the_caller_gives_up(
    sandbox: Sandbox, when: str, status: str
) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="hang", when=when, path=CAPTURE)
    impatient = stripe.HTTPXClient(timeout=0.3)
    client = stripe.StripeClient(
        sandbox.keys.secret_key, base_addresses={"api": sandbox.url}, http_client=impatient
    )
    with pytest.raises(stripe.APIConnectionError, match="ReadTimeout"):
        await client.v1.payment_intents.capture_async(
            intent.id, options={"idempotency_key": "capture-1"}
        )
    await impatient.close_async()  # type: ignore[no-untyped-call] # the SDK leaves it untyped
    assert (await sandbox.reload(intent)).status == status
    assert await capture(sandbox, intent) == "succeeded"


async def test_silence_can_be_short(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="hang", seconds=0.05, path=CAPTURE)
    with pytest.raises(stripe.APIConnectionError):
        await capture(sandbox, intent)


async def test_sdk_retries_a_dropped_call_with_one_effect(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="drop", when="after", path=CAPTURE)
    client = sandbox.client(retries=2)
    assert (await client.v1.payment_intents.capture_async(intent.id)).status == "succeeded"
    assert (await sandbox.event_types()).count("charge.captured") == 1


async def test_delay_holds_the_operation_back(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask("/faults", action="delay", seconds=60, path=CAPTURE)
    slow = asyncio.create_task(capture(sandbox, intent))
    await sandbox.held_back("/capture")
    assert (await sandbox.reload(intent)).status == "requires_capture"
    await sandbox.clear_faults()
    assert await slow == "succeeded"


async def test_delay_ends_by_itself(sandbox: Sandbox) -> None:
    await sandbox.ask("/faults", action="delay", seconds=0.05)
    assert (await sandbox.intent()).status == "requires_payment_method"


async def test_fault_spoils_only_what_matches_and_only_so_often(sandbox: Sandbox) -> None:
    await sandbox.ask("/faults", action="error", status=503, path="/v1/refunds", times=2)
    await sandbox.authorized()
    intent = await sandbox.paid()
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert (await sandbox.look("/faults"))["calls"] == []


async def test_faults_can_be_cleared(sandbox: Sandbox) -> None:
    await sandbox.ask("/faults", action="error", times=100)
    await sandbox.ask("/webhooks/faults", action="hold")
    await sandbox.clear_faults()
    assert await sandbox.look("/faults") == {"calls": [], "webhooks": []}
    await sandbox.intent()


async def test_calls_are_listed_with_what_became_of_them(sandbox: Sandbox) -> None:
    await sandbox.ask("/faults", action="drop")
    with pytest.raises(stripe.APIConnectionError):
        await sandbox.intent()
    await sandbox.intent()
    first, second = (await sandbox.look("/calls"))["data"]
    assert (first["fault"], first["status"]) == ("drop", None)
    assert (second["fault"], second["status"]) == (None, 200)
    assert second["params"]["amount"] == "5000"


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/faults", {"action": "explode"}),
        ("/faults", {"action": "error", "when": "sometimes"}),
        ("/faults", {"action": "error", "speed": 1}),
        ("/faults", {"action": "delay", "seconds": -1}),
        ("/webhooks/faults", {"action": "shred"}),
        ("/webhooks/endpoint", {"url": 7}),
        ("/balance", {"amount": 1}),
    ],
)
async def test_nonsense_is_refused(sandbox: Sandbox, path: str, given: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        await sandbox.ask(path, **given)
