"""Every movement of money is a balance transaction, with Stripe's fees."""

import pytest

from tests.integration.stripe_sandbox.support import Sandbox, charge_of


@pytest.mark.parametrize(
    ("currency", "amount", "fee"),
    [("eur", 5000, 100), ("gbp", 5000, 95), ("usd", 5000, 175), ("jpy", 5000, 180)],
)
async def test_charge_is_credited_less_the_fee(
    sandbox: Sandbox, currency: str, amount: int, fee: int
) -> None:
    intent = await sandbox.confirm(
        await sandbox.intent(amount=amount, currency=currency, manual=False)
    )
    movement_id = charge_of(await sandbox.reload(intent)).balance_transaction
    assert isinstance(movement_id, str)
    movement = await sandbox.stripe.v1.balance_transactions.retrieve_async(movement_id)
    assert (movement.type, movement.amount, movement.fee) == ("charge", amount, fee)
    assert movement.net == amount - fee
    assert [detail.type for detail in movement.fee_details] == ["stripe_fee"]


async def test_refund_is_debited_and_the_fee_is_kept(sandbox: Sandbox) -> None:
    intent = await sandbox.paid()
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    listed = await sandbox.stripe.v1.balance_transactions.list_async({"type": "refund"})
    assert [(movement.net, movement.source) for movement in listed.data] == [(-5000, refund.id)]
    balance = await sandbox.stripe.v1.balance.retrieve_async()
    assert [(funds.currency, funds.amount) for funds in balance.available] == [("eur", -100)]


async def test_authorization_moves_no_money(sandbox: Sandbox) -> None:
    await sandbox.authorized()
    assert (await sandbox.stripe.v1.balance_transactions.list_async()).data == []


async def test_partial_capture_is_credited_in_part(sandbox: Sandbox) -> None:
    intent = await sandbox.authorized()
    await sandbox.stripe.v1.payment_intents.capture_async(intent.id, {"amount_to_capture": 3000})
    (movement,) = (await sandbox.stripe.v1.balance_transactions.list_async()).data
    assert (movement.amount, movement.fee) == (3000, 70)
