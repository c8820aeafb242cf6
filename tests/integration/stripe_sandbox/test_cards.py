"""Stripe's test cards do what https://docs.stripe.com/testing says."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox, charge_of

DECLINES = [
    ("visa_chargeDeclined", "4000000000000002", "card_declined", "generic_decline"),
    (
        "visa_chargeDeclinedInsufficientFunds",
        "4000000000009995",
        "card_declined",
        "insufficient_funds",
    ),
    ("visa_chargeDeclinedLostCard", "4000000000009987", "card_declined", "lost_card"),
    ("visa_chargeDeclinedStolenCard", "4000000000009979", "card_declined", "stolen_card"),
    ("chargeDeclinedExpiredCard", "4000000000000069", "expired_card", "expired_card"),
    ("chargeDeclinedIncorrectCvc", "4000000000000127", "incorrect_cvc", "incorrect_cvc"),
    (
        "chargeDeclinedProcessingError",
        "4000000000000119",
        "processing_error",
        "processing_error",
    ),
    ("radarBlock", "4100000000000019", "card_declined", "fraudulent"),
]


@pytest.mark.parametrize(("name", "number", "code", "decline_code"), DECLINES)
@pytest.mark.parametrize("manual", [True, False])
async def test_declined_card_leaves_the_intent_open_for_another(
    sandbox: Sandbox, name: str, number: str, code: str, decline_code: str, manual: bool
) -> None:
    intent = await sandbox.intent(manual=manual)
    with pytest.raises(stripe.CardError) as decline:
        await sandbox.confirm(intent, f"pm_card_{name}")
    error = decline.value.error
    assert error is not None
    assert (decline.value.http_status, error.type) == (402, "card_error")
    assert (error.code, error.decline_code) == (code, decline_code)
    assert error.payment_intent is not None
    failed = await sandbox.reload(intent)
    assert (failed.status, failed.payment_method) == ("requires_payment_method", None)
    assert failed.last_payment_error is not None
    assert failed.last_payment_error.code == code
    assert failed.last_payment_error.decline_code == decline_code
    assert failed.last_payment_error.payment_method is not None
    assert failed.last_payment_error.payment_method.card is not None
    assert failed.last_payment_error.payment_method.card.last4 == number[-4:]
    assert charge_of(failed).status == "failed"
    assert (await sandbox.event_types())[-2:] == ["charge.failed", "payment_intent.payment_failed"]

    retried = await sandbox.confirm(intent)
    assert retried.status == ("requires_capture" if manual else "succeeded")
    assert retried.last_payment_error is None


@pytest.mark.parametrize(
    "card",
    [
        {"number": "4000 0000 0000 9995", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
        {"token": "tok_visa_chargeDeclinedInsufficientFunds"},
    ],
)
async def test_number_and_token_name_the_same_card(
    sandbox: Sandbox, card: dict[str, object]
) -> None:
    intent = await sandbox.intent()
    with pytest.raises(stripe.CardError) as decline:
        await sandbox.stripe.raw_request_async(
            "post",
            f"/v1/payment_intents/{intent.id}/confirm",
            payment_method_data={"type": "card", "card": card},
        )
    assert decline.value.error is not None
    assert decline.value.error.decline_code == "insufficient_funds"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ({"number": "4242424242424241"}, "incorrect_number"),
        ({"number": "4111111111111111"}, "card_declined"),
        ({"number": "4242424242424242", "exp_year": 2001}, "invalid_expiry_year"),
    ],
)
async def test_unusable_number_never_becomes_a_payment_method(
    sandbox: Sandbox, card: dict[str, object], code: str
) -> None:
    intent = await sandbox.intent()
    with pytest.raises(stripe.CardError) as refusal:
        await sandbox.stripe.raw_request_async(
            "post",
            f"/v1/payment_intents/{intent.id}/confirm",
            payment_method_data={"type": "card", "card": card},
        )
    assert refusal.value.code == code
    assert await sandbox.event_types() == ["payment_intent.created"]


async def test_declined_create_keeps_the_intent_it_names(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.CardError) as decline:
        await sandbox.stripe.v1.payment_intents.create_async(
            {
                "amount": 900,
                "currency": "eur",
                "confirm": True,
                "payment_method": "pm_card_visa_chargeDeclined",
            }
        )
    assert decline.value.error is not None
    assert decline.value.error.payment_intent is not None
    intent = await sandbox.reload(decline.value.error.payment_intent)
    assert intent.status == "requires_payment_method"
