"""Orders and payments for tests of the domain: valid, unless a test says otherwise."""

from datetime import UTC, datetime
from typing import Any

from payment_service.orders.domain import Customer, Fulfilment, Order, OrderLine, OrderState
from payment_service.payments.domain import Payment, PaymentState

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def order(state: str = "PENDING", fulfilment: str = "NONE", **fields: Any) -> Order:
    values: dict[str, Any] = {
        "id": "ord_1",
        "code": "ABCDEFGH",
        "event_id": "evt_1",
        "organizer_id": "org_1",
        "hold_id": "hold_1",
        "currency_code": "EUR",
        "total_minor": 10_000,
        "customer": Customer("grace@customer.example", "Grace Hopper", ""),
        "lines": (OrderLine("tt_1", "Stalls", 2, 5_000, 10_000),),
        "cancel_reason": "",
        "expires_at": NOON,
        "created_at": NOON,
        "paid_at": NOON if state == "PAID" else None,
        "fingerprint": b"",
        "idempotency_key": None,
        **fields,
    }
    return Order(state=OrderState(state), fulfilment=Fulfilment(fulfilment), **values)


def payment(status: str = "", state: str = "CREATED", **fields: Any) -> Payment:
    values: dict[str, Any] = {
        "id": "pay_1",
        "order_id": "ord_1",
        "event_id": "evt_1",
        "currency_code": "EUR",
        "amount_minor": 10_000,
        "provider_id": "pi_1",
        "client_secret": "pi_1_secret",
        "decline_code": "",
        "key_number": 1,
        **fields,
    }
    return Payment(state=PaymentState(state), provider_status=status, **values)
