"""What a refund is, what it takes back, and what is to be done for it next.

The tickets go first, the money follows: nobody keeps a ticket that was paid back. What a refund
takes back of each account is decided, and reserved of the payment, before Stripe is asked.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from kit.money import InvalidAmount
from payment_service.ledger.domain import Account, Entry
from payment_service.orders.domain import ForbiddenTransition
from payment_service.pricing.domain import TicketShare, step_of


class RefundNotFound(NotFound):
    """There is no such refund."""


class NothingToRefund(FailedPrecondition):
    """Nothing is left to give back, and no ticket to cancel."""


class RefundTooLarge(FailedPrecondition):
    """This is more than can be given back."""


class TicketNotFound(NotFound):
    """The order has no such ticket."""


class TicketNotValid(FailedPrecondition):
    """The ticket was cancelled, or somebody else has it now."""


class TicketAdmitted(FailedPrecondition):
    """The ticket was used to enter."""


class OrderDisputed(FailedPrecondition):
    """The customer's bank has the money: the dispute decides."""


class CurrencyMismatch(InvalidArgument):
    """The amount must be in the order's currency."""


class RefundedElsewhere(Aborted):
    """Stripe gave back more than we know to be left: one of our refunds will be refused first."""


class RefundState(StrEnum):
    """Where a refund is in its life."""

    CREATED = "CREATED"
    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


# A bank may send back what went through: https://docs.stripe.com/refunds#failed-refunds
TRANSITIONS: Mapping[RefundState, frozenset[RefundState]] = {
    RefundState.CREATED: frozenset(
        {RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED}
    ),
    RefundState.PENDING: frozenset({RefundState.SUCCEEDED, RefundState.FAILED}),
    RefundState.SUCCEEDED: frozenset({RefundState.FAILED}),
    RefundState.FAILED: frozenset(),
}


class RefundOrigin(StrEnum):
    """Who wanted it."""

    ADMIN = "ADMIN"
    CUSTOMER = "CUSTOMER"
    EVENT_CANCELLED = "EVENT_CANCELLED"
    AUTOMATIC = "AUTOMATIC"  # a charge that no order keeps
    PROVIDER = "PROVIDER"  # made in Stripe's dashboard


class Share(NamedTuple):
    """What is taken back of one account, for one ticket type or none; negative: put on it."""

    account: str
    ticket_type_id: str
    minor: int


Allocation = tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Refund:
    """Some of a payment on its way back, and the tickets that are cancelled for it."""

    id: str
    order_id: str
    payment_id: str | None  # None: the order was free
    event_id: str
    state: RefundState
    origin: RefundOrigin
    currency_code: str
    amount_minor: int
    allocation: Allocation = ()
    ticket_numbers: tuple[int, ...] = ()
    keep_off_sale: bool = False
    tickets_cancelled: bool = True
    include_admitted: bool = False  # tickets that were used before they are cancelled
    reason: str = ""
    failure_reason: str = ""
    operation_id: str | None = None
    provider_id: str | None = None
    key_number: int = 1
    attempts: int = 0  # how often it was taken up since it was opened or last got on
    created_at: datetime | None = None

    @property
    def idempotency_key(self) -> str:
        """Names this attempt to Stripe."""
        return f"{self.id}-{self.key_number}"

    @property
    def may_be_known(self) -> bool:
        """Whether an earlier attempt may have had its effect, whatever was heard of it."""
        return self.attempts > 1 or self.key_number > 1


@dataclass(frozen=True, slots=True)
class RefundReport:
    """What Stripe says of a refund. Ours carry our id in their metadata."""

    provider_id: str
    refund_id: str
    payment_provider_id: str  # the PaymentIntent's
    status: str
    currency_code: str
    amount_minor: int
    failure_reason: str = ""


class Step(StrEnum):
    """What is to be done for a refund next."""

    NOTHING = "NOTHING"
    CANCEL_TICKETS = "CANCEL_TICKETS"
    PAY = "PAY"  # ask Stripe to give the money back
    FINISH = "FINISH"  # there is no money in it
    LOOK = "LOOK"  # ask Stripe how it stands: a webhook may be lost


def next_step(refund: Refund) -> Step:
    """What the refund needs now."""
    if refund.state is RefundState.PENDING:
        return Step.LOOK
    if refund.state is not RefundState.CREATED:
        return Step.NOTHING
    if not refund.tickets_cancelled:
        return Step.CANCEL_TICKETS
    return Step.PAY if refund.amount_minor else Step.FINISH


# https://docs.stripe.com/api/refunds/object#refund_object-status; "requires_action" waits for the
# customer, and a "canceled" one is over with the money still here.
_STATES: Mapping[str, RefundState] = {
    "pending": RefundState.PENDING,
    "requires_action": RefundState.PENDING,
    "succeeded": RefundState.SUCCEEDED,
    "failed": RefundState.FAILED,
    "canceled": RefundState.FAILED,
}


