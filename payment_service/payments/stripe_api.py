"""Stripe: with its transport, the only file that imports `stripe`."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import stripe

from kit.money import Money
from payment_service.disputes.domain import DisputeReport
from payment_service.payments.domain import (
    AmountTooLarge,
    AmountTooSmall,
    Fee,
    Intent,
    InvalidSignature,
    Payment,
    PaymentProviderUnavailable,
    PaymentRefused,
    Report,
    UnchargeableAmount,
)
from payment_service.payments.pacer import Pacer
from payment_service.payments.stripe_http import StripeHttp
from payment_service.pricing.domain import step_of
from payment_service.reconciliation.domain import ChargeReport, ListedPayment, Movement
from payment_service.refunds.domain import Refund, RefundReport

TIMEOUT_S = 10
SIGNATURE_TOLERANCE_S = 300

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in minor units.
_MINIMUM = {
    "AED": 200, "AUD": 50, "BGN": 100, "BRL": 50, "CAD": 50, "CHF": 50, "CZK": 1500, "DKK": 250,
    "EUR": 50, "GBP": 30, "HKD": 400, "HUF": 17500, "INR": 50, "JPY": 50, "MXN": 1000, "MYR": 200,
    "NOK": 300, "NZD": 50, "PLN": 200, "RON": 200, "SEK": 300, "SGD": 50, "THB": 1000, "USD": 50,
}  # fmt: skip
_MAXIMUM = 99_999_999  # eight digits, as the same page says of most currencies
# https://docs.stripe.com/currencies#special-cases: Stripe writes these with two more decimals.
_TWO_MORE_DECIMALS = frozenset({"ISK", "UGX"})
_TWO_FEWER_DECIMALS = frozenset({"MGA"})  # and these without the ones that ISO 4217 gives them

# https://docs.stripe.com/error-codes: refusals that pass when the other request is through.
_PASSING = frozenset({"lock_timeout", "idempotency_key_in_use"})
PAGE_SIZE, MAX_PAGES = 100, 20
PAUSES_S = (0.5, 1, 2, 4, 8, 16)

# https://docs.stripe.com/payments/place-a-hold-on-a-payment-method: for these, and no others,
# `payment_method_options` has a `capture_method`.
_AUTHORISED_FIRST: Any = {
    method: {"capture_method": "manual"}
    for method in (
        "affirm", "afterpay_clearpay", "alma", "amazon_pay", "billie", "card", "cashapp", "klarna",
        "link", "mobilepay", "paypal", "revolut_pay", "satispay",
    )
}  # fmt: skip
_WITH_FEE: Any = {"expand": ["latest_charge.balance_transaction"]}

Read = TypeVar("Read")


class _PacedClient(StripeHttp):
    """Has every request wait for its turn, those included that the SDK repeats."""

    def __init__(self, pacer: Pacer | None) -> None:
        super().__init__(TIMEOUT_S)
        self._pacer = pacer

    async def request_async(self, *args: Any, **kwargs: Any) -> Any:
        if self._pacer is not None:
            await self._pacer.turn()
        return await super().request_async(*args, **kwargs)


class StripeProvider:
    """The payment provider that Tessera ships with. Without a pacer it calls at once."""

    def __init__(
        self,
        secret_key: str,
        publishable_key: str,
        webhook_secret: str,
        api_base: str,
        pacer: Pacer | None = None,
    ) -> None:
        self.publishable_key = publishable_key
        self.api_base = api_base
        self._webhook_secret = webhook_secret
        self._http = _PacedClient(pacer)
        self._client = stripe.StripeClient(
            secret_key,
            base_addresses={"api": api_base},
            http_client=self._http,
            max_network_retries=1,
        )

    async def close(self) -> None:
        """Close the connections to Stripe."""
        await self._http.close_async()

    def check_amount(self, currency_code: str, minor: int) -> None:
        least = _MINIMUM.get(currency_code, 1)
        if minor < least:
            raise AmountTooSmall(
                f"The least that can be charged to a card is {Money(currency_code, least)}."
            )
        if stripe_amount(currency_code, minor) > _MAXIMUM:
            raise AmountTooLarge

    async def create(self, payment: Payment) -> Intent:
        return await self._ask(
            "post",
            "",
            amount=stripe_amount(payment.currency_code, payment.amount_minor),
            currency=payment.currency_code.lower(),
            # What can be authorised first is; the other methods charge at once, and
            # tell the fee at once, too.
            capture_method="automatic",
            payment_method_options=_AUTHORISED_FIRST,
            automatic_payment_methods={"enabled": True},
            metadata={"order_id": payment.order_id, "payment_id": payment.id},
            idempotency_key=payment.idempotency_key,
        )

    async def retrieve(self, provider_id: str) -> Intent:
        return await self._ask("get", f"/{provider_id}", **_WITH_FEE)

    async def capture(self, provider_id: str) -> Intent:
        return await self._settle(
            provider_id, self._ask("post", f"/{provider_id}/capture", **_WITH_FEE)
        )

    async def cancel(self, provider_id: str) -> Intent:
        return await self._settle(provider_id, self._ask("post", f"/{provider_id}/cancel"))

    async def _ask(self, method: str, path: str, **params: Any) -> Intent:
        """Ask about a PaymentIntent.

        Every sale does so twice: making objects of an answer, all of it, takes the SDK eight times
        as long as reading it.
        """
        url = f"/v1/payment_intents{path}"
        answer = await _call(self._client.raw_request_async(method, url, **params))
        return _read(answer.data)

    async def _settle(self, provider_id: str, call: Awaitable[Intent]) -> Intent:
        """The answer of a call that Stripe refuses when an earlier one had its effect."""
        try:
            return await call
        except PaymentRefused as refused:
            if refused.metadata.get("code") != "payment_intent_unexpected_state":
                raise
            return await self.retrieve(provider_id)

    async def refund(self, refund: Refund, provider_id: str) -> RefundReport:
        if refund.may_be_known:
            async for old in self._refunds_of(provider_id):
                report = _read_refund(old.to_dict())
                if report.refund_id == refund.id:
                    return report
        made = await _call(
            self._client.v1.refunds.create_async(
                params={
                    "payment_intent": provider_id,
                    "amount": stripe_amount(refund.currency_code, refund.amount_minor),
                    "metadata": {"refund_id": refund.id},
                },
                options={"idempotency_key": refund.idempotency_key},
            )
        )
        return _read_refund(made.to_dict())

    async def refunds_of(self, provider_id: str) -> Sequence[RefundReport]:
        return [_read_refund(each.to_dict()) async for each in self._refunds_of(provider_id)]

    async def retrieve_refund(self, provider_id: str) -> RefundReport:
        found = await _call(self._client.v1.refunds.retrieve_async(provider_id))
        return _read_refund(found.to_dict())

    async def retrieve_dispute(self, provider_id: str) -> DisputeReport:
        found = await _call(self._client.v1.disputes.retrieve_async(provider_id))
        return _read_dispute(found.to_dict())

    def list_payments(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[ListedPayment]]:
        return _pages(self._client.v1.payment_intents.list_async, start, end, _read_listed)

    def list_refunds(self, start: datetime, end: datetime) -> AsyncIterator[Sequence[RefundReport]]:
        return _pages(self._client.v1.refunds.list_async, start, end, _read_refund)

    def list_disputes(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[DisputeReport]]:
        return _pages(self._client.v1.disputes.list_async, start, end, _read_dispute)

    def list_movements(self, start: datetime, end: datetime) -> AsyncIterator[Sequence[Movement]]:
        listed = self._client.v1.balance_transactions.list_async
        return _pages(listed, start, end, _read_movement, expand=["data.source"])

    async def _refunds_of(self, provider_id: str) -> AsyncIterator[Any]:
        """All refunds of a charge, page by page."""
        params: stripe.params.RefundListParams = {
            "payment_intent": provider_id,
            "limit": PAGE_SIZE,
        }
        for _ in range(MAX_PAGES):
            page = await _call(self._client.v1.refunds.list_async(params))
            for found in page.data:
                yield found
            if not page.has_more:
                return
            params["starting_after"] = page.data[-1].id

    def verify(self, payload: bytes, signature: str) -> Report:
        try:
            stripe.WebhookSignature.verify_header(
                payload, signature, self._webhook_secret, SIGNATURE_TOLERANCE_S
            )
            event = json.loads(payload)
            about = event["data"]["object"]
            read = _READERS.get(about.get("object"), _ignore)
            return Report(event["id"], event["type"], read(about))
        except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError) as error:
            raise InvalidSignature from error


async def _call(call: Any) -> Any:
    try:
        return await call
    except (stripe.CardError, stripe.InvalidRequestError) as error:
        if error.code in _PASSING:
            raise PaymentProviderUnavailable from error
        about = {"code": error.code or "", "status": str(error.http_status)}
        raise PaymentRefused(error.user_message or "", metadata=about) from error
    except stripe.AuthenticationError as error:
        raise PaymentProviderUnavailable("The payment provider refuses our key.") from error
    except stripe.StripeError as error:
        # https://docs.stripe.com/api/idempotent_requests: the first answer is repeated, a 500 too.
        is_spent = error.http_status == 500 or isinstance(error, stripe.IdempotencyError)
        raise PaymentProviderUnavailable(key_is_spent=is_spent) from error


async def _pages(
    list_async: Callable[..., Any],
    start: datetime,
    end: datetime,
    read: Callable[[dict[str, Any]], Read],
    **params: Any,
) -> AsyncIterator[Sequence[Read]]:
    """What was created in a period, by the second, page by page."""
    created = {"gte": math.floor(start.timestamp()), "lt": math.ceil(end.timestamp())}
    params |= {"limit": PAGE_SIZE, "created": created}
    while True:
        page = await _patiently(lambda: list_async(params))
        yield [read(found.to_dict()) for found in page.data]
        if not page.has_more:
            return
        params["starting_after"] = page.data[-1].id


async def _patiently(ask: Callable[[], Any]) -> Any:
    """An answer of Stripe's, asked for again while it is busy: a long listing starts over else."""
    for pause_s in PAUSES_S:
        try:
            return await _call(ask())
        except PaymentProviderUnavailable:
            await asyncio.sleep(pause_s)
    return await _call(ask())


