"""What a payment is, and what Stripe's word makes of it.

An order has as many as its customer begins. Stripe is only believed forwards: a late or repeated
report never takes a payment back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition, InvalidArgument, Unavailable
from payment_service.disputes.domain import DisputeReport
from payment_service.orders.domain import ForbiddenTransition
from payment_service.refunds.domain import RefundReport


class PaymentProviderUnavailable(Unavailable):
    """The payment provider cannot be reached right now; try again shortly."""

    def __init__(self, message: str = "", *, key_is_spent: bool = False) -> None:
        super().__init__(message)
        self.key_is_spent = key_is_spent  # the provider repeats this failure for the same key


class PaymentRefused(FailedPrecondition):
    """The payment provider refuses this payment."""


class AmountTooSmall(FailedPrecondition):
    """The total is below what can be charged to a card in this currency."""


class AmountTooLarge(FailedPrecondition):
    """The total is above what can be charged to a card."""


class UnchargeableAmount(FailedPrecondition):
    """Cards are charged with rounder amounts in this currency; choose a rounder price."""


class TooManyPayments(FailedPrecondition):
    """There were too many attempts to pay this order."""


class TooManyOpenPayments(FailedPrecondition):
    """Several payments of this order were begun; go on with the latest, or wait for their end."""


class InvalidSignature(InvalidArgument):
    """The webhook's signature is missing, wrong or too old."""


class PaymentState(StrEnum):
    """Where a payment is in its life."""

    CREATED = "CREATED"
    REQUIRES_ACTION = "REQUIRES_ACTION"
    AUTHORIZED = "AUTHORIZED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_OPEN = frozenset(
    {
        PaymentState.REQUIRES_ACTION,
        PaymentState.AUTHORIZED,
        PaymentState.SUCCEEDED,
        PaymentState.FAILED,
        PaymentState.CANCELLED,
    }
)
TRANSITIONS: Mapping[PaymentState, frozenset[PaymentState]] = {
    PaymentState.CREATED: _OPEN,
    PaymentState.REQUIRES_ACTION: _OPEN,
    PaymentState.AUTHORIZED: frozenset(
        {PaymentState.SUCCEEDED, PaymentState.FAILED, PaymentState.CANCELLED}
    ),
    PaymentState.SUCCEEDED: frozenset(),
    PaymentState.FAILED: frozenset(),
    PaymentState.CANCELLED: frozenset(),
}

MAX_PAYMENTS = 20  # attempts to pay one order
MAX_OPEN_PAYMENTS = 3  # of them, those that no bank has declined

# https://docs.stripe.com/payments/paymentintents/lifecycle
UNCONFIRMED = "requires_payment_method"  # again, after a bank has declined it
PROCESSING = "processing"
CAPTURABLE = "requires_capture"
CHARGED = "succeeded"
VOIDED = "canceled"
DECIDING = frozenset({CAPTURABLE, CHARGED, VOIDED})  # words that an order must react to
LAST = frozenset({CHARGED, VOIDED})  # after these comes no other


@dataclass(frozen=True, slots=True)
class Fee:
    """What the provider keeps of a charge, in the currency that it pays out in."""

    currency_code: str
    minor: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What Stripe says of a PaymentIntent. The payment's id comes from its metadata."""

    provider_id: str
    payment_id: str
    status: str
    client_secret: str = ""
    decline_code: str = ""
    fee: Fee | None = None  # only when Stripe was asked, and knows by now


@dataclass(frozen=True, slots=True)
class Report:
    """A verified webhook: Stripe's event id and type, and what it is about, if that concerns us."""

    id: str
    type: str
    about: Intent | RefundReport | DisputeReport | None


