"""What the payments need of a payment provider."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from payment_service.disputes.domain import DisputeReport
from payment_service.payments.domain import Intent, Payment, Report
from payment_service.reconciliation.domain import ListedPayment, Movement
from payment_service.refunds.domain import Refund, RefundReport


class PaymentProvider(Protocol):
    """Authorises, captures, voids and refunds.

    Every method raises PaymentProviderUnavailable when the outcome is unknown or may change, and
    PaymentRefused when the provider has said no for good.
    """

    publishable_key: str
    api_base: str

    def check_amount(self, currency_code: str, minor: int) -> None:
        """Raise AmountTooSmall or UnchargeableAmount for what cannot be charged to a card."""

    async def create(self, payment: Payment) -> Intent:
        """Prepare a payment that the customer then confirms in the browser."""

    async def retrieve(self, provider_id: str) -> Intent:
        """How the payment stands."""

    async def capture(self, provider_id: str) -> Intent:
        """Take the authorised money; a payment that was captured before stays captured."""

    async def cancel(self, provider_id: str) -> Intent:
        """Void the payment, unless it was charged before: the answer says which."""

    async def refund(self, refund: Refund, provider_id: str) -> RefundReport:
        """Give the refund's amount of a charge back, once; answers how that stands."""

    async def refunds_of(self, provider_id: str) -> Sequence[RefundReport]:
        """All refunds of a payment, whoever made them."""

    async def retrieve_refund(self, provider_id: str) -> RefundReport:
        """How a refund stands."""

    async def retrieve_dispute(self, provider_id: str) -> DisputeReport:
        """How a dispute stands."""

    # What was made from one moment until before another, page by page, newest first.

    def list_payments(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[ListedPayment]]:
        """Payments."""

    def list_refunds(self, start: datetime, end: datetime) -> AsyncIterator[Sequence[RefundReport]]:
        """Refunds."""

    def list_disputes(
        self, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[DisputeReport]]:
        """Disputes."""

    def list_movements(self, start: datetime, end: datetime) -> AsyncIterator[Sequence[Movement]]:
        """What came onto the balance, and what went off it."""

    def verify(self, payload: bytes, signature: str) -> Report:
        """Read a webhook, or raise InvalidSignature."""
