"""What orders cost: every part adds up, in every currency, whatever is taken off or added."""

from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.rates import WHOLE
from payment_service.pricing.domain import (
    BookingFee,
    Item,
    Price,
    TaxAmount,
    included_tax,
    price,
    shares,
    step_of,
    taxes_of,
    tickets_of,
)
from tests.unit.payment_service.build import order

CURRENCIES = ("JPY", "EUR", "KWD", "MGA")
rates = st.sampled_from([0, 50_000, 70_000, 88_750, 190_000, 200_000, WHOLE]) | st.integers(
    0, WHOLE
)


@st.composite
def sales(draw: st.DrawFn) -> tuple[str, list[Item], BookingFee]:
    """Items with prices that the currency's cards can pay, and a fee of any kind."""
    currency = draw(st.sampled_from(CURRENCIES))
    step = step_of(currency)
    prices = st.integers(0, 40_000).map(lambda units: units * step)
    lines = draw(
        st.lists(
            st.tuples(st.integers(1, 20), prices, rates, st.booleans()), min_size=1, max_size=6
        )
    )
    items = [
        Item(f"tt_{number}", "Stalls", quantity, unit, ppm, included)
        for number, (quantity, unit, ppm, included) in enumerate(lines)
    ]
    fee = BookingFee(draw(st.integers(0, 500)), draw(rates), draw(rates))
    return currency, items, fee


@st.composite
def discounted(draw: st.DrawFn) -> tuple[str, list[Item], Price]:
    """A sale, with a discount on some of its lines."""
    currency, items, fee = draw(sales())
    ids = draw(st.sets(st.sampled_from([item.ticket_type_id for item in items])))
    most = sum(item.list_minor for item in items if item.ticket_type_id in ids)
    discount = draw(st.integers(0, most))
    return (
        currency,
        items,
        price(currency, items, fee, discount_minor=discount, discounted_type_ids=ids),
    )


@given(discounted())
def test_lines_and_booking_fee_add_up_to_the_total(sale: tuple[str, list[Item], Price]) -> None:
    _, items, asked = sale
    assert asked.total_minor == asked.booking_fee_minor + sum(
        line.amount_minor for line in asked.lines
    )
    for item, line in zip(items, asked.lines, strict=True):
        rest = item.list_minor - line.discount_minor
        assert 0 <= line.discount_minor <= item.list_minor
        assert line.amount_minor == (rest if item.tax_included else rest + line.tax_minor)
        assert 0 <= line.tax_minor <= line.amount_minor
    assert 0 <= asked.booking_fee_tax_minor <= asked.booking_fee_minor


@given(discounted())
def test_tax_is_the_rates_part_to_half_a_unit(sale: tuple[str, list[Item], Price]) -> None:
    currency, _, asked = sale
    for line in asked.lines:
        net = line.amount_minor - line.tax_minor
        if line.tax_included:
            exact = Fraction(line.amount_minor * line.tax_ppm, WHOLE + line.tax_ppm)
            step = 1
        else:
            exact = Fraction(net * line.tax_ppm, WHOLE)
            step = step_of(currency)
        assert Fraction(-step, 2) < line.tax_minor - exact <= Fraction(step, 2)


@given(st.data(), sales())
def test_prices_that_cards_can_pay_stay_so(
    data: st.DataObject, sale: tuple[str, list[Item], BookingFee]
) -> None:
    currency, items, fee = sale
    step = step_of(currency)
    most = sum(item.list_minor for item in items) // step
    asked = price(currency, items, fee, discount_minor=data.draw(st.integers(0, most)) * step)
    assert asked.total_minor % step == 0
    assert all(ticket.amount_minor % step == 0 for ticket in tickets_of(currency, asked.lines))


@given(discounted())
def test_tickets_share_their_lines_and_are_numbered_through_them(
    sale: tuple[str, list[Item], Price],
) -> None:
    currency, _, asked = sale
    tickets = tickets_of(currency, asked.lines)
    assert [ticket.number for ticket in tickets] == list(range(1, len(tickets) + 1))
    left = list(tickets)
    for line in asked.lines:
        own, left = left[: line.quantity], left[line.quantity :]
        assert {ticket.ticket_type_id for ticket in own} == {line.ticket_type_id}
        assert sum(ticket.amount_minor for ticket in own) == line.amount_minor
        assert sum(ticket.tax_minor for ticket in own) == line.tax_minor
        assert all(0 <= ticket.tax_minor <= ticket.amount_minor for ticket in own)
    assert left == []


