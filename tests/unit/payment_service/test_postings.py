"""What is booked for which reason, and that it always adds up."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_service.ledger import postings
from payment_service.ledger.domain import Account, Entry, Kind, Transaction, Unbalanced
from payment_service.orders.domain import Order, OrderLine
from tests.unit.payment_service.build import order, payment

MINOR = st.integers(0, 10**12)
TAXED = st.tuples(MINOR, MINOR).map(lambda pair: (max(pair), min(pair)))  # an amount, and its tax


def line(position: int, amount_minor: int, tax_minor: int) -> OrderLine:
    return OrderLine(f"tt_{position}", "Stalls", 1, amount_minor, amount_minor, tax_minor)


@st.composite
def orders(draw: st.DrawFn) -> Order:
    amounts = draw(st.lists(TAXED, min_size=1, max_size=5))
    fee, fee_tax = draw(TAXED)
    return order(
        lines=tuple(line(position, *amount) for position, amount in enumerate(amounts)),
        booking_fee_minor=fee,
        booking_fee_tax_minor=fee_tax,
        total_minor=sum(amount for amount, _ in amounts) + fee,
        voucher_id=draw(st.sampled_from([None, "vou_1"])),
    )


def moved(booked: Transaction) -> dict[Account, int]:
    """What the transaction moves on each account."""
    found: Counter[Account] = Counter()
    for entry in booked.entries:
        assert entry.amount_minor
        found[entry.account] += entry.amount_minor
    return {account: minor for account, minor in found.items() if minor}


def test_a_charge_names_what_each_line_and_the_booking_fee_brought() -> None:
    lines = (line(1, 11_900, 1_900), line(2, 5_000, 0))
    sold = order(
        lines=lines,
        booking_fee_minor=119,
        booking_fee_tax_minor=19,
        total_minor=17_019,
        voucher_id="vou_1",
    )
    booked = postings.charge_of_order(sold, "pay_1")
    assert booked == Transaction(
        Kind.CHARGE,
        "charge:pay_1",
        "org_1",
        "evt_1",
        "ord_1",
        "EUR",
        (
            Entry(Account.PROVIDER, 17_019),
            Entry(Account.TICKET_REVENUE, -10_000, "tt_1"),
            Entry(Account.TAX, -1_900, "tt_1"),
            Entry(Account.TICKET_REVENUE, -5_000, "tt_2"),
            Entry(Account.BOOKING_FEES, -100),
            Entry(Account.TAX, -19),
        ),
        voucher_id="vou_1",
        description="Order ABCDEFGH",
    )


@given(orders())
def test_a_charge_brings_exactly_the_total_to_the_provider(sold: Order) -> None:
    booked = postings.charge_of_order(sold, "pay_1")
    found = moved(booked)
    assert found.get(Account.PROVIDER, 0) == sold.total_minor
    tax = sum(line.tax_minor for line in sold.lines) + sold.booking_fee_tax_minor
    assert found.get(Account.TAX, 0) == -tax
    assert sum(found.values()) == 0
    assert booked.voucher_id == sold.voucher_id


def test_a_charge_that_no_order_keeps_is_owed_back() -> None:
    booked = postings.charge_of_nobody(order(), payment(id="pay_2", amount_minor=10_000))
    assert booked.source == "charge:pay_2"
    assert moved(booked) == {Account.PROVIDER: 10_000, Account.UNALLOCATED: -10_000}


def test_a_fee_may_be_in_another_currency_than_the_order() -> None:
    booked = postings.provider_fee(order(currency_code="JPY"), "pay_1", 40)
    assert (booked.source, booked.currency_code) == ("fee:pay_1", "JPY")
    assert moved(booked) == {Account.PROVIDER: -40, Account.PROVIDER_FEES: 40}
    assert postings.provider_fee(order(), "pay_1", 40, "USD").currency_code == "USD"


def test_no_fee_is_nothing_to_book() -> None:
    assert postings.provider_fee(order(), "pay_1", 0).entries == ()


def test_a_refund_takes_back_of_the_accounts_it_is_allocated_to() -> None:
    kept = (("TICKET_REVENUE", "tt_1", 10_000), ("TAX", "tt_1", 1_900))
    booked = postings.refund(order(), "ref_1", (*kept, ("CANCELLATION_FEES", "", -500)), "Ill")
    assert (booked.kind, booked.source, booked.description) == (Kind.REFUND, "refund:ref_1", "Ill")
    assert moved(booked) == {
        Account.PROVIDER: -11_400,
        Account.TICKET_REVENUE: 10_000,
        Account.TAX: 1_900,
        Account.CANCELLATION_FEES: -500,
    }


def test_a_cancellation_that_keeps_everything_moves_nothing_at_the_provider() -> None:
    allocation = (("TICKET_REVENUE", "tt_1", 500), ("CANCELLATION_FEES", "", -500))
    booked = postings.refund(order(), "ref_1", allocation)
    assert moved(booked) == {Account.TICKET_REVENUE: 500, Account.CANCELLATION_FEES: -500}


@given(st.lists(st.tuples(st.sampled_from(list(Account)[1:]), MINOR), max_size=6))
def test_a_refund_that_fails_leaves_nothing_behind(parts: Sequence[tuple[Account, int]]) -> None:
    allocation = [[account.value, "tt_1", minor] for account, minor in parts]
    out = postings.refund(order(), "ref_1", allocation)
    back = postings.refund_failed(order(), "ref_1", allocation)
    assert (back.kind, back.source) == (Kind.REFUND_FAILED, "refund_failed:ref_1")
    assert not Counter(moved(out)) + Counter(moved(back))
    assert moved(out) == {account: -minor for account, minor in moved(back).items()}


@pytest.mark.parametrize(
    ("verdict", "left"),
    [
        (postings.dispute_won, {}),
        (
            postings.dispute_lost,
            {Account.PROVIDER: -5_000, Account.DISPUTE_LOSSES: 5_000},
        ),
    ],
)
def test_a_dispute_withholds_until_it_is_decided(
    verdict: Callable[..., Transaction], left: dict[Account, int]
) -> None:
    opened = postings.dispute_opened(order(), "dsp_1", 5_000)
    assert moved(opened) == {Account.DISPUTED: 5_000, Account.PROVIDER: -5_000}
    closed = verdict(order(), "dsp_1", 5_000)
    both = Counter(moved(opened))
    both.update(moved(closed))
    assert {account: minor for account, minor in both.items() if minor} == left


def test_a_disputes_fee_may_come_back() -> None:
    taken = postings.dispute_fee(order(), "dsp_1", 1_500)
    returned = postings.dispute_fee_returned(order(), "dsp_1", 1_500)
    assert moved(taken) == {Account.PROVIDER: -1_500, Account.PROVIDER_FEES: 1_500}
    assert moved(returned) == {Account.PROVIDER: 1_500, Account.PROVIDER_FEES: -1_500}


def test_every_source_says_what_it_is_about() -> None:
    sold, about = order(), "x_1"
    made = [
        postings.charge_of_order(sold, about),
        postings.provider_fee(sold, about, 1),
        postings.refund(sold, about, [["GOODWILL", "", 1]]),
        postings.refund_failed(sold, about, [["GOODWILL", "", 1]]),
        postings.dispute_opened(sold, about, 1),
        postings.dispute_won(sold, about, 1),
        postings.dispute_lost(sold, about, 1),
        postings.dispute_fee(sold, about, 1),
        postings.dispute_fee_returned(sold, about, 1),
    ]
    assert [each.source for each in made] == [
        "charge:x_1",
        "fee:x_1",
        "refund:x_1",
        "refund_failed:x_1",
        "dispute_opened:x_1",
        "dispute_won:x_1",
        "dispute_lost:x_1",
        "dispute_fee:x_1",
        "dispute_fee_returned:x_1",
    ]


def test_what_does_not_sum_to_zero_is_refused_before_it_is_booked() -> None:
    with pytest.raises(Unbalanced):
        Transaction(Kind.CHARGE, "x", "o", "e", "o", "EUR", (Entry(Account.PROVIDER, 1),))
