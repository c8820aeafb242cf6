"""The invariants' own test: what breaks one is seen."""

from datetime import timedelta

import pytest
from tessera.payment.v1 import order_pb2

from tests.integration.payment_service.support import Shop, intent_id
from tests.integration.payment_service.till import (
    at_stripe,
    decide,
    dispute,
    dispute_is,
    finished,
    paid,
    refund,
    through,
)
from tests.integration.ticket_service.support import money as amount
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


async def test_valid_ticket_of_a_cancelled_order_is_seen_unless_it_was_used(shop: Shop) -> None:
    order = await paid(shop, quantity=1)
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED")
    change = "UPDATE tickets SET state = :state WHERE order_id = :id"
    await shop.installation.execute("ticket", change, id=order.id, state="ISSUED")
    without = "UPDATE refunds SET ticket_numbers = :numbers WHERE order_id = :id"
    for numbers in ([1], []):
        await shop.installation.execute("payment", without, id=order.id, numbers=numbers)
        assert [order.id in found for found in await money(shop)] == [True]
    await enter(shop, order)
    assert await money(shop) == []
    await shop.installation.execute("ticket", change, id=order.id, state="CANCELLED")
    await shop.installation.execute("ticket", "DELETE FROM check_ins WHERE id = :id", id=order.id)
    await shop.installation.execute("payment", without, id=order.id, numbers=[1])


async def test_used_ticket_that_was_paid_back_unasked_is_seen(shop: Shop) -> None:
    order = await paid(shop, quantity=1)
    await refund(shop, order)
    await through(shop, order, "SUCCEEDED")
    await enter(shop, order)
    assert ["which were used" in found for found in await money(shop)] == [True]
    asked = "UPDATE refunds SET include_admitted = true WHERE order_id = :id"
    await shop.installation.execute("payment", asked, id=order.id)
    assert await money(shop) == []


async def enter(shop: Shop, order: order_pb2.Order) -> None:
    """Note that somebody got in, whatever the door would have said."""
    admit = """
        INSERT INTO check_ins (id, ticket_id, event_id, user_id)
        SELECT order_id, id, event_id, '' FROM tickets WHERE order_id = :id
    """
    await shop.installation.execute("ticket", admit, id=order.id)


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
    found = await broken_invariants(url, "payment")
    assert [order.id in each for each in found] == [True, False, True]
    assert "is booked if it succeeded" in found[1]
    assert "what is owed" in found[2]
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
    claim = "UPDATE orders SET next_attempt_at = expires_at, attempts = 1 WHERE id = :id"
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


async def spoilt(shop: Shop, spoil: str, repair: str, **values: object) -> list[str]:
    """What is seen between two statements."""
    url = shop.installation.database_url
    await shop.settled()
    await shop.installation.execute("payment", spoil, **values)
    found = await broken_invariants(url, "payment")
    await shop.installation.execute("payment", repair, **values)
    assert await broken_invariants(url, "payment") == []
    return found


async def test_charge_that_no_order_keeps_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    found = await spoilt(
        shop,
        "UPDATE orders SET payment_id = NULL, state = 'CANCELLED' WHERE id = :id",
        "UPDATE orders SET payment_id = (SELECT id FROM payments WHERE order_id = :id),"
        " state = 'PAID' WHERE id = :id",
        id=order.id,
    )
    assert any("is kept by its order" in each for each in found)


async def test_charge_that_no_order_keeps_and_of_which_only_a_part_failed_to_go_back_is_seen(
    shop: Shop,
) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=amount("10.00"))
    await through(shop, order, "SUCCEEDED")
    (made,) = await at_stripe(shop, order)
    await shop.sandbox.ask(f"/refunds/{made.id}/fail")
    await through(shop, order, "FAILED")
    keep = "UPDATE orders SET payment_id = :kept WHERE id = :id"
    await shop.installation.execute("payment", keep, id=order.id, kept=None)
    found = await broken_invariants(shop.installation.database_url, "payment") + await money(shop)
    await shop.installation.execute("payment", keep, id=order.id, kept=order.payment.id)
    assert any("is kept by its order" in each for each in found)
    assert any("the order does not keep it" in each for each in found)


