"""What a reconciliation compares, what it finds, and when it is due.

Stripe is right about what it charged, gave back and withdrew. What we merely missed is put right by
the same functions that hear webhooks; where somebody must decide, it is reported.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from kit.errors import FailedPrecondition, InvalidArgument, NotFound
from kit.money import Money
from payment_service.disputes.domain import Dispute, DisputeReport
from payment_service.disputes.domain import observe as observe_dispute
from payment_service.disputes.domain import state_of as dispute_state
from payment_service.orders.domain import Order, OrderState
from payment_service.payments import domain as payments
from payment_service.payments.domain import Intent, Payment, PaymentState
from payment_service.refunds.domain import Refund, RefundOrigin, RefundReport, RefundState
from payment_service.refunds.domain import observe as observe_refund

NIGHTLY_AT = time(3, tzinfo=UTC)
USUAL_PERIOD = timedelta(days=3)  # as long as Stripe repeats a webhook
LONGEST_PERIOD = timedelta(days=92)
LONGEST_RUN = timedelta(hours=12)


class ReconciliationNotFound(NotFound):
    """There is no such reconciliation."""


class ReconciliationRunning(FailedPrecondition):
    """Another one is running; look again when it has finished."""


class InvalidPeriod(InvalidArgument):
    """A period must begin before it ends, end before now, and be at most 92 days long."""


class ReconciliationState(StrEnum):
    """Where a reconciliation is in its life."""

    RUNNING = "RUNNING"
    FINISHED = "FINISHED"


class FindingKind(StrEnum):
    """How Stripe and we differ. The first ones are put right; the others are for a person."""

    MISSED_WEBHOOK = "MISSED_WEBHOOK"  # a payment, refund or dispute is further than we knew
    DASHBOARD_REFUND = "DASHBOARD_REFUND"  # made there, and recorded now
    MISSED_DISPUTE = "MISSED_DISPUTE"
    MISSING_CHARGE = "MISSING_CHARGE"  # the ledger lacked a payment
    MISSING_FEE = "MISSING_FEE"
    MISSING_REFUND = "MISSING_REFUND"  # the ledger lacked a refund, or its failure

    UNKNOWN_CHARGE = "UNKNOWN_CHARGE"  # for no payment of ours
    CLOSED_PAYMENT = "CLOSED_PAYMENT"  # charged, although we had given it up
    UNKNOWN_REFUND = "UNKNOWN_REFUND"
    UNKNOWN_DISPUTE = "UNKNOWN_DISPUTE"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    PAID_WITHOUT_CHARGE = "PAID_WITHOUT_CHARGE"
    OWED_TO_CUSTOMER = "OWED_TO_CUSTOMER"  # it was to go back, and its refund failed
    BALANCE_MISMATCH = "BALANCE_MISMATCH"  # of the ledger and Stripe, in one currency
    REFUSED = "REFUSED"  # what was missed contradicts what we have
    INCOMPLETE = "INCOMPLETE"  # it took too long, and was given up


# What may only be on its way yet, when we look.
PASSING = frozenset(
    {FindingKind.MISSED_WEBHOOK, FindingKind.DASHBOARD_REFUND, FindingKind.MISSED_DISPUTE}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference: what it is about by its id, and a sentence for people."""

    kind: FindingKind
    subject: str
    detail: str
    is_healed: bool = False


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison of a period."""

    id: str
    state: ReconciliationState
    period_start: datetime
    period_end: datetime
    examined: int
    healed: int
    reported: int
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListedPayment:
    """A PaymentIntent as Stripe lists it, with what it brought."""

    intent: Intent
    currency_code: str
    received_minor: int


@dataclass(frozen=True, slots=True)
class ChargeReport:
    """A charge, in the currency that the customer paid in."""

    payment_provider_id: str  # the PaymentIntent's
    currency_code: str
    succeeded: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """A balance transaction: what Stripe put on our balance, or took off it, and because of what.

    It is in the currency that Stripe pays out in, which may not be the customer's. `about` is None
    for what is no customer's doing, such as a payout: that is not in our books.
    """

    provider_id: str
    currency_code: str
    amount_minor: int
    fee_minor: int
    about: ChargeReport | RefundReport | DisputeReport | None


def check_period(start: datetime, end: datetime, now: datetime) -> None:
    """Raise InvalidPeriod for what cannot be compared."""
    if not start < end <= now or end - start > LONGEST_PERIOD:
        raise InvalidPeriod.of("period_start")


def nightly_period(now: datetime, compared_until: datetime | None) -> tuple[datetime, datetime]:
    """The period that is compared in the night before `now`; its end names the night and its part.

    Usually that of the last days; after a pause also what nobody has compared since. What is longer
    than a period may be is compared in parts, the oldest first: each goes on from the one before.
    """
    end = datetime.combine(now.astimezone(UTC).date(), NIGHTLY_AT)
    if end > now:
        end -= timedelta(days=1)
    usual = end - USUAL_PERIOD
    start = usual if compared_until is None else min(usual, compared_until)
    parts_to_come = -((start - end) // LONGEST_PERIOD) - 1
    return start, end - parts_to_come * LONGEST_PERIOD


def compare_payment(listed: ListedPayment, known: Payment | None) -> FindingKind | None:
    """How a PaymentIntent differs from what we know of it."""
    is_charged = listed.intent.status == payments.CHARGED
    if known is None or known.provider_id not in (None, listed.intent.provider_id):
        return FindingKind.UNKNOWN_CHARGE if is_charged else None
    due = (known.currency_code, known.amount_minor)
    if is_charged and (listed.currency_code, listed.received_minor) != due:
        return FindingKind.AMOUNT_MISMATCH
    if known.is_open:
        is_news = payments.hear(known, listed.intent) != known
        return FindingKind.MISSED_WEBHOOK if is_news else None
    if is_charged and known.state is not PaymentState.SUCCEEDED:
        return FindingKind.CLOSED_PAYMENT
    return None


def compare_refund(report: RefundReport, known: Refund | None) -> FindingKind | None:
    """How a refund of a payment of ours differs from what we know of it."""
    if known is None:
        return FindingKind.DASHBOARD_REFUND
    is_same = (report.currency_code, report.amount_minor) == (
        known.currency_code,
        known.amount_minor,
    )
    if not is_same and known.state is not RefundState.CREATED:  # till then, Stripe's word counts
        return FindingKind.AMOUNT_MISMATCH
    is_news = observe_refund(known, report.status) is not known.state
    return FindingKind.MISSED_WEBHOOK if is_news else None


def compare_dispute(report: DisputeReport, known: Dispute | None) -> FindingKind | None:
    """How a dispute about a payment of ours differs from what we know of it."""
    state = dispute_state(report)
    if state is None:
        return None
    if known is None:
        return FindingKind.MISSED_DISPUTE
    return FindingKind.MISSED_WEBHOOK if observe_dispute(known, state) is not known.state else None


def owed(order: Order, payment_id: str, left_minor: int, refunds: Sequence[Refund]) -> int:
    """What of a charged payment was to go back to the customer, and did not, in minor units.

    Of the payment that an order keeps, this is what refunds with tickets failed to give back, and
    others did not since; of a cancelled one, also what was to go back besides by then. Goodwill
    is not owed, nor is a fee; and while a refund is under way, nothing is. `refunds` are the
    order's, oldest first.
    """
    of_it = [each for each in refunds if each.payment_id == payment_id]
    if any(each.state in UNDER_WAY for each in of_it):
        return 0
    if not order.may_keep(payment_id):
        return left_minor
    debt, is_settling_up = 0, False
    for each in of_it:
        has_tickets, is_failed = bool(each.ticket_numbers), each.state is RefundState.FAILED
        is_settling_up |= has_tickets and order.state is OrderState.CANCELLED
        if has_tickets:
            debt += each.amount_minor if is_failed else 0
        elif not is_failed:
            debt = max(debt - each.amount_minor, 0)
        elif is_settling_up and each.origin is not RefundOrigin.PROVIDER:
            debt = max(debt, each.amount_minor)
    return min(left_minor, debt)


UNDER_WAY = frozenset({RefundState.CREATED, RefundState.PENDING})


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one movement brought at Stripe, and what in the ledger."""

    provider_id: str
    at_stripe_minor: int
    in_ledger_minor: int

    @property
    def differs(self) -> bool:
        return self.at_stripe_minor != self.in_ledger_minor


