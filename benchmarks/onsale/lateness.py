"""How late stock is back: deadlines against what was seen. Times are in seconds since 1970."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """How many tickets were back when somebody looked."""

    at_s: float
    back: int


def latest_s(deadlines: Sequence[float], seen: Sequence[Seen]) -> float:
    """The longest time from a hold's deadline to when its ticket was seen back.

    `deadlines` are of holds of one ticket each, first ones first: the first deadline to pass is the
    first ticket to be back, or else it would be even later.
    """
    latest, back = 0.0, 0
    for look in seen:
        if look.back > back:
            latest = max(latest, look.at_s - deadlines[back])
            back = look.back
    return latest


def too_early(deadlines: Sequence[float], seen: Sequence[Seen]) -> int:
    """How many tickets were seen back before their deadline."""
    return max((look.back - bisect_right(deadlines, look.at_s) for look in seen), default=0)
