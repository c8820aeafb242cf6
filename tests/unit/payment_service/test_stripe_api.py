"""What Stripe can charge, and how amounts are written for it."""

import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator

import pytest

from kit.errors import TesseraError
from payment_service.payments.domain import (
    AmountTooLarge,
    AmountTooSmall,
    Fee,
    Intent,
    UnchargeableAmount,
)
from payment_service.payments.stripe_api import StripeProvider, minor_amount, stripe_amount


def signature(payload: bytes, secret: str) -> str:
    """The header that Stripe sends: https://docs.stripe.com/webhooks#verify-manually."""
    at = int(time.time())
    mac = hmac.new(secret.encode(), f"{at}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


@pytest.fixture
async def provider() -> AsyncIterator[StripeProvider]:
    provider = StripeProvider("sk_test_1", "pk_test_1", "whsec_1", "http://127.0.0.1:9")
    yield provider
    await provider.close()


@pytest.mark.parametrize(
    ("currency", "minor", "amount"),
    [
        ("EUR", 5000, 5000),
        ("JPY", 5000, 5000),
        ("ISK", 700, 70_000),
        ("UGX", 3000, 300_000),
        ("KWD", 1230, 1230),
        ("TND", 10, 10),
        ("MGA", 5000_00, 5000),
    ],
)
def test_amounts_are_written_as_stripe_reads_them(currency: str, minor: int, amount: int) -> None:
    assert stripe_amount(currency, minor) == amount
    assert minor_amount(currency, amount) == minor


@pytest.mark.parametrize("currency", ["BHD", "JOD", "KWD", "OMR", "TND"])
def test_third_decimal_must_be_zero(currency: str) -> None:
    with pytest.raises(UnchargeableAmount):
        stripe_amount(currency, 1234)


@pytest.mark.parametrize(
    ("currency", "least"), [("EUR", 50), ("GBP", 30), ("JPY", 50), ("HUF", 17_500), ("ISK", 1)]
)
async def test_total_below_stripes_minimum_is_refused(
    provider: StripeProvider, currency: str, least: int
) -> None:
    provider.check_amount(currency, least)
    with pytest.raises(AmountTooSmall):
        provider.check_amount(currency, least - 1)


async def test_refusal_names_the_least_amount(provider: StripeProvider) -> None:
    with pytest.raises(AmountTooSmall, match=r"175\.00 HUF"):
        provider.check_amount("HUF", 1)


@pytest.mark.parametrize(
    ("currency", "minor", "error"),
    [
        ("KWD", 1001, UnchargeableAmount),
        ("MGA", 500_050, UnchargeableAmount),
        ("USD", 49, AmountTooSmall),
        ("USD", 100_000_000, AmountTooLarge),
        ("MGA", 10_000_000_000, AmountTooLarge),
    ],
)
async def test_total_is_checked_before_stripe_is_asked(
    provider: StripeProvider, currency: str, minor: int, error: type[TesseraError]
) -> None:
    with pytest.raises(error):
        provider.check_amount(currency, minor)


@pytest.mark.parametrize(
    ("charge", "fee"),
    [
        ("ch_1", None),  # not expanded, as in webhooks
        (None, None),
        ({"balance_transaction": None}, None),  # captured, and not settled yet
        ({"balance_transaction": "txn_1"}, None),
        ({"balance_transaction": {"fee": 175, "currency": "eur"}}, Fee("EUR", 175)),
        ({"balance_transaction": {"fee": 17_500, "currency": "isk"}}, Fee("ISK", 175)),
    ],
)
async def test_fee_is_read_where_stripe_tells_it_in_the_currency_of_the_payout(
    provider: StripeProvider, charge: object, fee: Fee | None
) -> None:
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "metadata": {"payment_id": "pay_1"},
        "latest_charge": charge,
    }
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": intent}}
    payload = json.dumps(event).encode()
    report = provider.verify(payload, signature(payload, "whsec_1"))
    assert report.about == Intent("pi_1", "pay_1", "succeeded", fee=fee)
