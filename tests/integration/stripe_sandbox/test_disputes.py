"""Disputes: opened by a test card or by hand, lost or won."""

import pytest
import stripe

from tests.integration.stripe_sandbox.support import Sandbox, charge_of


async def only_dispute(sandbox: Sandbox, intent: stripe.PaymentIntent) -> stripe.Dispute:
    (dispute,) = (await sandbox.stripe.v1.disputes.list_async({"payment_intent": intent.id})).data
    return dispute


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("pm_card_createDispute", "fraudulent"),
        ("pm_card_createDisputeProductNotReceived", "product_not_received"),
    ],
)
async def test_disputing_card_takes_the_money_back(
    sandbox: Sandbox, method: str, reason: str
) -> None:
    intent = await sandbox.paid(method)
    assert intent.status == "succeeded"
    dispute = await only_dispute(sandbox, intent)
    assert (dispute.status, dispute.reason, dispute.amount) == ("needs_response", reason, 5000)
    assert [movement.net for movement in dispute.balance_transactions] == [-6500]
    assert charge_of(await sandbox.reload(intent)).disputed
    assert (await sandbox.event_types())[-3:] == [
        "payment_intent.succeeded",
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]


async def test_manual_capture_is_disputed_once_captured(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized("pm_card_createDispute")
    assert "charge.dispute.created" not in await sandbox.event_types()
    await sandbox.stripe.v1.payment_intents.capture_async(intent.id)
    assert "charge.dispute.created" in await sandbox.event_types()


async def test_disputed_charge_cannot_be_refunded(sandbox: Sandbox) -> None:
    intent = await sandbox.paid("pm_card_createDispute")
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert refusal.value.code == "charge_disputed"


async def test_inquiry_takes_no_money_and_can_be_refunded(sandbox: Sandbox) -> None:
    intent = await sandbox.paid("pm_card_createDisputeInquiry")
    inquiry = await only_dispute(sandbox, intent)
    assert (inquiry.status, inquiry.balance_transactions) == ("warning_needs_response", [])
    await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})


async def test_accepting_a_dispute_loses_it(sandbox: Sandbox) -> None:
    dispute = await only_dispute(sandbox, await sandbox.paid("pm_card_createDispute"))
    closed = await sandbox.stripe.v1.disputes.close_async(dispute.id)
    assert closed.status == "lost"
    assert (await sandbox.event_types())[-1] == "charge.dispute.closed"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        await sandbox.stripe.v1.disputes.close_async(dispute.id)


async def test_winning_evidence_brings_the_money_back(sandbox: Sandbox) -> None:
    dispute = await only_dispute(sandbox, await sandbox.paid("pm_card_createDispute"))
    won = await sandbox.stripe.v1.disputes.update_async(
        dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}}
    )
    assert won.status == "won"
    assert sum(movement.net for movement in won.balance_transactions) == 0
    assert (await sandbox.event_types())[-2:] == [
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]


async def test_charge_can_be_refunded_once_its_dispute_is_won(sandbox: Sandbox) -> None:
    intent = await sandbox.paid("pm_card_createDispute")
    dispute = await only_dispute(sandbox, intent)
    await sandbox.ask(f"/disputes/{dispute.id}/close", outcome="won")
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.amount == 5000


async def test_other_evidence_leaves_the_dispute_under_review(sandbox: Sandbox) -> None:
    dispute = await only_dispute(sandbox, await sandbox.paid("pm_card_createDispute"))
    evidence: stripe.params.DisputeUpdateParams = {"evidence": {"uncategorized_text": "He came."}}
    reviewed = await sandbox.stripe.v1.disputes.update_async(dispute.id, evidence)
    assert reviewed.status == "under_review"
    assert reviewed.evidence_details.submission_count == 1


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_any_payment_can_be_disputed_and_decided_by_hand(
    sandbox: Sandbox, outcome: str
) -> None:
    intent = await sandbox.paid()
    opened = await sandbox.ask(f"/payment_intents/{intent.id}/dispute", reason="duplicate")
    await sandbox.ask(f"/disputes/{opened['id']}/close", outcome=outcome)
    dispute = await only_dispute(sandbox, intent)
    assert (dispute.reason, dispute.status) == ("duplicate", outcome)
