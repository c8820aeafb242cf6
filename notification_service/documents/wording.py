"""Facts as people read them: clean text, money, and times where the event is."""

import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_date, format_time, get_timezone_name
from babel.numbers import format_currency

from notification_service.documents.domain import Event, Seat

TEXT_LIMIT = 500
"""Characters of any one text that are shown: no title makes a document grow without end."""

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Invisible, yet part of how Persian and Hindi are spelled."""

_NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
_LETTER_BEFORE_DIGIT = re.compile(r"(?<=[^\W\d_])(?=\d)")


@dataclass(frozen=True, slots=True)
class When:
    """An event's date, e.g. `Saturday, November 14, 2026`, its times of day, and their zone.

    An event that ends on another day has both dates in `time`.
    """

    date: str
    time: str
    zone: str


def clean(text: str, limit: int = TEXT_LIMIT) -> str:
    """One line of displayable text: no control, direction-changing or invisible characters.

    Direction overrides go too: they let a name read differently from what it is (CVE-2021-42574).
    """
    shown = unicodedata.normalize("NFC", text[: 4 * limit])
    shown = "".join(map(_displayable, shown))
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def _displayable(character: str) -> str:
    match unicodedata.category(character):
        case "Cc" | "Zl" | "Zp":
            return " "
        case "Zs":
            # Fonts lack the rarer spaces; that a space must not break is worth keeping.
            return _NO_BREAK_SPACE if character in "\u00a0\u202f" else " "
        case "Cs":
            return "\N{REPLACEMENT CHARACTER}"
        case "Cf":
            return character if character in JOINERS else ""
        case "Mn" if "VARIATION SELECTOR" in unicodedata.name(character, ""):
            return ""
        case _:
            return character


def format_money(amount: Decimal, currency_code: str, locale: str) -> str:
    """`amount` with at least the currency's own decimals, and never rounded.

    CLDR gives some currencies fewer decimals than ISO 4217 does (the Lebanese pound: none); what
    was charged is shown all the same.
    """
    text = format_currency(amount, currency_code, locale=locale, decimal_quantization=False)
    return _LETTER_BEFORE_DIGIT.sub(_NO_BREAK_SPACE, text)


def format_day(moment: datetime, time_zone: str, locale: str) -> str:
    return format_date(moment.astimezone(_zone(time_zone)), format="long", locale=locale)


def format_deadline(moment: datetime, time_zone: str, locale: str) -> str:
    """`Saturday, November 14, 2026, 7:30 PM (Central European Standard Time)`."""
    local = moment.astimezone(_zone(time_zone))
    day, time = format_date(local, format="full", locale=locale), _format_time(local, locale)
    return f"{day}, {time} ({_name_zone(local, locale)})"


def format_seat(seat: Seat) -> str:
    """`Balcony, row 4, seat 12`, less what the hall has no name for; which may be all of it."""
    parts = (("", seat.section), ("row ", seat.row), ("seat ", seat.number))
    return ", ".join(f"{what}{name}" for what, part in parts if (name := clean(part)))


@lru_cache(maxsize=256)  # of one event there are many mails in a row, and twice as many documents
def format_when(event: Event, locale: str) -> When:
    zone = _zone(event.time_zone)
    starts_at = event.starts_at.astimezone(zone)
    date = format_date(starts_at, format="full", locale=locale)
    time = _format_time(starts_at, locale)
    zones = [_name_zone(starts_at, locale)]
    if event.ends_at is not None:
        ends_at = event.ends_at.astimezone(zone)
        end = _format_time(ends_at, locale)
        if ends_at.date() != starts_at.date():
            end = f"{format_date(ends_at, format='full', locale=locale)}, {end}"
        time = f"{time} \N{EN DASH} {end}"
        if (end_zone := _name_zone(ends_at, locale)) not in zones:
            zones.append(end_zone)  # the clocks change during the event
    return When(date=date, time=time, zone=f"{' / '.join(zones)} ({zone.key})")


def _format_time(moment: datetime, locale: str) -> str:
    # CLDR puts a narrow space before AM and PM, which few fonts have.
    text = format_time(moment, format="short", locale=locale)
    return text.replace("\u202f", _NO_BREAK_SPACE)


def _name_zone(moment: datetime, locale: str) -> str:
    return get_timezone_name(moment, width="long", locale=locale)


def _zone(name: str) -> ZoneInfo:
    """The named zone, or UTC, which is right too, where the name means nothing here."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(UTC.tzname(None) or "UTC")
