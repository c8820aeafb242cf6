"""What a payment is, and what an order's state and Stripe's word make the next step.

Stripe is only believed forwards: a late or repeated report never takes a payment back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from kit.errors import FailedPrecondition, InvalidArgument, Unavailable
from payment_service.orders.domain import ForbiddenTransition, Fulfilment, Order, OrderState
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
    """Card payments in this currency end in a zero; choose a rounder price."""


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

# https://docs.stripe.com/payments/paymentintents/lifecycle
PROCESSING = "processing"
CAPTURABLE = "requires_capture"
CHARGED = "succeeded"
VOIDED = "canceled"
DECIDING = frozenset({CAPTURABLE, CHARGED, VOIDED})  # words that an order must react to
_LAST = frozenset({CHARGED, VOIDED})


@dataclass(frozen=True, slots=True)
class Intent:
    """What Stripe says of a PaymentIntent. The payment's id comes from its metadata."""

    provider_id: str
    payment_id: str
    status: str
    client_secret: str = ""
    decline_code: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A verified webhook: Stripe's event id and type, and what it is about, if that concerns us."""

    id: str
    type: str
    about: Intent | RefundReport | None


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

    @property
    def idempotency_key(self) -> str:
        """Names this attempt to Stripe: not the order, or a declined card could never retry."""
        return f"{self.id}-{self.key_number}"

    @property
    def is_open(self) -> bool:
        return bool(TRANSITIONS[self.state])


class Step(StrEnum):
    """What is to be done for an order next."""

    NOTHING = "NOTHING"
    ISSUE = "ISSUE"  # have ticket_service convert the hold
    CAPTURE = "CAPTURE"  # take the authorised money
    FINISH = "FINISH"  # record that the order is paid, and announce it
    CLOSE = "CLOSE"  # record that Stripe cancelled the payment
    LOOK = "LOOK"  # ask Stripe how the payment stands: a webhook may be late or lost
    EXPIRE = "EXPIRE"  # record that the order is overdue
    TAKE_BACK = "TAKE_BACK"  # cancel the tickets of an order that will not be paid
    VOID = "VOID"  # cancel the payment: nothing is, or stays, reserved
    REFUND = "REFUND"  # give back a charge that no order keeps


def observe(payment: Payment, status: str) -> tuple[str, PaymentState]:
    """Stripe's word and the payment's state after a report of `status`, however late it comes."""
    known = payment.provider_status
    if not payment.is_open or known in _LAST or (known == CAPTURABLE and status not in DECIDING):
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


def next_step(order: Order, payment: Payment | None, *, overdue: bool, looked: bool) -> Step:
    """What the order needs now. `looked`: Stripe was asked a moment ago."""
    if order.state is OrderState.PAID:
        return Step.NOTHING
    if order.state is OrderState.PENDING:
        return _pending_step(order, payment, overdue=overdue, looked=looked)
    if order.fulfilment in (Fulfilment.ISSUING, Fulfilment.ISSUED):
        return Step.TAKE_BACK
    if payment is None or not payment.is_open:
        return Step.NOTHING
    status = payment.provider_status
    if status == VOIDED:
        return Step.CLOSE
    if status == CHARGED:
        return Step.REFUND
    if status == PROCESSING:  # Stripe cancels nothing that is under way
        return Step.NOTHING if looked else Step.LOOK
    return Step.VOID


def _pending_step(order: Order, payment: Payment | None, *, overdue: bool, looked: bool) -> Step:
    status = CHARGED if payment is None else payment.provider_status
    if status in (CAPTURABLE, CHARGED):
        if order.fulfilment is not Fulfilment.ISSUED:
            return Step.ISSUE
        return Step.FINISH if status == CHARGED else Step.CAPTURE
    if status == VOIDED:
        return Step.CLOSE
    if not overdue:
        return Step.NOTHING
    if not looked:
        return Step.LOOK
    return Step.NOTHING if status == PROCESSING else Step.EXPIRE