@pytest.mark.parametrize("more", [1, -1])
async def test_payment_that_counts_its_refunds_wrongly_is_seen(shop: Shop, more: int) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=amount("10.00"))
    await through(shop, order, "SUCCEEDED")
    add = "UPDATE payments SET refunded_minor = refunded_minor + {} WHERE order_id = :id"
    found = await spoilt(shop, add.format(more), add.format(-more), id=order.id)
    assert ["is what its refunds take" in each for each in found] == [True]


async def test_ticket_that_is_refunded_twice_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=amount("10.00"))
    await refund(shop, order, amount=amount("10.00"))
    await through(shop, order, "SUCCEEDED", "SUCCEEDED")
    change = "UPDATE refunds SET ticket_numbers = '{}' WHERE order_id = :id"
    spoil = change.replace("'{}'", "'{2}'")
    found = await spoilt(shop, spoil, change, id=order.id)
    assert ["refunded once" in each for each in found] == [True]


@pytest.mark.parametrize("state", ["CREATED", "FAILED"])
async def test_refund_that_is_booked_as_it_is_not_is_seen(shop: Shop, state: str) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=amount("10.00"))
    await through(shop, order, "SUCCEEDED")
    change = "UPDATE refunds SET state = '{}' WHERE order_id = :id"
    found = await spoilt(shop, change.format(state), change.format("SUCCEEDED"), id=order.id)
    assert any("booked once Stripe has it" in each for each in found)


@pytest.mark.parametrize("state", ["WON", "LOST"])
async def test_dispute_that_is_booked_as_it_is_not_is_seen(shop: Shop, state: str) -> None:
    order = await paid(shop)
    opened = await dispute(shop, order)
    await dispute_is(shop, order, "OPEN")
    change = "UPDATE disputes SET state = '{}', closed_at = {} WHERE order_id = :id"
    found = await spoilt(
        shop, change.format(state, "now()"), change.format("OPEN", "NULL"), id=order.id
    )
    assert ["booked as it stands" in each for each in found] == [True]
    await decide(shop, opened, "won")
    await dispute_is(shop, order, "WON")


async def test_refund_that_stripe_knows_alone_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    await shop.settled()
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    intent = intent_id(order)
    await shop.sandbox.stripe.v1.refunds.create_async({"payment_intent": intent, "amount": 100})
    assert ["we know otherwise" in found for found in await money(shop)] == [True]
    await shop.sandbox.ask("/webhooks/release")
    await through(shop, order, "SUCCEEDED")
    assert await money(shop) == []


async def test_refund_that_stripe_does_not_know_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    await refund(shop, order, amount=amount("10.00"))
    await through(shop, order, "SUCCEEDED")
    (made,) = await at_stripe(shop, order)
    await shop.settled()
    await shop.sandbox.ask("/webhooks/faults", action="hold")
    await shop.sandbox.ask(f"/refunds/{made.id}/fail")
    assert ["we know otherwise" in found for found in await money(shop)] == [True]
    await shop.sandbox.ask("/webhooks/release")
    await through(shop, order, "FAILED")
    assert await money(shop) == []


@pytest.mark.parametrize("table", ["refunds", "disputes", "operations"])
async def test_work_that_is_to_be_done_is_seen(shop: Shop, table: str) -> None:
    event = await shop.event()
    order = await paid(shop, event)
    if table == "refunds":
        await refund(shop, order, amount=amount("10.00"))
    elif table == "disputes":
        await dispute(shop, order)
        await dispute_is(shop, order, "OPEN")
    else:
        await shop.call_off(event)
        await finished(shop, event)
    await shop.settled()
    url = shop.installation.database_url
    key = "event_id" if table == "operations" else "order_id"
    due = f"UPDATE {table} SET next_attempt_at = now() + :later WHERE {key} = :id"
    about = event.id if table == "operations" else order.id
    minute = timedelta(minutes=1)
    await shop.installation.execute("payment", due, id=about, later=minute)
    assert len(await unsettled(url)) == 1
    await shop.installation.execute("payment", due, id=about, later=-minute)