def observe(refund: Refund, status: str) -> RefundState:
    """The refund's state after a report of `status`, however late it comes: only ever forwards."""
    state = _STATES.get(status, RefundState.PENDING)
    return state if state in TRANSITIONS[refund.state] else refund.state


def is_about(report: RefundReport, refund: Refund) -> bool:
    """Whether it is this refund of ours that Stripe made.

    Not one that had failed by then without it: nothing is reserved for that any more.
    """
    if refund.provider_id is None:
        return refund.id == report.refund_id and refund.state is not RefundState.FAILED
    return refund.provider_id == report.provider_id


def move(refund: Refund, state: RefundState) -> RefundState:
    """The state, if the refund may take it."""
    if state not in TRANSITIONS[refund.state]:
        raise ForbiddenTransition(f"refund {refund.id}: {refund.state} → {state}")
    return state


Position = Mapping[tuple[str, str], int]  # minor units by account and ticket type


def position(
    charged: Iterable[Entry], refunds: Iterable[Refund], lost_minor: int = 0
) -> dict[tuple[str, str], int]:
    """How an order's accounts stand after its charge and the refunds that have not failed.

    Takings are negative. Their sum is what is left to give back, with the opposite sign: not what
    was lost in disputes.
    """
    stand: dict[tuple[str, str], int] = {}
    for entry in charged:
        if entry.account is not Account.PROVIDER:
            key = (str(entry.account), entry.ticket_type_id)
            stand[key] = stand.get(key, 0) + entry.amount_minor
    for refund in refunds:
        if refund.state is not RefundState.FAILED:
            for account, ticket_type_id, minor in refund.allocation:
                key = (account, ticket_type_id)
                stand[key] = stand.get(key, 0) + minor
    losses = (str(Account.DISPUTE_LOSSES), "")
    if lost_minor:
        stand[losses] = stand.get(losses, 0) + lost_minor
    return stand


def owed(minor: int) -> Position:
    """How the accounts stand after a charge that no order keeps, of which this is left."""
    return {(str(Account.UNALLOCATED), ""): -minor}


def everything(stand: Position, *, keep_booking_fee: bool = False) -> Allocation:
    """What takes everything back that is left, goodwill and kept fees included."""
    fee = {(str(Account.BOOKING_FEES), ""), (str(Account.TAX), "")}
    kept = fee if keep_booking_fee else frozenset()
    return tuple(Share(*key, -minor) for key, minor in stand.items() if minor and key not in kept)


def of_tickets(tickets: Iterable[TicketShare]) -> Allocation:
    """What takes tickets back: their revenue and tax, by ticket type."""
    taken: dict[tuple[str, str], int] = {}
    for ticket in tickets:
        revenue = (str(Account.TICKET_REVENUE), ticket.ticket_type_id)
        tax = (str(Account.TAX), ticket.ticket_type_id)
        taken[revenue] = taken.get(revenue, 0) + ticket.amount_minor - ticket.tax_minor
        taken[tax] = taken.get(tax, 0) + ticket.tax_minor
    return tuple(Share(*key, minor) for key, minor in taken.items() if minor)


def goodwill(minor: int) -> Allocation:
    """An amount that is given back for no particular ticket; negative: that was so before."""
    return (Share(str(Account.GOODWILL), "", minor),) if minor else ()


def unallocated(minor: int) -> Allocation:
    """A charge that no order keeps."""
    return (Share(str(Account.UNALLOCATED), "", minor),)


def total(allocation: Iterable[Share]) -> int:
    """What goes back to the customer."""
    return sum(share.minor for share in allocation)


