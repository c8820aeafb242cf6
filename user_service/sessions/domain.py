"""What a session is: one sign-in, kept going by refresh tokens that are each used once.

All refresh tokens of a sign-in are one family. When one that was used comes back, either its
owner or a thief holds a copy, so the session ends for both (RFC 9700, 4.14.2).
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto

from kit.errors import ResourceExhausted, Unauthenticated

FAILURES_ALLOWED = 10
FAILURES_COUNT_FOR = timedelta(minutes=15)


class WrongCredentials(Unauthenticated):
    """The e-mail address or the password is wrong."""


class TooManySignIns(ResourceExhausted):
    """Too many sign-ins; wait a while and try again."""


class InvalidRefreshToken(Unauthenticated):
    """The refresh token is not valid; sign in again."""


class SessionEnded(Unauthenticated):
    """The session has ended; sign in again."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What is kept of a refresh token that was issued."""

    session_id: str
    used: bool
    expired: bool


class Verdict(Enum):
    """What becomes of a session whose refresh token is presented."""

    GOES_ON = auto()
    STAYS = auto()
    ENDS = auto()


def judge(token: RefreshToken | None) -> Verdict:
    """Whether a session goes on, stays as it is without an answer, or ends for everyone."""
    if token is None:
        return Verdict.STAYS
    if token.used:
        return Verdict.ENDS
    return Verdict.STAYS if token.expired else Verdict.GOES_ON


def is_locked(failures: int) -> bool:
    """Whether so many failures lately mean that nobody may try an address for a while."""
    return failures >= FAILURES_ALLOWED


def digest(secret: str) -> bytes:
    """How a token or an address is kept. Tokens are too random for a salt to add anything."""
    return hashlib.sha256(secret.encode()).digest()
