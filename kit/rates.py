"""Rates: whole millionths inside (19 % is 190,000), percent strings outside ("19", "8.875")."""

import re

from kit.errors import InvalidArgument

WHOLE = 1_000_000  # 100 %

_PERCENT = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,4}))?", re.ASCII)


class InvalidPercentage(InvalidArgument):
    """This is not a percentage: write 0 to 100 with up to four decimals, such as "8.875"."""


def parse_percent(text: str, *, field: str) -> int:
    """Millionths of a percent string; nothing is nothing. InvalidPercentage blames `field`."""
    if not text:
        return 0
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise InvalidPercentage.of(field)
    ppm = int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0"))
    if ppm > WHOLE:
        raise InvalidPercentage.of(field)
    return ppm


def format_percent(ppm: int) -> str:
    """The shortest percent string: `"19"`, `"8.875"`, `"0"`."""
    whole, rest = divmod(ppm, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".") if rest else str(whole)


def part(minor: int, ppm: int) -> int:
    """That part of an amount that is not negative, rounded half up."""
    return (2 * minor * ppm + WHOLE) // (2 * WHOLE)
