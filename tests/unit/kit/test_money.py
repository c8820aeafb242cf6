"""Money: decimal strings outside, whole minor units inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.money import (
    MAX_MINOR,
    InvalidAmount,
    Money,
    UnknownCurrency,
    exponent,
    format_amount,
    parse_amount,
)

currencies = st.sampled_from(["EUR", "USD", "CZK", "JPY", "KRW", "ISK", "KWD", "TND"])


@given(currencies, st.integers(0, MAX_MINOR))
def test_what_is_written_is_read_back(currency_code: str, minor: int) -> None:
    assert parse_amount(currency_code, format_amount(currency_code, minor)) == minor


@given(currencies, st.text(max_size=12))
def test_whatever_is_sent_is_an_amount_or_refused(currency_code: str, amount: str) -> None:
    try:
        minor = parse_amount(currency_code, amount)
    except InvalidAmount:
        return
    assert format_amount(currency_code, minor) == amount


@pytest.mark.parametrize(
    ("currency_code", "minor", "amount"),
    [
        ("EUR", 0, "0.00"),
        ("EUR", 5, "0.05"),
        ("EUR", 5000, "50.00"),
        ("EUR", -5, "-0.05"),
        ("EUR", -12345, "-123.45"),
        ("JPY", 0, "0"),
        ("JPY", 5000, "5000"),
        ("JPY", -1, "-1"),
        ("KWD", 1500, "1.500"),
        ("KWD", 7, "0.007"),
    ],
)
def test_an_amount_has_exactly_its_currencys_decimals(
    currency_code: str, minor: int, amount: str
) -> None:
    assert format_amount(currency_code, minor) == amount
    assert str(Money(currency_code, minor)) == f"{amount} {currency_code}"


@pytest.mark.parametrize(
    ("currency_code", "amount"),
    [
        ("EUR", ""),
        ("EUR", "1"),
        ("EUR", "1.0"),
        ("EUR", "1.000"),
        ("EUR", "01.00"),
        ("EUR", ".50"),
        ("EUR", "1."),
        ("EUR", "-1.00"),
        ("EUR", "+1.00"),
        ("EUR", "1,00"),
        ("EUR", " 1.00"),
        ("EUR", "1.00\n"),
        ("EUR", "1e2"),
        ("EUR", "NaN"),
        ("EUR", "\u0661.\u0660\u0660"),
        ("JPY", "1.0"),
        ("JPY", "1."),
        ("KWD", "1.50"),
    ],
)
def test_any_other_writing_is_refused(currency_code: str, amount: str) -> None:
    with pytest.raises(InvalidAmount) as refused:
        parse_amount(currency_code, amount, field="price")
    assert refused.value.violations[0].field == "price.amount"


def test_the_refusal_shows_how_to_write_it() -> None:
    for currency_code, example in (("EUR", "'12.00'"), ("JPY", "'12'"), ("KWD", "'12.000'")):
        with pytest.raises(InvalidAmount, match=example):
            parse_amount(currency_code, "x")


def test_there_is_a_most_that_can_be_charged() -> None:
    assert parse_amount("JPY", str(MAX_MINOR)) == MAX_MINOR
    with pytest.raises(InvalidAmount):
        parse_amount("JPY", str(MAX_MINOR + 1))


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XYZ", "BTC", "DEM", "HRK", "BGN"])
def test_what_is_no_currency_now_is_unknown(code: str) -> None:
    with pytest.raises(UnknownCurrency) as refused:
        exponent(code, field="currency_code")
    assert refused.value.violations[0].field == "currency_code"
