"""What was missed of Stripe's word is put right, and a second look finds nothing.

Each test looks at what is found beyond what was found before it began.
"""

from datetime import UTC, datetime

import pytest

from kit.clock import to_timestamp
from tests.integration.payment_service.auditing import (
    Auditor,
    booked,
    deaf,
    forget,
    paid,
    payment_of,
    refund,
    sent_back,
)
from tests.integration.payment_service.support import intent_id


async def test_where_nothing_went_wrong_nothing_is_found(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop, quantity=2)
    await shop.order(await shop.hold(await shop.event()))
    await shop.settled()
    assert sorted(await booked(shop, order)) == ["CHARGE", "PROVIDER_FEE"]
    assert await auditor.compare() == {}


async def test_lost_webhook_is_made_up_for_and_the_order_paid(auditor: Auditor) -> None:
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.pay(order)
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await auditor.compare() == {}


async def test_lost_webhook_of_a_charge_is_made_up_for(auditor: Auditor) -> None:
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.charges_at_once(order)
    await shop.pay(order)
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await auditor.compare() == {}


async def test_capture_whose_answer_was_lost_is_made_up_for(auditor: Auditor) -> None:
    """Whoever captured died before it heard the answer, and nobody has taken its work up yet."""
    shop = auditor.shop
    await deaf(shop)
    order = await shop.ordered()
    await shop.pay(order)
    spoil = "UPDATE orders SET next_attempt_at = now() + interval '1 hour' WHERE id = :id"
    await shop.installation.execute("payment", spoil, id=order.id)
    await shop.sandbox.stripe.v1.payment_intents.capture_async(intent_id(order))
    assert await auditor.compare() == {intent_id(order): "healed MISSED_WEBHOOK"}
    await shop.becomes(order, "PAID")
    await shop.settled()
    assert await auditor.compare() == {}


async def test_webhook_that_is_only_late_is_no_finding(auditor: Auditor) -> None:
    shop = auditor.shop
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    order = await shop.ordered()
    await shop.pay(order)
    run = await auditor.start()
    await shop.sandbox.ask("/webhooks/release", order="forward")
    assert (await auditor.finished(run)).healed == 0
    await shop.becomes(order, "PAID")


async def test_what_was_paid_before_there_was_a_ledger_is_booked_with_its_day(
    auditor: Auditor,
) -> None:
    shop = auditor.shop
    order = await paid(shop)
    payment_id = await payment_of(shop, order)
    await shop.settled()
    await forget(shop, f"charge:{payment_id}", f"fee:{payment_id}")
    spoil = (
        "UPDATE orders SET paid_at = paid_at - interval '30 days' WHERE id = :id RETURNING paid_at"
    )
    [row] = await shop.installation.execute("payment", spoil, id=order.id)
    run = await auditor.finished(await auditor.start())
    found = {(finding.kind, finding.subject, finding.is_healed) for finding in run.findings}
    assert found - {(*known, False) for known in auditor.known} == {
        ("MISSING_CHARGE", payment_id, True),
        ("MISSING_FEE", payment_id, True),
    }
    find = "SELECT booked_at FROM ledger_transactions WHERE source = :source"
    [charge] = await shop.installation.execute("payment", find, source=f"charge:{payment_id}")
    assert charge.booked_at == row.paid_at
    assert await auditor.compare() == {}


async def test_refund_that_the_ledger_lacks_is_booked(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    made = await refund(shop, order)
    await forget(shop, f"refund:{made.id}")
    assert await auditor.compare() == {made.id: "healed MISSING_REFUND"}
    assert await auditor.compare() == {}


async def test_refund_made_in_the_dashboard_is_recorded(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    await deaf(shop)
    made = await shop.sandbox.stripe.v1.refunds.create_async(
        {"payment_intent": intent_id(order), "amount": 1_000}
    )
    assert await auditor.compare() == {made.id: "healed DASHBOARD_REFUND"}
    assert (await shop.get(order)).refunded.amount == "10.00"
    assert (await booked(shop, order))[-1] == "REFUND"
    assert await auditor.compare() == {}


async def test_refund_that_failed_unheard_is_booked_back(auditor: Auditor) -> None:
    shop = auditor.shop
    order = await paid(shop)
    made = await refund(shop, order, "10.00")
    await deaf(shop)
    provider_id = await sent_back(shop, made)
    assert await auditor.compare() == {provider_id: "healed MISSED_WEBHOOK"}
    assert (await booked(shop, order))[-1] == "REFUND_FAILED"
    assert await auditor.compare() == {}


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_dispute_that_nobody_heard_of_is_recorded_and_so_is_its_end(
    auditor: Auditor, outcome: str
) -> None:
    shop = auditor.shop
    order = await paid(shop)
    await deaf(shop)
    made = await shop.sandbox.ask(
        f"/payment_intents/{intent_id(order)}/dispute", reason="fraudulent"
    )
    assert await auditor.compare() == {made["id"]: "healed MISSED_DISPUTE"}
    assert "DISPUTE_OPENED" in await booked(shop, order)
    assert await auditor.compare() == {}
    # It was opened long ago: only because it is open here, Stripe is asked about it.
    old = "UPDATE disputes SET opened_at = now() - interval '60 days' WHERE provider_id = :id"
    await shop.installation.execute("payment", old, id=made["id"])
    await shop.sandbox.ask(f"/disputes/{made['id']}/close", outcome=outcome)
    later = to_timestamp(datetime.now(UTC))
    assert await auditor.compare(period_start=later) == {made["id"]: "healed MISSED_WEBHOOK"}
    assert f"DISPUTE_{outcome.upper()}" in await booked(shop, order)
    assert await auditor.compare() == {}