def _read(intent: dict[str, Any]) -> Intent:
    failure = intent.get("last_payment_error") or {}
    return Intent(
        provider_id=intent["id"],
        payment_id=(intent.get("metadata") or {}).get("payment_id", ""),
        status=intent["status"],
        client_secret=intent.get("client_secret") or "",
        decline_code=failure.get("decline_code") or failure.get("code") or "",
        fee=_fee(intent.get("latest_charge")),
    )


def _fee(charge: Any) -> Fee | None:
    """What Stripe keeps of a charge, if that was asked for and is decided."""
    movement = charge.get("balance_transaction") if isinstance(charge, dict) else None
    if not isinstance(movement, dict):
        return None
    currency_code = movement["currency"].upper()
    return Fee(currency_code, minor_amount(currency_code, movement["fee"]))


def _read_refund(refund: dict[str, Any]) -> RefundReport:
    currency_code = refund["currency"].upper()
    return RefundReport(
        provider_id=refund["id"],
        refund_id=(refund.get("metadata") or {}).get("refund_id", ""),
        payment_provider_id=refund.get("payment_intent") or "",
        status=refund["status"],
        currency_code=currency_code,
        amount_minor=minor_amount(currency_code, refund["amount"]),
        failure_reason=refund.get("failure_reason") or "",
    )


