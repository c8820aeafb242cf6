"""Facts as people read them: money, times and clean text."""

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_service.documents.wording import clean, format_money, format_when
from tests.unit.notification_service.samples import an_event


@pytest.mark.parametrize(
    ("amount", "currency_code", "shown"),
    [
        ("50.00", "EUR", "€50.00"),
        ("50", "EUR", "€50.00"),
        ("0.00", "EUR", "€0.00"),
        ("5000", "JPY", "¥5,000"),
        ("1.250", "KWD", "KWD\u00a01.250"),
        ("1234567.89", "USD", "$1,234,567.89"),
    ],
)
def test_money_has_its_currencys_decimals(amount: str, currency_code: str, shown: str) -> None:
    assert format_money(Decimal(amount), currency_code, "en") == shown


def test_money_is_never_rounded_even_where_cldr_knows_fewer_decimals() -> None:
    assert "12.5" in format_money(Decimal("12.50"), "LBP", "en")


def test_money_follows_the_locale() -> None:
    assert format_money(Decimal("1234.50"), "EUR", "de") == "1.234,50\u00a0€"


def test_times_are_those_on_the_clock_at_the_event() -> None:
    when = format_when(an_event(time_zone="Asia/Tokyo"), "en")

    assert when.date == "Sunday, November 15, 2026"
    assert when.time == "3:30\u00a0AM \N{EN DASH} 7:00\u00a0AM"
    assert when.zone == "Japan Standard Time (Asia/Tokyo)"


def test_an_event_past_midnight_says_the_day_it_ends() -> None:
    event = an_event(ends_at=datetime(2026, 11, 15, 2, 0, tzinfo=UTC))

    when = format_when(event, "en")

    assert when.time == "7:30\u00a0PM \N{EN DASH} Sunday, November 15, 2026, 3:00\u00a0AM"


def test_an_event_without_an_end_says_when_it_starts() -> None:
    assert format_when(an_event(ends_at=None), "en").time == "7:30\u00a0PM"


def test_an_event_across_a_clock_change_names_both_zones() -> None:
    starts_at = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    ends_at = datetime(2026, 10, 25, 3, 0, tzinfo=UTC)

    when = format_when(an_event(starts_at=starts_at, ends_at=ends_at), "en")

    assert when.zone == (
        "Central European Summer Time / Central European Standard Time (Europe/Rome)"
    )


@pytest.mark.parametrize("name", ["", "Mars/Olympus_Mons", "../../etc/passwd", "\x00"])
def test_a_zone_nobody_knows_is_shown_in_utc(name: str) -> None:
    when = format_when(an_event(time_zone=name), "en")

    assert when.time.startswith("6:30")
    assert when.zone == "Coordinated Universal Time (UTC)"


@given(st.text(st.characters(), max_size=600))
def test_clean_text_is_one_line_that_hides_nothing(text: str) -> None:
    shown = clean(text)

    assert len(shown) <= 500
    assert shown == clean(shown)
    assert not any(
        unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in shown
    )
    shown.encode()


def test_direction_overrides_are_removed() -> None:
    assert clean("user\u202egnp.exe\u2066") == "usergnp.exe"


def test_text_that_is_too_long_ends_in_an_ellipsis() -> None:
    assert clean("a" * 30, limit=10) == "aaaaaaaaa…"
