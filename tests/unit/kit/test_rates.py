"""Rates: percent strings outside, whole millionths inside."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.rates import WHOLE, InvalidPercentage, format_percent, parse_percent, part

rates = st.integers(0, WHOLE)


@given(rates)
def test_what_is_written_is_read_back(ppm: int) -> None:
    assert parse_percent(format_percent(ppm), field="tax") == ppm


@pytest.mark.parametrize(
    ("ppm", "text"),
    [
        (0, "0"),
        (1, "0.0001"),
        (10_000, "1"),
        (88_750, "8.875"),
        (190_000, "19"),
        (200_000, "20"),
        (205_000, "20.5"),
        (WHOLE, "100"),
    ],
)
def test_a_rate_is_written_as_short_as_it_can_be(ppm: int, text: str) -> None:
    assert format_percent(ppm) == text


@pytest.mark.parametrize(("text", "ppm"), [("", 0), ("00", 0), ("7.50", 75_000), ("100.0", WHOLE)])
def test_longer_ways_to_write_a_rate_are_read_too(text: str, ppm: int) -> None:
    assert parse_percent(text, field="tax") == ppm


@pytest.mark.parametrize(
    "text", ["19 %", "-1", "1e1", ".5", "5.", "100.0001", "101", "1.00001", "\u0661"]
)
def test_what_is_no_percentage_is_blamed_on_its_field(text: str) -> None:
    with pytest.raises(InvalidPercentage) as refused:
        parse_percent(text, field="fee_percentage")
    assert refused.value.violations[0].field == "fee_percentage"


@given(st.integers(0, 10**12), rates)
def test_a_part_is_the_nearest_whole_amount_and_halves_go_up(minor: int, ppm: int) -> None:
    exact = Fraction(minor * ppm, WHOLE)
    off_by = part(minor, ppm) - exact
    assert Fraction(-1, 2) < off_by <= Fraction(1, 2)
