"""Methods that charge at once, because they cannot be authorised first."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox, charge_of


async def test_manual_capture_is_refused_for_methods_that_charge_at_once(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.payment_intents.create_async(
            {
                "amount": 900,
                "currency": "eur",
                "capture_method": "manual",
                "allowed_payment_method_types": ["bancontact", "sepa_debit"],
            }
        )
    assert refusal.value.param == "allowed_payment_method_types"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.authorized("pm_bancontact")
    assert refusal.value.code == "payment_intent_incompatible_payment_method"


async def test_redirect_charges_when_the_customer_comes_back(sandbox: Sandbox) -> None:
    asked = await sandbox.paid("pm_bancontact")
    assert asked.status == "requires_action"
    await sandbox.ask(f"/payment_intents/{asked.id}/authentication", outcome="succeeded")
    intent = await sandbox.reload(asked)
    assert (intent.status, intent.amount_received) == ("succeeded", 5000)
    details = charge_of(intent).payment_method_details
    assert details is not None
    assert details.type == "bancontact"


async def test_cards_can_be_held_while_other_methods_charge(sandbox: Sandbox) -> None:
    async def confirmed(method: str) -> stripe.PaymentIntent:
        intent = await sandbox.stripe.v1.payment_intents.create_async(
            {
                "amount": 900,
                "currency": "eur",
                "capture_method": "automatic",
                "allowed_payment_method_types": ["card", "ideal"],
                "payment_method_options": {"card": {"capture_method": "manual"}},
            }
        )
        return await sandbox.confirm(intent, method)

    assert (await confirmed("pm_card_visa")).status == "requires_capture"
    assert (await confirmed("pm_ideal")).status == "requires_action"


async def test_redirect_needs_somewhere_to_return_to(sandbox: Sandbox) -> None:
    intent = await sandbox.intent(manual=False)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.payment_intents.confirm_async(
            intent.id, {"payment_method": "pm_ideal"}
        )
    assert refusal.value.param == "return_url"


async def test_bank_debit_takes_its_time(sandbox: Sandbox) -> None:
    started = await sandbox.paid("pm_sepa_debit")
    assert started.status == "processing"
    with pytest.raises(stripe.InvalidRequestError, match="processing"):
        await sandbox.stripe.v1.payment_intents.cancel_async(started.id)
    await sandbox.ask("/settle", object=started.id)
    assert (await sandbox.reload(started)).status == "succeeded"
    assert (await sandbox.event_types())[1:] == [
        "charge.pending",
        "payment_intent.processing",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_bank_debit_may_fail_late(sandbox: Sandbox) -> None:
    intent = await sandbox.intent(manual=False)
    await sandbox.stripe.raw_request_async(
        "post",
        f"/v1/payment_intents/{intent.id}/confirm",
        payment_method_data={
            "type": "sepa_debit",
            "sepa_debit": {"iban": "DE62370400440532013001"},
            "billing_details": {"name": "Ada", "email": "ada@example.org"},
        },
    )
    await sandbox.ask("/settle", object=intent.id)
    failed = await sandbox.reload(intent)
    assert failed.status == "requires_payment_method"
    assert charge_of(failed).status == "failed"
    assert (await sandbox.event_types())[-1] == "payment_intent.payment_failed"


async def test_types_depend_on_the_currency(sandbox: Sandbox) -> None:
    assert "ideal" in (await sandbox.intent(manual=False)).payment_method_types
    dollars = await sandbox.intent(manual=False, currency="usd")
    assert dollars.payment_method_types == ["card"]


async def test_excluded_type_is_not_offered(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {"amount": 900, "currency": "eur", "excluded_payment_method_types": ["ideal", "eps"]}
    )
    assert intent.payment_method_types == ["card", "bancontact", "p24", "sepa_debit"]


async def test_way_of_capturing_can_change_until_the_money_moves(sandbox: Sandbox) -> None:
    intent = await sandbox.intent(manual=False)
    changed = await sandbox.stripe.v1.payment_intents.update_async(
        intent.id, {"capture_method": "manual"}
    )
    assert changed.payment_method_types == ["card"]
    assert (await sandbox.confirm(changed)).status == "requires_capture"


async def test_saved_payment_method_can_be_used_by_id(sandbox: Sandbox) -> None:
    method = await sandbox.stripe.v1.payment_methods.create_async(
        {"type": "card", "card": {"token": "tok_visa"}, "billing_details": {"name": "Ada"}}
    )
    assert (await sandbox.authorized(method.id)).payment_method == method.id
    found = await sandbox.stripe.v1.payment_methods.retrieve_async(method.id)
    assert found.billing_details.name == "Ada"
    assert "_card_number" not in found.to_dict()
