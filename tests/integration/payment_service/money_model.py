"""What becomes of orders and their money, in the plainest words: what the service is compared with.

Stripe is here, too: what it did, and of that what payment_service has heard. Amounts are minor
units; what is refused is answered with its reason, what is granted with `OK`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

PRICE, TAX_PERCENT, FEE, FEE_PERCENT = 5000, 20, 150, 2  # the tax comes on top
CANCELLING, CANCELLING_PERCENT = 300, 50  # what customers leave behind
DISCOUNTS = {"": 0, "TENTH": 10, "GUEST": 100}  # vouchers, in percent
USES = 3  # of each voucher
HELD, CHARGED, VOIDED, UNPAID = "requires_capture", "succeeded", "canceled", "unpaid"
TO_AUTHENTICATE = "requires_action"
UNCONFIRMED = "requires_payment_method"  # how Stripe calls what is unpaid
MOST_OPEN = 3  # attempts that no bank has declined
REFUNDED = {"succeeded": "SUCCEEDED", "pending": "PENDING", "failed": "FAILED"}
FORWARDS = {
    "CREATED": {"PENDING", "SUCCEEDED", "FAILED"},
    "PENDING": {"SUCCEEDED", "FAILED"},
    "SUCCEEDED": {"FAILED"},
    "FAILED": set[str](),
}


@dataclass(slots=True, eq=False)
class Attempt:
    """A payment: how it stands at Stripe, and how we know it to."""

    intent: str
    total: int
    at_stripe: str = UNPAID
    heard: str = UNCONFIRMED
    heard_declined: bool = False
    is_over: bool = False  # for us
    takes_time: bool = False  # its refunds do
    given: list["Refund"] = field(default_factory=list)  # at Stripe
    disputed: int = 0
    dispute: str = ""  # at Stripe: open, won or lost
    dispute_heard: str = ""

    @property
    def is_untried(self) -> bool:
        """As far as we know."""
        return not self.is_over and self.heard == UNCONFIRMED and not self.heard_declined

    @property
    def is_charged(self) -> bool:
        return self.at_stripe == CHARGED

    @property
    def taken(self) -> int:
        """For good, by the customer's bank."""
        return self.disputed if self.dispute == "lost" else 0

    @property
    def at_bank(self) -> bool:
        """Whether a dispute keeps Stripe from giving money back."""
        return self.dispute in {"open", "lost"}

    @property
    def lost(self) -> int:
        """To the customer's bank, as far as we know."""
        return self.disputed if self.dispute_heard == "lost" else 0

    @property
    def returned(self) -> int:
        return sum(each.minor for each in self.given if each.at_stripe != "failed")

    @property
    def net(self) -> int:
        """What the customer has paid, all in all."""
        if not self.is_charged:
            return 0
        return self.total - self.returned - (self.disputed if self.at_bank else 0)


@dataclass(slots=True, eq=False)
class Refund:
    """Money on its way back."""

    attempt: Attempt | None
    minor: int
    tickets: set[int] = field(default_factory=set)
    state: str = "CREATED"
    at_stripe: str = ""
    id: str = ""  # Stripe's, if it has it

    @property
    def shown(self) -> tuple[str, int, list[int]]:
        return self.state, self.minor, sorted(self.tickets)