def _read_dispute(dispute: dict[str, Any]) -> DisputeReport:
    currency_code = dispute["currency"].upper()
    due_by = (dispute.get("evidence_details") or {}).get("due_by")
    moved = dispute.get("balance_transactions") or []
    fee_currency_code = moved[0]["currency"].upper() if moved else ""
    fees = [minor_amount(fee_currency_code, each["fee"]) for each in moved]
    return DisputeReport(
        provider_id=dispute["id"],
        payment_provider_id=dispute.get("payment_intent") or "",
        status=dispute["status"],
        currency_code=currency_code,
        amount_minor=minor_amount(currency_code, dispute["amount"]),
        reason=dispute.get("reason") or "",
        opened_at=datetime.fromtimestamp(dispute["created"], UTC),
        evidence_due_at=datetime.fromtimestamp(due_by, UTC) if due_by else None,
        is_withdrawn=any(each["amount"] < 0 for each in moved),
        fee_minor=sum(fee for fee in fees if fee > 0),
        fee_returned_minor=-sum(fee for fee in fees if fee < 0),
        fee_currency_code=fee_currency_code,
    )


def _read_listed(intent: dict[str, Any]) -> ListedPayment:
    currency_code = intent["currency"].upper()
    received = minor_amount(currency_code, intent["amount_received"])
    return ListedPayment(_read(intent), currency_code, received)


def _read_movement(movement: dict[str, Any]) -> Movement:
    """A balance transaction, with its `source` expanded: None for what no object explains."""
    currency_code = movement["currency"].upper()
    source = movement["source"] or {}
    read = _SOURCES.get(source.get("object", ""), _ignore)
    return Movement(
        provider_id=movement["id"],
        currency_code=currency_code,
        amount_minor=minor_amount(currency_code, movement["amount"]),
        fee_minor=minor_amount(currency_code, movement["fee"]),
        about=read(source),
    )


def _read_charge(charge: dict[str, Any]) -> ChargeReport:
    return ChargeReport(
        payment_provider_id=charge.get("payment_intent") or "",
        currency_code=charge["currency"].upper(),
        succeeded=charge["status"] == "succeeded",
    )


def _ignore(_: dict[str, Any]) -> None:
    return None


_READERS: Mapping[str, Callable[[dict[str, Any]], Intent | RefundReport | DisputeReport | None]] = {
    "payment_intent": _read,
    "refund": _read_refund,
    "dispute": _read_dispute,
}
_SOURCES: Mapping[
    str, Callable[[dict[str, Any]], ChargeReport | RefundReport | DisputeReport | None]
] = {"charge": _read_charge, "refund": _read_refund, "dispute": _read_dispute}


def minor_amount(currency_code: str, amount: int) -> int:
    """An amount as Stripe counts it, in minor units."""
    if currency_code in _TWO_FEWER_DECIMALS:
        return amount * 100
    return amount // 100 if currency_code in _TWO_MORE_DECIMALS else amount


def stripe_amount(currency_code: str, minor: int) -> int:
    """Minor units as Stripe counts them, or UnchargeableAmount."""
    if currency_code in _TWO_MORE_DECIMALS:
        return minor * 100
    if minor % step_of(currency_code):
        raise UnchargeableAmount
    return minor // 100 if currency_code in _TWO_FEWER_DECIMALS else minor
