"""Who may call, and what a page may do with the publishable key."""

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.support import Intent, Sandbox


def secret(intent: Intent) -> str:
    assert intent.client_secret is not None
    return intent.client_secret


@pytest.mark.parametrize("key", ["sk_test_wrong", "whatever"])
async def test_wrong_key_is_401(sandbox: Sandbox, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError, match="Invalid API Key") as refusal:
        await sandbox.client(key).v1.payment_intents.list_async()
    assert refusal.value.http_status == 401
    assert refusal.value.error is not None
    assert refusal.value.error.type == "invalid_request_error"


async def test_missing_key_is_401(sandbox: Sandbox) -> None:
    answer = await sandbox.http.get(f"{sandbox.url}/v1/payment_intents")
    assert answer.status_code == 401
    assert "did not provide an API key" in answer.json()["error"]["message"]


@pytest.mark.parametrize("scheme", ["basic", "bearer", "parameter"])
async def test_page_confirms_its_own_payment(sandbox: Sandbox, scheme: str) -> None:
    intent = await sandbox.intent()
    key = sandbox.keys.publishable_key
    body = {"client_secret": secret(intent), "payment_method": "pm_card_visa"}
    answer = await sandbox.http.post(
        f"{sandbox.url}/v1/payment_intents/{intent.id}/confirm",
        data={**body, "key": key} if scheme == "parameter" else body,
        headers={"Authorization": f"Bearer {key}"} if scheme == "bearer" else {},
        auth=(key, "") if scheme == "basic" else httpx.Auth(),
    )
    assert answer.status_code == 200
    assert answer.json()["status"] == "requires_capture"
    assert "metadata" not in answer.json()


async def test_page_reads_its_own_payment(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    page = sandbox.client(sandbox.keys.publishable_key)
    seen = await page.v1.payment_intents.retrieve_async(
        intent.id, {"client_secret": secret(intent)}
    )
    assert (seen.amount, seen.status) == (5000, "requires_payment_method")


async def test_page_needs_the_secret_of_the_very_payment(sandbox: Sandbox) -> None:
    mine, other = await sandbox.intent(), await sandbox.intent()
    page = sandbox.client(sandbox.keys.publishable_key)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await page.v1.payment_intents.retrieve_async(mine.id)
    assert refusal.value.param == "client_secret"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await page.v1.payment_intents.retrieve_async(mine.id, {"client_secret": secret(other)})
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")


async def test_page_may_do_nothing_else(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    page = sandbox.client(sandbox.keys.publishable_key)
    with pytest.raises(stripe.AuthenticationError) as refusal:
        await page.v1.payment_intents.capture_async(intent.id)
    assert refusal.value.error is not None
    assert refusal.value.error.code == "secret_key_required"
    with pytest.raises(stripe.AuthenticationError):
        await page.v1.payment_intents.list_async()


async def test_page_cannot_change_how_the_shop_gets_its_money(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    page = sandbox.client(sandbox.keys.publishable_key)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await page.raw_request_async(
            "post",
            f"/v1/payment_intents/{intent.id}/confirm",
            client_secret=secret(intent),
            capture_method="automatic",
        )
    assert (refusal.value.code, refusal.value.param) == ("parameter_unknown", "capture_method")


async def test_decline_shows_a_page_no_more_than_it_may_see(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    answer = await sandbox.http.post(
        f"{sandbox.url}/v1/payment_intents/{intent.id}/confirm",
        data={"client_secret": secret(intent), "payment_method": "pm_card_chargeDeclined"},
        auth=(sandbox.keys.publishable_key, ""),
    )
    assert answer.status_code == 402
    assert "metadata" not in answer.json()["error"]["payment_intent"]


async def test_browsers_are_let_in_from_anywhere(sandbox: Sandbox) -> None:
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    answer = await sandbox.http.options(
        f"{sandbox.url}/v1/payment_intents/pi_1/confirm", headers=headers
    )
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_unknown_address_is_said_in_stripes_way(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Unrecognized request URL"):
        await sandbox.stripe.raw_request_async("get", "/v1/unicorns")