@dataclass(slots=True, eq=False)
class Order:
    """What one customer buys."""

    quantity: int
    voucher: str = ""
    state: str = "PENDING"
    reason: str = ""
    attempts: list[Attempt] = field(default_factory=list)
    kept: Attempt | None = None
    was_paid: bool = False
    refunds: list[Refund] = field(default_factory=list)

    @property
    def ticket_price(self) -> int:
        return PRICE * (100 - DISCOUNTS[self.voucher]) * (100 + TAX_PERCENT) // 100**2

    @property
    def total(self) -> int:
        fees = FEE + self.ticket_price * FEE_PERCENT // 100
        return self.quantity * (self.ticket_price + fees) if self.ticket_price else 0

    @property
    def tickets(self) -> set[int]:
        """The numbers of those that are valid."""
        if self.state != "PAID":
            return set()
        return set(range(1, self.quantity + 1)) - {
            number for refund in self.refunds for number in refund.tickets
        }

    @property
    def is_blocked(self) -> bool:
        """Whether its tickets wait for what the bank decides."""
        return bool(self.tickets and self.kept and self.kept.dispute_heard == "open")

    @property
    def net(self) -> int:
        return sum(attempt.net for attempt in self.attempts)

    def source(self, *, of_tickets: bool) -> Attempt | None:
        """The payment that money goes back from: the kept one first, if it has any left."""
        charged = [each for each in self.attempts if each.is_over and each.is_charged]
        charged.sort(key=lambda each: each is not self.kept)
        left = [each for each in charged if self.left(each) > 0 and not of_tickets]
        return next(iter(left or charged), None)

    def left(self, attempt: Attempt | None) -> int:
        """What neither went back of a payment nor was lost, as far as we know; negative: less."""
        return self.unrefunded(attempt) - attempt.lost if attempt else 0

    def unrefunded(self, attempt: Attempt) -> int:
        gone = [each for each in self.refunds if each.attempt is attempt]
        return attempt.total - sum(each.minor for each in gone if each.state != "FAILED")


def half_up(hundredths: int) -> int:
    return (hundredths + 50) // 100


