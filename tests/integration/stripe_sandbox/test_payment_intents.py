"""The life of a PaymentIntent, as Stripe documents it."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox, charge_of


async def test_new_intent_asks_for_a_payment_method(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {
            "amount": 5000,
            "currency": "EUR",
            "capture_method": "manual",
            "automatic_payment_methods": {"enabled": True},
            "metadata": {"order_id": "ord_1"},
        }
    )
    assert intent.id.startswith("pi_")
    assert intent.status == "requires_payment_method"
    assert (intent.amount, intent.currency) == (5000, "eur")
    assert intent.client_secret is not None
    assert intent.client_secret.startswith(f"{intent.id}_secret_")
    assert intent.metadata["order_id"] == "ord_1"
    assert intent.livemode is False
    assert intent.payment_method_types == ["card"]
    assert await sandbox.event_types() == ["payment_intent.created"]


async def test_confirming_a_manual_intent_holds_the_money(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    assert intent.status == "requires_capture"
    assert (intent.amount_capturable, intent.amount_received) == (5000, 0)
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.captured, charge.paid, charge.balance_transaction) == (False, True, None)
    assert await sandbox.event_types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
    ]


async def test_capture_takes_the_money(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    captured = await sandbox.stripe.v1.payment_intents.capture_async(intent.id)
    assert captured.status == "succeeded"
    assert (captured.amount_capturable, captured.amount_received) == (0, 5000)
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.captured, charge.amount_captured) == (True, 5000)
    assert (await sandbox.event_types())[-2:] == ["charge.captured", "payment_intent.succeeded"]


async def test_partial_capture_gives_the_rest_back(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    captured = await sandbox.stripe.v1.payment_intents.capture_async(
        intent.id, {"amount_to_capture": 3000}
    )
    assert captured.amount_received == 3000
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (3000, 2000, False)


async def test_no_more_can_be_captured_than_was_authorized(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.payment_intents.capture_async(
            intent.id, {"amount_to_capture": 5001}
        )
    assert refusal.value.code == "amount_too_large"


async def test_automatic_intent_is_charged_at_once(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    assert (intent.status, intent.amount_received) == ("succeeded", 5000)
    assert await sandbox.event_types() == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_create_may_confirm_in_one_call(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {
            "amount": 700,
            "currency": "usd",
            "confirm": True,
            "payment_method": "pm_card_mastercard",
            "allowed_payment_method_types": ["card"],
        }
    )
    assert intent.status == "succeeded"


async def test_asynchronous_capture_learns_its_balance_transaction_later(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {"amount": 700, "currency": "eur", "confirm": True, "payment_method": "pm_card_visa"}
    )
    assert intent.capture_method == "automatic_async"
    assert charge_of(await sandbox.reload(intent)).balance_transaction is None
    await sandbox.ask("/settle")
    assert charge_of(await sandbox.reload(intent)).balance_transaction is not None
    assert (await sandbox.event_types())[-1] == "charge.updated"


async def test_intent_with_a_payment_method_waits_for_confirmation(sandbox: Sandbox) -> None:
    intent = await sandbox.stripe.v1.payment_intents.create_async(
        {"amount": 700, "currency": "eur", "payment_method": "pm_card_visa"}
    )
    assert intent.status == "requires_confirmation"
    confirmed = await sandbox.stripe.v1.payment_intents.confirm_async(intent.id)
    assert confirmed.status == "succeeded"


async def test_amount_and_metadata_change_until_the_money_moves(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    update = sandbox.stripe.v1.payment_intents.update_async
    changed = await update(intent.id, {"amount": 900, "metadata": {"a": "1", "b": "2"}})
    changed = await update(intent.id, {"metadata": {"a": ""}})
    assert changed.amount == 900
    assert changed.metadata.to_dict() == {"b": "2"}
    await sandbox.confirm(changed)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await update(intent.id, {"amount": 800})
    assert refusal.value.code == "payment_intent_unexpected_state"


async def test_cancelling_an_authorization_gives_it_back(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    canceled = await sandbox.stripe.v1.payment_intents.cancel_async(
        intent.id, {"cancellation_reason": "abandoned"}
    )
    assert (canceled.status, canceled.cancellation_reason) == ("canceled", "abandoned")
    assert canceled.amount_capturable == 0
    assert canceled.canceled_at is not None
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.captured, charge.refunded, charge.amount_refunded) == (False, True, 5000)
    assert (await sandbox.event_types())[-2:] == ["charge.refunded", "payment_intent.canceled"]


async def test_authorization_lapses_when_nobody_captures(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.ask(f"/payment_intents/{intent.id}/lapse")
    lapsed = await sandbox.reload(intent)
    assert (lapsed.status, lapsed.cancellation_reason) == ("canceled", "expired")
    assert (await sandbox.event_types())[-2:] == ["charge.expired", "payment_intent.canceled"]


@pytest.mark.parametrize("verb", ["confirm", "capture", "cancel"])
async def test_paid_intent_cannot_be_changed(sandbox: Sandbox, verb: str) -> None:
    intent = await sandbox.paid()
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.raw_request_async("post", f"/v1/payment_intents/{intent.id}/{verb}")
    assert refusal.value.code == "payment_intent_unexpected_state"
    assert refusal.value.error is not None
    assert refusal.value.error.payment_intent is not None
    assert refusal.value.error.payment_intent.status == "succeeded"


async def test_confirm_without_a_payment_method_is_refused(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.payment_intents.confirm_async(intent.id)
    assert refusal.value.code == "payment_intent_unexpected_state"


async def test_capture_before_authorization_is_refused(sandbox: Sandbox) -> None:
    intent = await sandbox.intent()
    with pytest.raises(stripe.InvalidRequestError, match="requires_payment_method"):
        await sandbox.stripe.v1.payment_intents.capture_async(intent.id)


@pytest.mark.parametrize(
    ("currency", "amount"), [("usd", 49), ("eur", 49), ("gbp", 29), ("jpy", 49), ("sek", 299)]
)
async def test_amount_below_the_minimum_is_refused(
    sandbox: Sandbox, currency: str, amount: int
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.intent(amount=amount, currency=currency)
    assert refusal.value.code == "amount_too_small"
    assert (await sandbox.intent(amount=amount + 1, currency=currency)).amount == amount + 1


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"currency": "eur"}, "parameter_missing", "amount"),
        ({"amount": "500"}, "parameter_missing", "currency"),
        ({"amount": "ten", "currency": "eur"}, "parameter_invalid_integer", "amount"),
        ({"amount": "9" * 30, "currency": "eur"}, "parameter_invalid_integer", "amount"),
        (
            {"amount": "500", "currency": "eur", "payment_method_options": {"card": "x"}},
            None,
            "card",
        ),
        ({"amount": "-5", "currency": "eur"}, "parameter_invalid_integer", "amount"),
        ({"amount": "500", "currency": "xxx"}, None, "currency"),
        ({"amount": "100000000", "currency": "eur"}, "amount_too_large", "amount"),
        ({"amount": "500", "currency": "eur", "wrong": "1"}, "parameter_unknown", "wrong"),
        (
            {"amount": "500", "currency": "eur", "payment_method_types": ["card"]},
            "parameter_unknown",
            "payment_method_types",
        ),
        ({"amount": "500", "currency": "eur", "capture_method": "x"}, None, "capture_method"),
        (
            {"amount": "500", "currency": "eur", "payment_method": "pm_none"},
            "resource_missing",
            "payment_method",
        ),
    ],
)
async def test_wrong_parameters_are_named(
    sandbox: Sandbox, body: dict[str, object], code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.raw_request_async("post", "/v1/payment_intents", **body)
    assert (refusal.value.http_status, refusal.value.code, refusal.value.param) == (
        400,
        code,
        param,
    )
    assert await sandbox.event_types() == []


async def test_unknown_intent_is_404(sandbox: Sandbox) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.payment_intents.retrieve_async("pi_none")
    assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")
    assert refusal.value.request_id is not None
    assert refusal.value.request_id.startswith("req_")


async def test_latest_charge_expands_down_to_its_balance_transaction(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    assert isinstance(intent.latest_charge, str)
    expanded = await sandbox.stripe.v1.payment_intents.retrieve_async(
        intent.id, {"expand": ["latest_charge.balance_transaction", "payment_method"]}
    )
    movement = charge_of(expanded).balance_transaction
    assert isinstance(movement, stripe.BalanceTransaction)
    assert movement.source == charge_of(expanded).id
    assert isinstance(expanded.payment_method, stripe.PaymentMethod)


async def test_lists_are_paged_newest_first(sandbox: Sandbox) -> None:
    ids = [(await sandbox.intent()).id for _ in range(5)]
    intents = sandbox.stripe.v1.payment_intents
    first = await intents.list_async({"limit": 2})
    assert [intent.id for intent in first.data] == ids[:2:-1]
    assert first.has_more
    walked = [intent.id async for intent in first.auto_paging_iter()]
    assert walked == ids[::-1]
    before = await intents.list_async({"limit": 2, "ending_before": ids[0]})
    assert [intent.id for intent in before.data] == ids[2:0:-1]
    later = first.data[0].created + 1
    assert (await intents.list_async({"created": {"gte": later}})).data == []
    assert len((await intents.list_async({"created": {"lt": later}})).data) == 5