@dataclass(frozen=True, slots=True)
class Expected:
    """A movement, and the sources that the ledger has it under; none if it is not known to us."""

    movement: Movement
    key: str | None  # our id of the payment, refund or dispute that it is about
    amount_source: str = ""
    fee_source: str = ""

    @property
    def is_converted(self) -> bool:
        """Whether it is paid out in another currency: then only the fee can be compared."""
        about = self.movement.about
        return about is not None and about.currency_code != self.movement.currency_code

    def compared(self, booked: Mapping[str, tuple[str, int]]) -> Comparison:
        """This movement at Stripe and in the ledger, of which `booked` has some sources."""
        code, amount = self.movement.currency_code, self.movement.amount_minor
        at_stripe = -self.movement.fee_minor + (0 if self.is_converted else amount)
        sources = (self.fee_source,) if self.is_converted else (self.amount_source, self.fee_source)
        parts = [booked[source] for source in sources if source in booked]
        in_ledger = sum(minor for currency_code, minor in parts if currency_code == code)
        return Comparison(self.movement.provider_id, at_stripe, in_ledger)


def expected(movement: Movement, key: str | None) -> Expected:
    """Where the ledger has a movement, if we know what it is about by this id."""
    if key is None:
        return Expected(movement, key)
    is_out = movement.amount_minor < 0
    match movement.about:
        case ChargeReport():
            names = ("charge", "fee")
        case RefundReport():
            names = ("refund" if is_out else "refund_failed", "")
        case DisputeReport() if is_out:
            names = ("dispute_opened", "dispute_fee")
        case _:
            names = ("dispute_won", "dispute_fee_returned")
    amount, fee = (f"{name}:{key}" if name else "" for name in names)
    return Expected(movement, key, amount, fee)


@dataclass(slots=True)
class Totals:
    """What Stripe's balance transactions and the ledger's entries about them sum up to."""

    at_stripe: Counter[str] = field(default_factory=Counter)
    in_ledger: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, currency_code: str, compared: Comparison) -> None:
        self.at_stripe[currency_code] += compared.at_stripe_minor
        self.in_ledger[currency_code] += compared.in_ledger_minor
        if compared.differs:
            named = self.examples.setdefault(currency_code, [])
            if len(named) < MAX_EXAMPLES:
                named.append(compared.provider_id)

    def findings(self) -> Iterable[Finding]:
        """The currencies in which something differs: two differences may cancel each other out."""
        for code in sorted(self.examples):
            stripe, ledger = Money(code, self.at_stripe[code]), Money(code, self.in_ledger[code])
            detail = (
                f"Stripe moved {stripe} in the period, and the ledger has {ledger} of it. "
                f"See {', '.join(self.examples[code])}."
            )
            yield Finding(FindingKind.BALANCE_MISMATCH, code, detail)


MAX_EXAMPLES = 5