@given(discounted())
def test_taxes_by_rate_are_all_the_tax(sale: tuple[str, list[Item], Price]) -> None:
    _, _, asked = sale
    taxes = taxes_of(
        order(
            lines=asked.lines,
            booking_fee_minor=asked.booking_fee_minor,
            booking_fee_tax_ppm=190_000,
            booking_fee_tax_minor=asked.booking_fee_tax_minor,
        )
    )
    assert sum(tax.tax_minor for tax in taxes) == asked.booking_fee_tax_minor + sum(
        line.tax_minor for line in asked.lines
    )
    rates_shown = [tax.tax_ppm for tax in taxes]
    assert rates_shown == sorted(set(rates_shown), reverse=True)
    assert 0 not in rates_shown


@given(st.data(), st.lists(st.integers(0, 1000), min_size=1, max_size=12), st.sampled_from([1, 10]))
def test_shares_are_proportional_and_add_up(
    data: st.DataObject, weights: list[int], step: int
) -> None:
    weights = [weight * step for weight in weights]
    amount = data.draw(st.integers(0, sum(weights)))
    parts = shares(amount, weights, step=step)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part <= weight
        assert abs(part - Fraction(amount * weight, sum(weights) or 1)) < step


@pytest.mark.parametrize(
    ("amount", "weights", "step", "expected"),
    [
        (100, [1, 1, 1], 1, [34, 33, 33]),
        (101, [1, 1, 1], 1, [34, 34, 33]),
        (10, [3000, 3000, 4000], 1, [3, 3, 4]),
        (0, [0, 0], 1, [0, 0]),
        (7, [0, 7, 0], 1, [0, 7, 0]),
        (2_470, [1, 1], 10, [1_240, 1_230]),
    ],
)
def test_what_is_left_goes_to_the_largest_remainder_first_to_the_first(
    amount: int, weights: Sequence[int], step: int, expected: list[int]
) -> None:
    assert shares(amount, weights, step=step) == expected


@pytest.mark.parametrize(
    ("currency", "unit", "ppm", "included", "amount", "tax"),
    [
        ("EUR", 5_000, 190_000, True, 5_000, 798),  # not 50.01: the price is the price
        ("EUR", 5_000, 190_000, False, 5_950, 950),
        ("USD", 3_333, 88_750, False, 3_629, 296),
        ("JPY", 5_000, 100_000, True, 5_000, 455),
        ("JPY", 333, 100_000, False, 366, 33),
        ("KWD", 1_230, 50_000, False, 1_290, 60),
    ],
)
def test_tax_is_part_of_the_price_or_comes_on_top(
    currency: str, unit: int, ppm: int, included: bool, amount: int, tax: int
) -> None:
    (line,) = price(currency, [Item("tt_1", "Stalls", 1, unit, ppm, included)]).lines
    assert (line.amount_minor, line.tax_minor) == (amount, tax)


def test_booking_fee_is_for_tickets_that_cost_something_and_a_part_of_what_they_cost() -> None:
    items = [Item("tt_1", "Stalls", 3, 2_000), Item("tt_2", "Child", 2, 0)]
    asked = price("EUR", items, BookingFee(100, 25_000, 190_000))
    assert asked.booking_fee_minor == 300 + 150
    assert asked.booking_fee_tax_minor == included_tax(450, 190_000) == 72
    assert asked.total_minor == 6_450


def test_free_order_has_no_booking_fee() -> None:
    items = [Item("tt_1", "Stalls", 2, 2_500, 190_000, tax_included=False)]
    asked = price("EUR", items, BookingFee(100, 25_000), discount_minor=5_000)
    assert (asked.total_minor, asked.booking_fee_minor, asked.discount_minor) == (0, 0, 5_000)


def test_discount_is_shared_by_the_lines_that_it_is_for() -> None:
    items = [Item("tt_1", "Stalls", 1, 3_000), Item("tt_2", "Balcony", 3, 1_000)]
    everywhere = price("EUR", items, discount_minor=1_001)
    assert [line.discount_minor for line in everywhere.lines] == [501, 500]
    balcony = price("EUR", items, discount_minor=1_001, discounted_type_ids={"tt_2"})
    assert [line.discount_minor for line in balcony.lines] == [0, 1_001]


def test_taxes_are_shown_by_rate_highest_first() -> None:
    lines = price(
        "EUR",
        [
            Item("tt_1", "Stalls", 1, 10_700, 70_000),
            Item("tt_2", "Dinner", 1, 11_900, 190_000),
            Item("tt_3", "Programme", 1, 500),
        ],
    ).lines
    shown = taxes_of(
        order(
            lines=lines,
            booking_fee_minor=1_190,
            booking_fee_tax_ppm=190_000,
            booking_fee_tax_minor=190,
        )
    )
    assert shown == [TaxAmount(190_000, 11_000, 2_090), TaxAmount(70_000, 10_000, 700)]
