"""What is to be done for an order next: its state and those of its payments decide. Pure."""

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

from payment_service.orders.domain import Fulfilment, Order, OrderState
from payment_service.payments.domain import (
    CHARGED,
    PROCESSING,
    VOIDED,
    Payment,
    PaymentState,
    taker,
)


class Step(StrEnum):
    """What is to be done."""

    NOTHING = "NOTHING"
    PREPARE = "PREPARE"  # have Stripe know of a payment, so that the customer can confirm it
    ISSUE = "ISSUE"  # have ticket_service convert the hold
    CAPTURE = "CAPTURE"  # take the authorised money
    FINISH = "FINISH"  # record that the order is paid, and announce it
    CLOSE = "CLOSE"  # record that Stripe cancelled the payment
    LOOK = "LOOK"  # ask Stripe how the payment stands: a webhook may be late or lost
    EXPIRE = "EXPIRE"  # record that the order is overdue
    TAKE_BACK = "TAKE_BACK"  # cancel the tickets of an order that will not be paid
    VOID = "VOID"  # cancel the payment: nothing is, or stays, reserved
    REFUND = "REFUND"  # give back a charge that no order keeps
    FEE = "FEE"  # ask Stripe what it kept of a charge


class Next(NamedTuple):
    """A step, and the payment that it is about, if it is about one."""

    step: Step
    payment: Payment | None = None

    @property
    def can_wait(self) -> bool:
        """Whether Stripe is asked about a payment that has no money, for nobody who waits."""
        payment = self.payment
        if self.step not in (Step.LOOK, Step.VOID) or payment is None:
            return False
        return payment.provider_id is not None and not payment.has_money


def next_step(
    order: Order,
    payments: Sequence[Payment],
    *,
    overdue: bool,
    issued: bool = False,
    looked: Collection[str] = (),
) -> Next:
    """What the order needs now.

    `issued`: its tickets were, a moment ago. `looked`: the payments that Stripe was asked about.
    """
    if order.state is OrderState.PENDING:
        issued = issued or order.fulfilment is Fulfilment.ISSUED
        return _to_pay(order, payments, overdue=overdue, issued=issued, looked=looked)
    was_paid = order.paid_at is not None  # then its tickets are a refund's, or a dispute's
    if order.fulfilment in (Fulfilment.ISSUING, Fulfilment.ISSUED) and not was_paid:
        return Next(Step.TAKE_BACK)
    return _left_over(payments, looked)


def _to_pay(
    order: Order,
    payments: Sequence[Payment],
    *,
    overdue: bool,
    issued: bool,
    looked: Collection[str],
) -> Next:
    paying = taker(payments)
    if paying or order.is_free:
        if not issued:
            return Next(Step.ISSUE, paying)
        is_charged = paying is None or paying.provider_status == CHARGED
        return Next(Step.FINISH if is_charged else Step.CAPTURE, paying)
    waiting = [payment for payment in payments if payment.is_open]
    for payment in waiting:
        if payment.provider_status == VOIDED:
            return Next(Step.CLOSE, payment)
    if overdue:
        return _overdue(waiting, looked)
    for payment in waiting:
        if payment.provider_id is None:
            return Next(Step.PREPARE, payment)
    return Next(Step.NOTHING)


def _overdue(waiting: Sequence[Payment], looked: Collection[str]) -> Next:
    """Stripe is heard before an order is given up, and a bank that is at it is waited for."""
    for payment in waiting:
        if payment.provider_id is not None and payment.id not in looked:
            return Next(Step.LOOK, payment)
    is_under_way = any(payment.provider_status == PROCESSING for payment in waiting)
    return Next(Step.NOTHING if is_under_way else Step.EXPIRE)


def _left_over(payments: Sequence[Payment], looked: Collection[str]) -> Next:
    """What is to be done about payments that the order does not wait for (any more).

    First about those that have somebody's money.
    """
    for payment in sorted(payments, key=lambda each: not each.has_money):
        if not payment.is_open:
            continue
        match payment.provider_status:
            case "canceled":
                return Next(Step.CLOSE, payment)
            case "succeeded":
                return Next(Step.REFUND, payment)
            case "processing":  # Stripe cancels nothing that is under way
                if payment.id not in looked:
                    return Next(Step.LOOK, payment)
            case _:
                return Next(Step.VOID, payment)
    for payment in payments:
        is_unknown = payment.state is PaymentState.SUCCEEDED and not payment.fee_booked
        if is_unknown and payment.id not in looked:
            return Next(Step.FEE, payment)
    return Next(Step.NOTHING)