def payable(currency_code: str, minor: int) -> int:
    """The most that can be paid back of an amount: some currencies go in steps."""
    return minor - minor % step_of(currency_code)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a refund gives back, of which accounts, and the tickets that it cancels."""

    amount_minor: int
    allocation: Allocation
    ticket_numbers: tuple[int, ...] = ()


def plan_all(
    currency_code: str,
    stand: Position,
    valid: Collection[int],
    *,
    keep_booking_fee: bool = False,
    fee_minor: int = 0,
) -> Plan:
    """Everything that is left goes back, with all valid tickets, less a fee.

    Raises:
        NothingToRefund: it would change nothing.
    """
    taken = everything(stand, keep_booking_fee=keep_booking_fee)
    if total(taken) < 0:  # more goodwill was shown than is left without the booking fee
        taken += goodwill(-total(taken))
    if not total(taken) and not valid:
        raise NothingToRefund
    amount = payable(currency_code, max(total(taken) - fee_minor, 0))
    return Plan(amount, _keeping(taken, amount), tuple(sorted(valid)))


def plan_amount(currency_code: str, stand: Position, minor: int) -> Plan:
    """An amount goes back, and the tickets stay valid.

    Raises:
        NothingToRefund, RefundTooLarge: it is none, or more than is left.
        InvalidAmount: it cannot be paid back in this currency.
    """
    if not minor:
        raise NothingToRefund
    _check_amount(currency_code, minor, _left(stand))
    is_owed = stand.keys() == owed(0).keys()
    return Plan(minor, unallocated(minor) if is_owed else goodwill(minor))


def plan_tickets(
    currency_code: str, stand: Position, tickets: Sequence[TicketShare], minor: int | None
) -> Plan:
    """Tickets are taken back for what they cost, or for an amount below it.

    Where less is left than they cost, some of it went back as goodwill before.

    Raises:
        RefundTooLarge: the amount is more than they cost, or than is left.
        InvalidAmount: it cannot be paid back in this currency.
    """
    taken = of_tickets(tickets)
    before = max(total(taken) - _left(stand), 0)
    taken += goodwill(-before)
    if minor is None:
        minor = payable(currency_code, total(taken))
    _check_amount(currency_code, minor, total(taken))
    return Plan(minor, _keeping(taken, minor), tuple(sorted(ticket.number for ticket in tickets)))


def _left(stand: Position) -> int:
    return -sum(stand.values())


def _keeping(taken: Allocation, minor: int) -> Allocation:
    """The same, but for what exceeds an amount: that is kept as a fee for the cancellation."""
    kept = total(taken) - minor
    return (*taken, Share(str(Account.CANCELLATION_FEES), "", -kept)) if kept else taken


def _check_amount(currency_code: str, minor: int, most: int) -> None:
    if minor > most:
        raise RefundTooLarge
    if payable(currency_code, minor) != minor:
        raise InvalidAmount.of("amount.amount", f"{currency_code} is paid back in rounder amounts")


def resized(refund: Refund, minor: int, lost_minor: int = 0) -> Refund:
    """The same refund of another amount, since the rest went back elsewhere, and is booked so.

    `lost_minor`: what of that the customer has from their bank.
    """
    lost = min(lost_minor, max(refund.amount_minor - minor, 0))
    account = str(Account.GOODWILL)
    if all(share.account == Account.UNALLOCATED for share in refund.allocation):
        account, lost = str(Account.UNALLOCATED), 0
    elsewhere = Share(account, "", minor - refund.amount_minor + lost)
    losses = Share(str(Account.DISPUTE_LOSSES), "", -lost)
    allocation = _merged((*refund.allocation, elsewhere, losses))
    return replace(refund, amount_minor=minor, allocation=allocation)


def regained(refunds: Iterable[Refund]) -> int:
    """What of a loss to the bank is none, since refunds took back what was charged for it."""
    counting = (refund for refund in refunds if refund.state is not RefundState.FAILED)
    return -sum(_below_zero(each.allocation, Account.DISPUTE_LOSSES) for each in counting)


def sparing(refund: Refund, used: Sequence[TicketShare]) -> Refund:
    """The same refund without tickets that were used, which costs it their price.

    What it keeps as a fee stays kept as far as there is something to keep it of; where it offsets
    a loss or goodwill that is more than what is left, the rest of that stays shown.
    """
    numbers = {ticket.number for ticket in used}
    assert numbers <= set(refund.ticket_numbers), "only what would go back can be spared"
    rest = refund.allocation + tuple(
        share._replace(minor=-share.minor) for share in of_tickets(used)
    )
    short = max(-total(rest), 0)
    fee = min(short, -_below_zero(refund.allocation, Account.CANCELLATION_FEES))
    lost = min(short - fee, -_below_zero(refund.allocation, Account.DISPUTE_LOSSES))
    shown = short - fee - lost
    assert shown <= -_below_zero(refund.allocation, Account.GOODWILL), "it has their price"
    rest += (
        Share(str(Account.CANCELLATION_FEES), "", fee),
        Share(str(Account.DISPUTE_LOSSES), "", lost),
        *goodwill(shown),
    )
    minor = payable(refund.currency_code, total(rest))
    return replace(
        refund,
        amount_minor=minor,
        allocation=_merged(_keeping(rest, minor)),
        ticket_numbers=tuple(each for each in refund.ticket_numbers if each not in numbers),
    )


def _below_zero(allocation: Allocation, account: Account) -> int:
    return sum(min(share.minor, 0) for share in allocation if share.account == account)


def _merged(allocation: Allocation) -> Allocation:
    """The same in one share of each account and ticket type."""
    merged: dict[tuple[str, str], int] = {}
    for account, ticket_type_id, minor in allocation:
        merged[account, ticket_type_id] = merged.get((account, ticket_type_id), 0) + minor
    return tuple(Share(*key, minor) for key, minor in merged.items() if minor)


def check_valid(numbers: Collection[int], valid: Collection[int]) -> None:
    """Raise TicketNotValid for a ticket that was taken back before."""
    if not set(numbers) <= set(valid):
        raise TicketNotValid


def cancelled_numbers(refunds: Iterable[Refund]) -> set[int]:
    """The tickets that refunds cancel. They stay so if the money does not get through."""
    return {number for refund in refunds for number in refund.ticket_numbers}
