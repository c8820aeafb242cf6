"""What a person must look at is reported, and nothing is done about it."""

from tests.integration.payment_service.auditing import (
    Auditor,
    book,
    booked,
    deaf,
    forget,
    paid,
    payment_of,
    refund,
    sent_back,
    stray_charge,
)
from tests.integration.payment_service.support import intent_id
from tests.integration.payment_service.till import decide, dispute, dispute_is, through


async def test_charge_for_no_payment_of_ours_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    stray = await stray_charge(shop, "usd")
    assert await auditor.compare() == {stray: "UNKNOWN_CHARGE", "USD": "BALANCE_MISMATCH"}
    back = await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": stray})
    assert await auditor.compare() == {
        stray: "UNKNOWN_CHARGE",
        back.id: "UNKNOWN_REFUND",
        "USD": "BALANCE_MISMATCH",
    }


async def test_charge_of_another_amount_than_was_due_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.charges_at_once(order)
    await shop.pay(order)
    change = "UPDATE payments SET amount_minor = :minor WHERE order_id = :id"
    await shop.installation.execute("payment", change, id=order.id, minor=4_000)
    assert await auditor.compare() == {
        intent_id(order): "AMOUNT_MISMATCH",
        "EUR": "BALANCE_MISMATCH",
    }
    assert await booked(shop, order) == []
    await shop.installation.execute("payment", change, id=order.id, minor=5_000)
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")


async def test_paid_order_that_stripe_has_not_charged_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    swap = "UPDATE payments SET provider_id = :intent WHERE order_id = :id"
    other = await shop.sandbox.intent()
    await shop.installation.execute("payment", swap, id=order.id, intent=other.id)
    found = await auditor.compare()
    assert found[other.id] == "PAID_WITHOUT_CHARGE"
    assert found[intent_id(order)] == "UNKNOWN_CHARGE"
    assert found["EUR"] == "BALANCE_MISMATCH"
    gone = "pi_gone"
    await shop.installation.execute("payment", swap, id=order.id, intent=gone)
    assert (await auditor.compare())[gone] == "PAID_WITHOUT_CHARGE"
    await shop.installation.execute("payment", swap, id=order.id, intent=intent_id(order))
    assert await auditor.compare() == {}


async def test_paid_order_without_any_payment_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    keep = "UPDATE orders SET payment_id = :kept WHERE id = :id"
    await shop.installation.execute("payment", keep, id=order.id, kept=None)
    kept = await payment_of(shop, order)
    assert await auditor.compare() == {
        order.id: "PAID_WITHOUT_CHARGE",
        kept: "OWED_TO_CUSTOMER",
    }
    await shop.installation.execute("payment", keep, id=order.id, kept=kept)


async def test_charge_of_a_payment_that_we_gave_up_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.charges_at_once(order)
    await shop.pay(order)
    close = "UPDATE payments SET state = :state WHERE order_id = :id"
    await shop.installation.execute("payment", close, id=order.id, state="CANCELLED")
    found = await auditor.compare()
    assert found[intent_id(order)] == "CLOSED_PAYMENT"
    await shop.installation.execute("payment", close, id=order.id, state="REQUIRES_ACTION")
    await shop.attempt_now(order)
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")


async def test_wrong_fee_in_the_ledger_is_reported(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    payment_id = await payment_of(shop, order)
    await forget(shop, f"fee:{payment_id}")
    await book(shop, order, f"fee:{payment_id}", 1)
    assert await auditor.compare() == {"EUR": "BALANCE_MISMATCH"}
    await forget(shop, f"fee:{payment_id}")
    assert await auditor.compare() == {payment_id: "healed MISSING_FEE"}


async def test_more_given_back_elsewhere_than_is_left_is_reported(auditor: Auditor) -> None:
    """Ours waits for Stripe, which gives the same money back in its dashboard meanwhile."""
    shop = auditor.shop
    order = await paid(shop)
    await deaf(shop)
    reserve = "UPDATE payments SET refunded_minor = :minor WHERE order_id = :id"
    await shop.installation.execute("payment", reserve, id=order.id, minor=5_000)
    made = await shop.sandbox.stripe.v1.refunds.create_async(
        {"payment_intent": intent_id(order), "amount": 1_000}
    )
    assert await auditor.compare() == {made.id: "REFUSED", "EUR": "BALANCE_MISMATCH"}
    await shop.installation.execute("payment", reserve, id=order.id, minor=0)
    assert await auditor.compare() == {made.id: "healed DASHBOARD_REFUND"}


async def test_every_page_is_compared(auditor: Auditor) -> None:
    shop = auditor.shop
    strays = [await stray_charge(shop, "gbp") for _ in range(205)]
    run = await auditor.finished(await auditor.start())
    assert {*strays} <= {finding.subject for finding in run.findings}
    assert run.examined >= 2 * len(strays)  # payments and balance transactions
    for stray in strays:
        await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": stray})


# What is owed to a customer


async def test_refund_that_the_bank_sends_back_leaves_its_money_owed_until_it_is_made_again(
    auditor: Auditor,
) -> None:
    shop = auditor.shop
    order = await paid(shop)
    made = await refund(shop, order)
    await deaf(shop)
    provider_id = await sent_back(shop, made)
    payment_id = await payment_of(shop, order)
    assert await auditor.compare() == {
        provider_id: "healed MISSED_WEBHOOK",
        payment_id: "OWED_TO_CUSTOMER",
    }
    assert await auditor.compare() == {payment_id: "OWED_TO_CUSTOMER"}
    await refund(shop, order)
    await through(shop, order, "FAILED", "SUCCEEDED")
    assert await auditor.compare() == {}


async def test_charge_that_no_order_keeps_is_owed_if_its_refund_fails(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await shop.ordered()
    second = await shop.another(order)
    await deaf(shop)  # or the first that is heard of leaves the second uncharged
    for each in (order, second):
        await shop.charges_at_once(each)
        await shop.pay(each)
    await shop.sandbox.clear_faults()
    await shop.reach_deadline(order)
    [made] = await through(shop, order, "SUCCEEDED")
    await sent_back(shop, made)
    await through(shop, order, "FAILED")
    assert await auditor.compare() == {made.payment_id: "OWED_TO_CUSTOMER"}


async def test_refund_that_waits_for_stripe_leaves_nothing_owed(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    await shop.spoil("/v1/refunds", method="POST", action="error", status=429, times=1000)
    await shop.cancel(order, by=shop.admin)
    await through(shop, order, "CREATED")
    assert await auditor.compare() == {}


async def test_what_a_bank_gave_back_is_not_owed(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    opened = await dispute(shop, order)
    await shop.cancel(order, by=shop.admin)
    await shop.sandbox.ask("/webhooks/release")
    await decide(shop, opened, "lost")
    await dispute_is(shop, order, "LOST")
    await through(shop, order, "FAILED")
    assert await auditor.compare() == {}