class Till:
    """All orders, and the uses of the vouchers."""

    def __init__(self) -> None:
        self.orders: list[Order] = []

    def order(self, quantity: int, voucher: str) -> str:
        """A free one is paid at once."""
        used = [each for each in self.orders if each.voucher == voucher]
        if voucher and sum(each.state in {"PENDING", "PAID"} for each in used) >= USES:
            return "VOUCHER_EXHAUSTED"
        order = Order(quantity, voucher)
        self.orders.append(order)
        if not order.total:
            order.state, order.was_paid = "PAID", True
        return "OK"

    def begin(self, order: Order) -> str:
        """Another attempt; the latest again, while nobody has tried it."""
        if order.state != "PENDING":
            return "ORDER_ALREADY_PAID" if order.state == "PAID" else f"ORDER_{order.state}"
        if order.attempts[-1].is_untried:
            return "OK"
        waiting = [each for each in order.attempts if not each.is_over]
        begun = [each for each in waiting if not each.heard_declined]
        return "OK" if len(begun) < MOST_OPEN else "TOO_MANY_OPEN_PAYMENTS"

    def hear(self, order: Order, attempt: Attempt, status: str, *, declined: bool) -> None:
        """A webhook, however late."""
        if attempt.is_over:
            return
        attempt.heard, attempt.heard_declined = status, declined
        if status in {HELD, CHARGED}:
            self._pay(order, attempt)

    def _pay(self, order: Order, attempt: Attempt) -> None:
        attempt.at_stripe, attempt.is_over = CHARGED, True
        order.state, order.kept, order.was_paid = "PAID", attempt, True
        self._let_go(order)

    def _let_go(self, order: Order) -> None:
        """What an order does not wait for is voided, or goes back."""
        for attempt in order.attempts:
            if attempt.is_over:
                continue
            attempt.is_over = True
            if attempt.is_charged:
                self._send(order, Refund(attempt, attempt.total))
            else:
                attempt.at_stripe = VOIDED

    def expire(self, order: Order) -> None:
        """The deadline passes: Stripe is asked what it knows."""
        for attempt in order.attempts:
            if attempt.at_stripe in {HELD, CHARGED}:
                self._pay(order, attempt)
                return
        order.state = "EXPIRED"
        self._let_go(order)

    def cancel(self, order: Order, *, by_customer: bool) -> str:
        if order.state == "EXPIRED":
            return "ORDER_EXPIRED"
        if order.state == "PENDING":
            order.state, order.reason = "CANCELLED", "CANCELLED"
            self._let_go(order)
        elif order.state == "PAID":
            if order.kept and order.kept.dispute_heard in {"open", "lost"}:
                return "ORDER_DISPUTED"
            left = order.left(order.kept)
            fee = CANCELLING + half_up(left * CANCELLING_PERCENT) if by_customer else 0
            self._send(order, Refund(order.kept, max(left - fee, 0), order.tickets))
        return "OK"

    def refund(self, order: Order, minor: int | None, tickets: Iterable[int]) -> str:
        """By amount, by tickets, or all that is left."""
        chosen, valid = set(tickets), order.tickets
        source = order.source(of_tickets=bool(chosen))
        if order.state == "PAID" and not chosen <= valid:
            return "TICKET_NOT_VALID"
        if source is None and not order.was_paid:
            return "ORDER_NOT_PAID"
        left = max(order.left(source), 0)
        if source and (source.dispute_heard == "open" or (source.lost and not left)):
            return "ORDER_DISPUTED"
        if chosen:
            if not chosen <= valid:
                return "TICKET_NOT_VALID"
            minor = min(len(chosen) * order.ticket_price, left)
        elif minor is not None:
            if minor > left:
                return "REFUND_TOO_LARGE"
        else:
            minor, chosen = left, valid
            if not minor and not chosen:
                return "NOTHING_TO_REFUND"
        self._send(order, Refund(source, minor, chosen))
        return "OK"

    def _send(self, order: Order, refund: Refund) -> None:
        order.refunds.append(refund)
        if order.state == "PAID" and not order.tickets:
            order.state, order.reason = "CANCELLED", "CANCELLED"
        self._give_back(order, refund)

    def _give_back(self, order: Order, refund: Refund) -> None:
        """Stripe is asked for the money, and may refuse."""
        attempt = refund.attempt
        if attempt is None or not refund.minor:
            refund.state = "SUCCEEDED"
        elif order.left(attempt) < 0:
            self._fit(order, attempt)
        elif attempt.dispute == "open" or attempt.dispute_heard == "open":
            pass  # it waits for what the bank decides
        elif refund.minor > attempt.total - attempt.returned - attempt.taken:
            if attempt.lost or not attempt.taken:
                self._fit(order, attempt, refund)
        else:
            self.at_stripe(refund)
            refund.state = REFUNDED[refund.at_stripe]

    def _fit(self, order: Order, attempt: Attempt, refused: Refund | None = None) -> None:
        """Some went back already, of which we hear now: what waits shares the rest."""
        of_attempt = [each for each in order.refunds if each.attempt is attempt]
        waiting = [each for each in of_attempt if each.state == "CREATED"]
        for each in waiting:
            each.state = "FAILED"
        for given in attempt.given:
            self.hear_refund(order, given, given.at_stripe)
        left = max(order.left(attempt), 0)
        for each in waiting:
            most = min(left, each.minor)
            if most and not (each is refused and most == each.minor):
                left -= most
                each.minor, each.state = most, "CREATED"
        for each in waiting:
            if each.state == "CREATED":
                self._give_back(order, each)

    # What others do at Stripe.

    def at_stripe(self, refund: Refund) -> None:
        assert refund.attempt, "money goes back from a payment"
        refund.at_stripe = "pending" if refund.attempt.takes_time else "succeeded"
        refund.attempt.given.append(refund)

    def hear_refund(self, order: Order, refund: Refund, status: str) -> bool:
        """A webhook about a refund; whether we take it."""
        state = REFUNDED[status]
        if refund not in order.refunds:
            assert refund.attempt, "what Stripe gives back goes back from a payment"
            if state != "FAILED" and refund.minor > order.unrefunded(refund.attempt):
                return False
            order.refunds.append(refund)
        if state in FORWARDS[refund.state]:
            refund.state = state
        return True

    def hear_dispute(self, order: Order, attempt: Attempt, status: str) -> None:
        verdict = status if status in {"won", "lost"} else "open"
        if attempt.dispute_heard in {"won", "lost", verdict}:
            return
        attempt.dispute_heard = verdict
        if verdict == "open":
            return
        if verdict == "lost" and order.state == "PAID":
            order.state, order.reason = "CANCELLED", "DISPUTE_LOST"
        for refund in order.refunds:
            if refund.attempt is attempt and refund.state == "CREATED":
                self._give_back(order, refund)
