"""What the money machine has customers, admins and banks do: asked twice, where that may happen."""

from collections.abc import Awaitable, Callable
from typing import Any

from tessera.payment.v1 import order_pb2, order_service_pb2
from tessera.ticket.v1 import event_pb2, event_service_pb2

from kit.rpc_errors import RemoteError
from tests.integration.payment_service import till
from tests.integration.payment_service.money_model import (
    CANCELLING,
    CANCELLING_PERCENT,
    DISCOUNTS,
    FEE,
    FEE_PERCENT,
    TAX_PERCENT,
    USES,
    Attempt,
    Order,
)
from tests.integration.payment_service.money_seen import Sold
from tests.integration.payment_service.support import CUSTOMER, Shop, intent_id
from tests.integration.payment_service.test_vouchers import make
from tests.integration.ticket_service.support import days_ahead, event, money, new_key, ticket_type

Ask = Callable[[str], Awaitable[Any]]


async def open_event(shop: Shop) -> event_pb2.Event:
    """On sale, with all that the model has: tax, fees, terms and vouchers."""
    policy = {"until": days_ahead(20), "fee": money("3.00")}
    assert CANCELLING == 300
    fee = {"per_ticket": money("1.50"), "percentage": str(FEE_PERCENT), "tax_rate": "10"}
    assert FEE == 150
    draft = await shop.tickets.events.CreateEvent(
        event(
            booking_fee=fee,
            cancellation_policy={**policy, "fee_percentage": str(CANCELLING_PERCENT)},
        ),
        metadata=shop.admin,
    )
    kind = ticket_type(draft.id, total_stock=100, tax_rate=str(TAX_PERCENT), tax_included=False)
    await shop.tickets.events.CreateTicketType(kind, metadata=shop.admin)
    for code, percentage in DISCOUNTS.items():
        if code:
            await make(shop, code=code, percentage=str(percentage), max_redemptions=USES)
    publish = event_service_pb2.PublishEventRequest(event_id=draft.id)
    return await shop.tickets.events.PublishEvent(publish, metadata=shop.admin)


async def order(
    shop: Shop, of: event_pb2.Event, quantity: int, voucher: str
) -> tuple[str, order_pb2.Order | None]:
    held = await shop.hold(of, quantity)

    async def ask(key: str) -> order_pb2.Order:
        request = order_service_pb2.CreateOrderRequest(
            hold_id=held.id,
            customer=order_service_pb2.CreateOrderCustomer(**CUSTOMER),
            voucher_code=voucher,
            idempotency_key=key,
        )
        return await shop.payments.orders.CreateOrder(request)

    return await twice(ask)


async def confirm(shop: Shop, payment: order_pb2.Order, method: str) -> None:
    held_first: Any = {"card": {"capture_method": "manual"}}
    if method == "at once":
        await shop.charges_at_once(payment)
    else:
        await shop.sandbox.stripe.v1.payment_intents.update_async(
            intent_id(payment), {"payment_method_options": held_first}
        )
    card = "pm_card_visa" if method == "at once" else method
    answer = await shop.pay(payment, card)
    assert answer.status_code == (402 if "Declined" in method else 200), answer.text


async def refund(shop: Shop, sold: Sold, minor: int | None, numbers: set[int]) -> tuple[str, bool]:
    """The outcome, and whether there are such tickets."""
    fields: dict[str, Any] = {}
    if numbers:
        issued = await shop.issued(sold.order)
        fields["ticket_ids"] = [each.id for each in issued if each.number in numbers]
        if len(fields["ticket_ids"]) < len(numbers):
            return "", False  # they were never issued
    elif minor is not None:
        fields["amount"] = money(f"{minor / 100:.2f}")

    async def ask(key: str) -> Any:
        return await till.refund(shop, sold.order, idempotency_key=key, **fields)

    found, _ = await twice(ask)
    return found, True


async def decide(shop: Shop, attempt: Attempt, verdict: str) -> None:
    found = await shop.sandbox.stripe.v1.disputes.list_async({"payment_intent": attempt.intent})
    await till.decide(shop, found.data[0].id, verdict)


async def name_refunds(shop: Shop, order: Order) -> None:
    """Learn what Stripe calls the refunds that it made for us."""
    for attempt in order.attempts:
        nameless = [each for each in attempt.given if not each.id]
        if nameless:
            page = await shop.sandbox.stripe.v1.refunds.list_async(
                {"payment_intent": attempt.intent, "limit": 100}
            )
            taken = {each.id for each in attempt.given}
            new = [each for each in page.data[::-1] if each.id not in taken]
            for refund, made in zip(nameless, new, strict=True):
                assert refund.minor == made.amount
                refund.id = made.id


async def twice(ask: Ask) -> tuple[str, Any]:
    """I4: asked again with the same key, the answer is the same; `OK`, or why it was refused."""
    key = new_key()
    try:
        first = await ask(key)
    except RemoteError as error:
        return error.reason, None
    again = await ask(key)
    assert (again.id, again.payment.id if hasattr(again, "payment") else "") == (
        first.id,
        first.payment.id if hasattr(first, "payment") else "",
    )
    return "OK", first
