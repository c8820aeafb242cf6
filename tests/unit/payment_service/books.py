"""Random books: whatever may happen to orders, as the postings write it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from payment_service.insights.domain import Books, Moved
from payment_service.ledger import postings
from payment_service.ledger.domain import Account, Entry, Kind, Transaction
from payment_service.orders.domain import Order, OrderLine
from tests.unit.payment_service.build import order, payment

FIRST_DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINOR = st.integers(0, 100_000)


@dataclass(frozen=True, slots=True)
class Booked:
    """A transaction, and the day on which it was booked."""

    transaction: Transaction
    day: str


@st.composite
def _orders(draw: st.DrawFn, number: int) -> Order:
    def taxed() -> tuple[int, int]:
        tax = draw(MINOR)
        return tax + draw(MINOR), tax

    kinds = draw(st.lists(st.sampled_from(["tt_0", "tt_1", "tt_2"]), min_size=1, unique=True))
    lines = []
    for kind in kinds:
        amount, tax = taxed()
        lines.append(OrderLine(kind, kind.title(), draw(st.integers(1, 3)), 0, amount, tax))
    fee, fee_tax = taxed()
    return order(
        id=f"ord_{number}",
        lines=tuple(lines),
        booking_fee_minor=fee,
        booking_fee_tax_minor=fee_tax,
        total_minor=sum(line.amount_minor for line in lines) + fee,
        voucher_id=draw(st.sampled_from([None, "vou_0", "vou_1"])),
    )


def _fates(sold: Order, number: int) -> st.SearchStrategy[list[Transaction]]:
    """What may happen to an order's money: charged, and then perhaps more."""
    about = f"x_{number}"
    charge = postings.charge_of_order(sold, f"pay_{number}")
    second = payment(id=f"pay_{number}_2", amount_minor=max(sold.total_minor, 1))
    stray = postings.charge_of_nobody(sold, second)
    everything = [
        (str(entry.account), entry.ticket_type_id, -entry.amount_minor)
        for entry in charge.entries[1:]
    ]
    fee = min(sold.total_minor, 500)
    part = (("GOODWILL", "", sold.total_minor // 3),)
    lives = [
        [],
        [postings.refund(sold, about, everything)],
        [postings.refund(sold, about, (*everything, ("CANCELLATION_FEES", "", -fee)))],
        [postings.refund(sold, about, part), postings.refund_failed(sold, about, part)],
        [postings.refund(sold, about, part)],
        [postings.dispute_opened(sold, about, sold.total_minor)],
        [
            postings.dispute_opened(sold, about, sold.total_minor),
            postings.dispute_fee(sold, about, 1_500),
            postings.dispute_won(sold, about, sold.total_minor),
            postings.dispute_fee_returned(sold, about, 1_500),
        ],
        [
            postings.dispute_opened(sold, about, sold.total_minor),
            postings.dispute_lost(sold, about, sold.total_minor),
        ],
        [stray],
        [
            stray,
            postings.refund(sold, about, (("UNALLOCATED", "", second.amount_minor),)),
        ],
    ]
    provider_fee = postings.provider_fee(sold, f"pay_{number}", sold.total_minor // 50)
    return st.sampled_from([[charge, provider_fee, *life] for life in lives])


@st.composite
def _books(draw: st.DrawFn) -> list[Booked]:
    found = []
    for number in range(draw(st.integers(0, 6))):
        sold = draw(_orders(number))
        for each in draw(_fates(sold, number)):
            if each.entries:
                at = FIRST_DAY + timedelta(days=draw(st.integers(0, 3)))
                found.append(Booked(replace(each, booked_at=at), f"{at:%Y-%m-%d}"))
    return found


BOOKED = _books()


def summed(books: Sequence[Booked]) -> Books:
    """What was moved on each account, by kind, ticket type, day and voucher."""
    by_kind = _by(books, lambda booked, _: booked.transaction.kind.value)
    return Books(
        {Kind(kind): moved for kind, moved in by_kind.items()},
        _by(books, lambda _, entry: entry.ticket_type_id),
        _by(books, lambda booked, _: booked.day),
        _by(books, lambda booked, _: booked.transaction.voucher_id),
    )


def _by(books: Sequence[Booked], key: Callable[[Booked, Entry], str | None]) -> dict[str, Moved]:
    found: dict[str, dict[Account, int]] = defaultdict(lambda: defaultdict(int))
    for booked in books:
        for entry in booked.transaction.entries:
            by = key(booked, entry)
            if by is not None:
                found[by][entry.account] += entry.amount_minor
    return {by: dict(moved) for by, moved in found.items()}
