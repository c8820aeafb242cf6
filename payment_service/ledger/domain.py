"""Double entry: every transaction moves money between accounts, and sums to zero.

Assets and expenses grow with positive amounts; income and what is owed grow with negative ones. All
amounts are minor units of the transaction's one currency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition


class TooManyEntries(FailedPrecondition):
    """There are more entries than one file holds; choose a shorter period."""


class Account(StrEnum):
    """Where money is, or why it moved."""

    PROVIDER = "PROVIDER"  # at the payment provider
    TICKET_REVENUE = "TICKET_REVENUE"  # without tax, by ticket type
    BOOKING_FEES = "BOOKING_FEES"  # without tax
    TAX = "TAX"  # by ticket type; a booking fee's has none
    CANCELLATION_FEES = "CANCELLATION_FEES"
    PROVIDER_FEES = "PROVIDER_FEES"
    DISPUTED = "DISPUTED"  # withdrawn by banks that have not decided yet
    DISPUTE_LOSSES = "DISPUTE_LOSSES"
    UNALLOCATED = "UNALLOCATED"  # charged for no order, and owed to the customer
    GOODWILL = "GOODWILL"  # given back by amount, for no particular ticket


class Kind(StrEnum):
    """Why money moved."""

    CHARGE = "CHARGE"
    PROVIDER_FEE = "PROVIDER_FEE"
    REFUND = "REFUND"
    REFUND_FAILED = "REFUND_FAILED"
    DISPUTE_OPENED = "DISPUTE_OPENED"
    DISPUTE_WON = "DISPUTE_WON"
    DISPUTE_LOST = "DISPUTE_LOST"
    CORRECTION = "CORRECTION"


class Unbalanced(Exception):
    """Somebody is about to book what does not sum to zero: a mistake of ours."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: an account, the ticket type it is about (or none), and a signed amount."""

    account: Account
    amount_minor: int
    ticket_type_id: str = ""


@dataclass(frozen=True, slots=True)
class Transaction:
    """What is booked at once. `source` names it, such as `charge:pay_…`: it is booked once.

    `booked_at` is for what happened before there was a ledger; everything else is booked now.
    """

    kind: Kind
    source: str
    organizer_id: str
    event_id: str
    order_id: str
    currency_code: str
    entries: tuple[Entry, ...]
    voucher_id: str | None = None
    description: str = ""
    booked_at: datetime | None = None

    def __post_init__(self) -> None:
        if sum(entry.amount_minor for entry in self.entries):
            raise Unbalanced(self.source)


@dataclass(frozen=True, slots=True)
class Question:
    """Which entries are asked for: empty and None admit all. `booked_before` is exclusive."""

    organizer_id: str = ""
    event_id: str = ""
    order_id: str = ""
    booked_from: datetime | None = None
    booked_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookedEntry:
    """An entry as it stands in the books."""

    transaction_id: str
    position: int
    kind: Kind
    entry: Entry
    currency_code: str
    event_id: str
    order_id: str
    booked_at: datetime
    description: str


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has at the end of a period, and what moved in it."""

    currency_code: str
    account: Account
    balance_minor: int
    movement_minor: int


def against_provider(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries without empty ones, and what they move at the provider.

    Takings (negative: income, tax) come in at the provider; what is given back goes out there.
    """
    moved = [entry for entry in entries if entry.amount_minor]
    at_provider = -sum(entry.amount_minor for entry in moved)
    return (Entry(Account.PROVIDER, at_provider), *moved) if at_provider else tuple(moved)


def reversed_entries(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """What takes the entries back."""
    return tuple(
        Entry(entry.account, -entry.amount_minor, entry.ticket_type_id) for entry in entries
    )
