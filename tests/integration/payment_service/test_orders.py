"""Opening an order: one per hold, whatever is repeated."""

import uuid

import pytest
from tessera.ticket.v1 import hold_service_pb2

from kit.rpc_errors import RemoteError
from tests.integration.payment_service.support import Shop, at_once, intent_id, state_of
from tests.integration.ticket_service.support import refused


async def test_same_request_again_answers_the_same_order(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    first, again = await shop.order(held), await shop.order(held)
    assert again == first
    assert first.access_token
    assert first.payment.publishable_key == shop.sandbox.keys.publishable_key
    assert first.payment.api_base == shop.sandbox.url


async def test_holds_without_keys_open_orders_of_their_own(shop: Shop) -> None:
    event = await shop.event()
    first, second = [await shop.order(await shop.hold(event)) for _ in range(2)]
    assert first.id != second.id
    assert intent_id(first) != intent_id(second)


async def test_customer_who_names_another_hold_with_the_same_key_is_refused(shop: Shop) -> None:
    event, key = await shop.event(), uuid.uuid4().hex
    first = await shop.order(await shop.hold(event), key=key)
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.order(await shop.hold(event), key=key)
    assert state_of(await shop.get(first)) == "PENDING"


async def test_key_with_another_body_is_refused(shop: Shop) -> None:
    held, key = await shop.hold(await shop.event()), uuid.uuid4().hex
    first = await shop.order(held, key=key)
    assert await shop.order(held, key=key) == first
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await shop.order(held, key=key, email="eve@customer.example")


async def test_same_request_under_another_key_is_the_same_order(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    first = await shop.order(held, key=uuid.uuid4().hex)
    assert await shop.order(held, key=uuid.uuid4().hex) == first


async def test_hold_of_another_customer_is_taken(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    await shop.order(held)
    with refused("HOLD_ALREADY_ORDERED"):
        await shop.order(held, email="eve@customer.example")


@pytest.mark.parametrize("price", ["50.00", "0.00"])
async def test_twenty_identical_requests_at_once_make_one_order(shop: Shop, price: str) -> None:
    event = await shop.event(price=price)
    held = await shop.hold(event)
    answers = await at_once(*(shop.order(held) for _ in range(20)))
    assert {getattr(answer, "id", answer) for answer in answers} == {answers[0].id}
    assert len({answer.access_token for answer in answers}) == 1
    await shop.settled()
    assert await shop.count_intents(answers[0]) == (0 if price == "0.00" else 1)
    assert len(await shop.issued(answers[0])) == (1 if price == "0.00" else 0)
    assert await shop.remaining(event) == 9


async def test_two_customers_who_race_for_one_hold_get_one_order(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    people = [f"guest{number}@customer.example" for number in range(8)]
    answers = await at_once(*(shop.order(held, email=email) for email in people))
    refusals = [answer.reason for answer in answers if isinstance(answer, RemoteError)]
    assert refusals == ["HOLD_ALREADY_ORDERED"] * 7


async def test_unknown_hold_is_not_found(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    held.id = "hold_nobody_has"
    with refused("HOLD_NOT_FOUND"):
        await shop.order(held)


async def test_released_hold_is_gone(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    await shop.tickets.holds.ReleaseHold(hold_service_pb2.ReleaseHoldRequest(hold_id=held.id))
    with refused("HOLD_GONE"):
        await shop.order(held)


async def test_expired_hold_is_gone(shop: Shop) -> None:
    held = await shop.hold(await shop.event())
    overdue = "UPDATE holds SET expires_at = now() WHERE id = :id"
    await shop.installation.execute("ticket", overdue, id=held.id)
    with refused("HOLD_GONE"):
        await shop.order(held)


async def test_free_order_is_paid_at_once_with_tickets_and_without_stripe(shop: Shop) -> None:
    order = await shop.ordered(price="0.00", quantity=3)
    assert state_of(order) == "PAID"
    assert not order.HasField("payment")
    assert len(await shop.issued(order)) == 3
    await shop.settled()
    (announced,) = shop.announced.of(order.id)
    assert (announced.payment_id, announced.total.amount) == ("", "0.00")


async def test_free_order_whose_event_was_called_off_is_cancelled(shop: Shop) -> None:
    event = await shop.event(price="0.00")
    held = await shop.hold(event)
    await shop.call_off(event)
    order = await shop.order(held)
    assert state_of(order) == "CANCELLED"  # by ticket_service's answer, or by its message before
    assert order.cancel_reason in {"EVENT_NOT_ON_SALE", "EVENT_CANCELLED"}
    await shop.settled()
    assert await shop.issued(order) == []


@pytest.mark.parametrize(
    ("currency", "price", "charged"),
    [("JPY", "5000", 5000), ("KWD", "1.230", 1230), ("ISK", "700", 70_000), ("USD", "0.50", 50)],
)
async def test_stripe_charges_what_the_customer_was_shown(
    shop: Shop, currency: str, price: str, charged: int
) -> None:
    order = await shop.ordered(currency=currency, price=price)
    assert order.total.amount == price
    intent = await shop.intent(order)
    assert (intent.amount, intent.currency) == (charged, currency.lower())


@pytest.mark.parametrize(
    ("currency", "price", "reason"),
    [("EUR", "0.49", "AMOUNT_TOO_SMALL"), ("KWD", "1.234", "UNCHARGEABLE_AMOUNT")],
)
async def test_total_that_no_card_can_pay_is_refused_and_keeps_the_hold(
    shop: Shop, currency: str, price: str, reason: str
) -> None:
    held = await shop.hold(await shop.event(currency=currency, price=price))
    with refused(reason):
        await shop.order(held)
    found = await shop.tickets.holds.GetHold(hold_service_pb2.GetHoldRequest(hold_id=held.id))
    assert found.state == held.state


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "not an address"),
        ("email", ""),
        ("full_name", "   "),
        ("full_name", "x" * 201),
        ("phone_number", "call me"),
    ],
)
async def test_customer_who_cannot_be_is_refused(shop: Shop, field: str, value: str) -> None:
    held = await shop.hold(await shop.event())
    with refused("INVALID_REQUEST", field=f"customer.{field}"):
        await shop.order(held, **{field: value})
