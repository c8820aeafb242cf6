"""Refunds, whole and in parts, at once and slowly."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox, charge_of


async def test_full_refund_returns_everything(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    refund = await sandbox.stripe.v1.refunds.create_async(
        {
            "payment_intent": intent.id,
            "reason": "requested_by_customer",
            "metadata": {"order_id": "ord_1"},
        }
    )
    assert (refund.status, refund.amount, refund.currency) == ("succeeded", 5000, "eur")
    assert (refund.reason, refund.payment_intent) == ("requested_by_customer", intent.id)
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.refunded, charge.amount_refunded) == (True, 5000)
    assert (await sandbox.event_types())[-2:] == ["charge.refunded", "refund.created"]


async def test_partial_refunds_add_up(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    refunds = sandbox.stripe.v1.refunds
    await refunds.create_async({"payment_intent": intent.id, "amount": 2000})
    charge = charge_of(await sandbox.reload(intent))
    assert (charge.refunded, charge.amount_refunded) == (False, 2000)
    rest = await refunds.create_async({"charge": charge.id})
    assert rest.amount == 3000
    assert charge_of(await sandbox.reload(intent)).refunded
    listed = await refunds.list_async({"payment_intent": intent.id})
    assert [refund.amount for refund in listed.data] == [3000, 2000]
    assert (await refunds.retrieve_async(rest.id)).amount == 3000


async def test_no_more_can_be_refunded_than_remains(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    create = sandbox.stripe.v1.refunds.create_async
    await create({"payment_intent": intent.id, "amount": 4000})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded") as refusal:
        await create({"payment_intent": intent.id, "amount": 1001})
    assert refusal.value.param == "amount"
    await create({"payment_intent": intent.id, "amount": 1000})
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await create({"payment_intent": intent.id})
    assert refusal.value.code == "charge_already_refunded"


async def test_only_the_captured_part_can_be_refunded(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.stripe.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 3000})
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.amount == 3000


async def test_what_was_not_charged_cannot_be_refunded(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})


async def test_reason_is_one_of_those_stripe_knows(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.raw_request_async(
            "post", "/v1/refunds", payment_intent=intent.id, reason="event_cancelled"
        )
    assert refusal.value.param == "reason"


@pytest.mark.parametrize("method", ["pm_card_pendingRefund", "pm_bancontact"])
async def test_slow_refund_succeeds_later(sandbox: Sandbox, method: str) -> None:
    intent = await sandbox.paid(method)
    if intent.status == "requires_action":
        await sandbox.ask(f"/payment_intents/{intent.id}/authentication")
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    await sandbox.ask("/settle", object=refund.id)
    assert (await sandbox.stripe.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    assert "refund.updated" in await sandbox.event_types()


async def test_failed_refund_can_be_made_again(sandbox: Sandbox) -> None:
    intent = await sandbox.paid("pm_card_refundFail")
    create = sandbox.stripe.v1.refunds.create_async
    refund = await create({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    await sandbox.ask("/settle", object=refund.id)
    failed = await sandbox.stripe.v1.refunds.retrieve_async(refund.id)
    assert (failed.status, failed.failure_reason) == ("failed", "unknown")
    assert charge_of(await sandbox.reload(intent)).amount_refunded == 0
    assert (await sandbox.event_types())[-2:] == ["charge.refund.updated", "refund.failed"]
    assert (await create({"payment_intent": intent.id})).status == "succeeded"


async def test_any_refund_can_be_made_to_fail(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    await sandbox.ask(f"/refunds/{refund.id}/fail")
    assert (await sandbox.stripe.v1.refunds.retrieve_async(refund.id)).status == "failed"


async def test_refund_waits_for_an_empty_balance_to_fill(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    await sandbox.ask("/balance", currency="eur", amount=1000)
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert (refund.status, refund.pending_reason) == ("pending", "insufficient_funds")
    await sandbox.paid(amount=9000)
    await sandbox.ask("/settle")
    assert (await sandbox.stripe.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
