"""How an attempt to send a mail can end, and when the next one is due."""

from dataclasses import dataclass
from datetime import timedelta

GIVE_UP_AFTER = timedelta(days=3)  # RFC 5321, 4.5.4.1 asks for four to five; shows are sooner
LONGEST_OUTAGE_DELAY = timedelta(seconds=10)
_DELAYS_S = (1, 2, 4, 8, 15, 30, 60, 120, 300, 600, 1800)
_LAST_DELAY = timedelta(hours=1)


class Undeliverable(Exception):
    """No retry can deliver this mail; says why, for an admin to read."""


class Delayed(Exception):
    """The mail was not taken now; says why, for an admin to read."""


class ServerDown(Delayed):
    """No mail is taken now, whoever it is for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt came to nothing, and whether another may help."""

    error: str
    can_retry: bool
    server_is_down: bool = False


def retry_delay(failure: Failure, attempts: int, age: timedelta) -> timedelta | None:
    """How long to wait after this many attempts, `age` after it was queued; None: give up.

    While the server is down the delay stays short, so that all mail follows soon after it is back.
    """
    if not failure.can_retry or age >= GIVE_UP_AFTER:
        return None
    position = attempts - 1
    delay = timedelta(seconds=_DELAYS_S[position]) if position < len(_DELAYS_S) else _LAST_DELAY
    return min(delay, LONGEST_OUTAGE_DELAY) if failure.server_is_down else delay