@dataclass(frozen=True, slots=True)
class Payment:
    """One attempt to charge an order's total, in minor units."""

    id: str
    order_id: str
    event_id: str
    state: PaymentState
    currency_code: str
    amount_minor: int
    provider_id: str | None
    client_secret: str
    provider_status: str
    decline_code: str
    key_number: int
    refunded_minor: int = 0
    failure_announced_at: datetime | None = None
    fee_booked: bool = False
    created_at: datetime | None = None

    @property
    def idempotency_key(self) -> str:
        """Names this attempt to Stripe: not the order, or a declined card could never retry."""
        return f"{self.id}-{self.key_number}"

    @property
    def is_open(self) -> bool:
        return bool(TRANSITIONS[self.state])

    @property
    def is_untried(self) -> bool:
        """Whether it waits for its customer, who did nothing with it, as far as Stripe said."""
        is_new = self.provider_id is None or self.provider_status == UNCONFIRMED
        return self.is_open and is_new and not self.decline_code

    @property
    def is_declined(self) -> bool:
        """Whether a bank declined it, so that it waits to be tried again."""
        return self.is_open and self.provider_status == UNCONFIRMED and bool(self.decline_code)

    @property
    def has_money(self) -> bool:
        """Whether it is reserved or charged, and nothing follows from that yet."""
        return self.is_open and self.provider_status in (CAPTURABLE, CHARGED)

    @property
    def is_under_way(self) -> bool:
        """Whether a bank is at it, which takes days and cannot be stopped."""
        return self.is_open and self.provider_status == PROCESSING


def observe(payment: Payment, status: str) -> tuple[str, PaymentState]:
    """Stripe's word and the payment's state after a report of `status`, however late it comes."""
    known = payment.provider_status
    if not payment.is_open or known in LAST or (known == CAPTURABLE and status not in DECIDING):
        return known, payment.state
    if status == VOIDED:
        return status, payment.state  # what follows from it is a step of its own
    is_there = status in (CAPTURABLE, CHARGED)  # the money; it succeeded when the tickets are too
    state = PaymentState.AUTHORIZED if is_there else PaymentState.REQUIRES_ACTION
    return status, payment.state if state is payment.state else move(payment, state)


def move(payment: Payment, state: PaymentState) -> PaymentState:
    """The state, if the payment may take it."""
    if state not in TRANSITIONS[payment.state]:
        raise ForbiddenTransition(f"payment {payment.id}: {payment.state} → {state}")
    return state


def hear(payment: Payment, intent: Intent) -> Payment:
    """The payment after a report, or an answer: unchanged if it is another's, or no news."""
    # An attempt whose answer was lost may have left a second intent; nobody has its secret.
    if payment.provider_id not in (None, intent.provider_id) or not payment.is_open:
        return payment
    status, state = observe(payment, intent.status)
    return replace(
        payment,
        provider_id=intent.provider_id,
        client_secret=payment.client_secret or intent.client_secret,
        provider_status=status,
        decline_code=intent.decline_code if status == intent.status else payment.decline_code,
        state=state,
    )


def taker(payments: Sequence[Payment]) -> Payment | None:
    """The payment that pays for an order: the first that has money, one that is charged rather."""
    with_money = [payment for payment in payments if payment.has_money]
    return min(
        with_money, key=lambda each: (each.provider_status != CHARGED, each.id), default=None
    )


def latest_untried(payments: Sequence[Payment]) -> Payment | None:
    """The attempt that another one would be the same as; `payments` are oldest first.

    Raises:
        TooManyPayments, TooManyOpenPayments: there is none, and there is to be no other.
    """
    if payments and payments[-1].is_untried:
        return payments[-1]
    if len(payments) >= MAX_PAYMENTS:
        raise TooManyPayments
    begun = [each for each in payments if each.is_open and not each.is_declined]
    if sum(each.provider_status != VOIDED for each in begun) >= MAX_OPEN_PAYMENTS:
        raise TooManyOpenPayments
    return None


def shown(payments: Sequence[Payment], kept_id: str | None) -> Payment | None:
    """The payment that an order's customer is to see: what it keeps, or else the latest attempt."""
    return max(payments, key=lambda each: (each.id == kept_id, each.is_open, each.id), default=None)
