"""Paying: what a card, the bank, and Stripe's webhooks make of an order."""

import pytest

from tests.integration.payment_service.support import Shop, state_of


async def test_paid_order_is_charged_once_has_its_tickets_and_is_announced(shop: Shop) -> None:
    order = await shop.ordered(quantity=2)
    assert state_of(order) == "PENDING"
    assert order.total.amount == "100.00"
    assert (await shop.pay(order)).status_code == 200
    paid = await shop.becomes(order, "PAID")
    await shop.settled()
    assert paid.HasField("paid_at")
    charge = await shop.charge(order)
    assert (charge.amount_captured, charge.amount_refunded, charge.currency) == (10_000, 0, "eur")
    assert len(await shop.issued(order)) == 2
    (announced,) = shop.announced.of(order.id)
    assert announced.order_code == order.code
    assert announced.total.amount == "100.00"
    assert announced.payment_id == order.payment.id
