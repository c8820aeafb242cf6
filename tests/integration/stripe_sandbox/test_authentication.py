"""Cards and banks that ask the customer first."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Intent, Sandbox


def bank_page(intent: Intent) -> str:
    action = intent.next_action
    assert action is not None
    assert action.redirect_to_url is not None
    assert action.redirect_to_url.url is not None
    return action.redirect_to_url.url


async def answer(sandbox: Sandbox, intent: Intent, outcome: str) -> Intent:
    await sandbox.ask(f"/payment_intents/{intent.id}/authentication", outcome=outcome)
    return await sandbox.reload(intent)


@pytest.mark.parametrize(
    "method", ["pm_card_authenticationRequired", "pm_card_authenticationRequiredOnSetup"]
)
async def test_customer_who_authenticates_pays(sandbox: Sandbox, method: str) -> None:
    asked = await sandbox.authorized(method)
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.type == "redirect_to_url"
    assert asked.latest_charge is None
    authenticated = await answer(sandbox, asked, "succeeded")
    assert (authenticated.status, authenticated.next_action) == ("requires_capture", None)
    assert await sandbox.event_types() == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
    ]


async def test_customer_who_fails_may_try_another_card(sandbox: Sandbox) -> None:
    failed = await answer(
        sandbox, await sandbox.authorized("pm_card_authenticationRequired"), "failed"
    )
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert (await sandbox.event_types())[-1] == "payment_intent.payment_failed"
    assert (await sandbox.confirm(failed)).status == "requires_capture"


async def test_authenticated_card_may_still_be_declined(sandbox: Sandbox) -> None:
    asked = await sandbox.authorized(
        "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"
    )
    declined = await answer(sandbox, asked, "succeeded")
    assert declined.status == "requires_payment_method"
    assert declined.last_payment_error is not None
    assert declined.last_payment_error.decline_code == "insufficient_funds"


async def test_absent_customer_cannot_authenticate(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    with pytest.raises(stripe.CardError) as decline:
        await sandbox.stripe.v1.payment_intents.confirm_async(
            intent.id,
            {"payment_method": "pm_card_authenticationRequired", "off_session": True},
        )
    assert decline.value.code == "authentication_required"


@pytest.mark.parametrize(
    ("outcome", "redirect_status"), [("succeeded", "succeeded"), ("failed", "failed")]
)
async def test_page_of_the_bank_leads_back_to_the_shop(
    sandbox: Sandbox, outcome: str, redirect_status: str
) -> None:
    asked = await sandbox.authorized("pm_card_authenticationRequired")
    page = await sandbox.http.get(bank_page(asked))
    assert "€50.00 EUR" in page.text
    back = await sandbox.http.post(bank_page(asked), data={"outcome": outcome})
    assert back.status_code == 303
    assert back.headers["location"] == (
        f"https://shop.example/back?order=1&payment_intent={asked.id}"
        f"&payment_intent_client_secret={asked.client_secret}&redirect_status={redirect_status}"
    )
    again = await sandbox.http.get(bank_page(asked))
    assert again.headers["location"] == back.headers["location"]


async def test_abandoned_authentication_can_be_cancelled(sandbox: Sandbox) -> None:
    asked = await sandbox.authorized("pm_card_authenticationRequired")
    canceled = await sandbox.stripe.v1.payment_intents.cancel_async(asked.id)
    assert (canceled.status, canceled.next_action) == ("canceled", None)


async def test_new_amount_needs_a_new_confirmation(sandbox: Sandbox) -> None:
    asked = await sandbox.authorized("pm_card_authenticationRequired")
    changed = await sandbox.stripe.v1.payment_intents.update_async(asked.id, {"amount": 6000})
    assert (changed.status, changed.next_action) == ("requires_confirmation", None)
