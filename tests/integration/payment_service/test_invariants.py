"""The invariants' own test: what breaks one is seen."""

import pytest

from tests.integration.payment_service.support import Shop
from tests.support.invariants import broken_invariants, broken_money, undelivered, unsettled


async def money(shop: Shop) -> list[str]:
    sandbox = shop.sandbox
    return await broken_money(shop.installation.database_url, sandbox.url, sandbox.keys.secret_key)


async def test_charge_that_no_order_asked_for_is_seen(shop: Shop) -> None:
    stray = await shop.sandbox.paid()
    assert [stray.id in found for found in await money(shop)] == [True]
    await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": stray.id})
    assert await money(shop) == []


async def test_reservation_that_no_order_waits_for_is_seen(shop: Shop) -> None:
    stray = await shop.sandbox.authorized()
    assert [stray.id in found for found in await money(shop)] == [True]
    await shop.sandbox.stripe.v1.payment_intents.cancel_async(stray.id)
    assert await money(shop) == []


@pytest.mark.parametrize("price", ["50.00", "0.00"])
async def test_paid_order_without_its_tickets_is_seen(shop: Shop, price: str) -> None:
    order = await shop.ordered(price=price)
    if price != "0.00":
        await shop.pay(order)
    await shop.becomes(order, "PAID")
    spoil = "UPDATE tickets SET state = :state WHERE order_id = :id"
    await shop.installation.execute("ticket", spoil, id=order.id, state="CANCELLED")
    assert [order.id in found for found in await money(shop)] == [True]
    await shop.installation.execute("ticket", spoil, id=order.id, state="ISSUED")


async def test_paid_order_without_a_payment_is_seen(shop: Shop) -> None:
    order = await shop.ordered()
    url = shop.installation.database_url
    await shop.installation.execute(
        "payment",
        "UPDATE orders SET state = 'PAID', fulfilment = 'ISSUED', paid_at = now() WHERE id = :id",
        id=order.id,
    )
    assert [order.id in found for found in await broken_invariants(url, "payment")] == [True]
    assert len([found for found in await money(shop) if order.id in found]) == 2
    repair = "UPDATE orders SET state = 'PENDING', fulfilment = 'NONE' WHERE id = :id"
    await shop.installation.execute("payment", repair, id=order.id)


async def test_succeeded_payment_of_an_unpaid_order_is_seen(shop: Shop) -> None:
    order, url = await shop.ordered(), shop.installation.database_url
    spoil = "UPDATE payments SET state = :state WHERE order_id = :id"
    await shop.installation.execute("payment", spoil, id=order.id, state="SUCCEEDED")
    assert [order.id in found for found in await broken_invariants(url, "payment")] == [True]
    await shop.installation.execute("payment", spoil, id=order.id, state="REQUIRES_ACTION")


async def test_total_that_is_not_the_sum_of_its_lines_is_seen(shop: Shop) -> None:
    order, url = await shop.ordered(), shop.installation.database_url
    spoil = "UPDATE orders SET total_minor = :total WHERE id = :id"
    await shop.installation.execute("payment", spoil, id=order.id, total=1)
    assert [order.id in found for found in await broken_invariants(url, "payment")] == [True]
    await shop.installation.execute("payment", spoil, id=order.id, total=5000)


async def test_order_that_somebody_works_on_is_seen(shop: Shop) -> None:
    order, url = await shop.ordered(), shop.installation.database_url
    await shop.settled()
    claim = "UPDATE orders SET next_attempt_at = expires_at + interval '1 hour' WHERE id = :id"
    await shop.installation.execute("payment", claim, id=order.id)
    assert [order.id in found for found in await unsettled(url)] == [True]
    await shop.attempt_now(order)


async def test_message_that_no_broker_has_is_seen(shop: Shop) -> None:
    url = shop.installation.database_url
    add = """
        INSERT INTO outbox (id, routing_key, type, headers, body)
        VALUES ('msg_0', 'nobody.listened', 'tessera.payment.v1.PaymentSucceeded', '{}', '{}')
    """
    await shop.installation.execute("payment", add)
    assert ["msg_0" in found for found in await undelivered(url, "payment")] == [True]
    await shop.installation.execute("payment", "DELETE FROM outbox WHERE id = 'msg_0'")
