"""What an order is, and how it may change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kit import rates
from kit.errors import FailedPrecondition, NotFound


class OrderNotFound(NotFound):
    """There is no such order."""


class HoldGone(FailedPrecondition):
    """The hold has expired or was released; hold the tickets again."""


class HoldAlreadyOrdered(FailedPrecondition):
    """Another order was made with this hold."""


class OrderAlreadyPaid(FailedPrecondition):
    """The order is paid."""


class OrderExpired(FailedPrecondition):
    """The order was not paid in time."""


class OrderCancelled(FailedPrecondition):
    """The order was cancelled."""


class OrderNotCancellable(FailedPrecondition):
    """The order is paid, and its event's terms do not let it be cancelled (any more)."""


class OrderNotPaid(FailedPrecondition):
    """The order has no tickets until it is paid."""


class NoTicketsLeft(FailedPrecondition):
    """The order's tickets were all cancelled, or given to somebody else."""


class PaymentInProgress(FailedPrecondition):
    """The payment is going through right now; look again in a moment."""


class ForbiddenTransition(Exception):
    """An order or payment was about to make a move that its table does not have."""


class OrderState(StrEnum):
    """Where an order is in its life."""

    PENDING = "PENDING"
    PAID = "PAID"
    EXPIRED = "EXPIRED"
    CANCELLED = "CANCELLED"


TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    OrderState.PENDING: frozenset({OrderState.PAID, OrderState.EXPIRED, OrderState.CANCELLED}),
    OrderState.PAID: frozenset({OrderState.CANCELLED}),
    OrderState.EXPIRED: frozenset(),
    OrderState.CANCELLED: frozenset(),
}


class Fulfilment(StrEnum):
    """How far ticket_service has come with the order's tickets.

    ISSUING is stored before ticket_service is asked, so that a crash cannot hide tickets.
    """

    NONE = "NONE"
    ISSUING = "ISSUING"
    ISSUED = "ISSUED"
    TAKEN_BACK = "TAKEN_BACK"


@dataclass(frozen=True, slots=True)
class Customer:
    """Who buys."""

    email: str
    full_name: str
    phone_number: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Some tickets of one type, in minor units.

    The unit price is as listed; the amount is what is paid for all of them: less the discount, and
    with the tax, at a rate in millionths.
    """

    ticket_type_id: str
    ticket_type_name: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    tax_minor: int = 0
    discount_minor: int = 0
    tax_ppm: int = 0
    tax_included: bool = True


@dataclass(frozen=True, slots=True)
class Order:
    """What one customer buys with one hold. The lines and the booking fee add up to the total."""

    id: str
    code: str
    state: OrderState
    event_id: str
    organizer_id: str
    hold_id: str
    currency_code: str
    total_minor: int
    customer: Customer
    lines: tuple[OrderLine, ...]
    fulfilment: Fulfilment
    cancel_reason: str
    expires_at: datetime
    created_at: datetime
    paid_at: datetime | None
    fingerprint: bytes
    idempotency_key: str | None
    booking_fee_minor: int = 0
    booking_fee_tax_ppm: int = 0
    booking_fee_tax_minor: int = 0
    discount_minor: int = 0
    voucher_id: str | None = None
    voucher_code: str = ""
    payment_id: str | None = None  # the payment that it keeps, once it is paid
    notify_on_expiry: bool = False
    cancellable_until: datetime | None = None  # None: never, by the customer, once it is paid
    cancellation_fee_minor: int = 0
    cancellation_fee_ppm: int = 0
    refunded_minor: int = 0  # of that payment; to be shown, as of when the order was read

    def may_keep(self, payment_id: str) -> bool:
        """Whether the order keeps a payment, or may still: then its money is the order's."""
        if self.payment_id is None:
            return self.state is OrderState.PENDING
        return self.payment_id == payment_id

    @property
    def is_called_off(self) -> bool:
        """Whether its event was cancelled, and it with it."""
        return self.cancel_reason == "EVENT_CANCELLED"

    @property
    def is_free(self) -> bool:
        return self.total_minor == 0


def check_move(order: Order, state: OrderState) -> None:
    """Raise ForbiddenTransition for a move that the table does not have."""
    if state not in TRANSITIONS[order.state]:
        raise ForbiddenTransition(f"order {order.id}: {order.state} → {state}")


def check_payable(order: Order, *, overdue: bool) -> None:
    """Raise unless an order waits for its payment.

    Raises:
        OrderAlreadyPaid, OrderCancelled, OrderExpired: it does not, and why.
    """
    if order.state is OrderState.PAID:
        raise OrderAlreadyPaid
    if order.state is OrderState.CANCELLED:
        raise OrderCancelled(metadata={"cancel_reason": order.cancel_reason})
    if order.state is OrderState.EXPIRED or overdue:
        raise OrderExpired


def cancellation_fee(order: Order) -> int:
    """What is kept when the customer cancels a paid order: at most all that is left of it."""
    left = order.total_minor - order.refunded_minor
    fee = order.cancellation_fee_minor + rates.part(left, order.cancellation_fee_ppm)
    return min(fee, left)
