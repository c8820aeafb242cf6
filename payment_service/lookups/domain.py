"""What an order lookup is, and how hard its code is to guess.

A code has a million values. Guessing goes on across the lookups of an address, so what counts is
what one address admits: at most 5 lookups an hour that are good for anything, none once 20 tries
were made in a day. Whoever keeps guessing finds an address' code once in about sixty years.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kit.errors import InvalidArgument, NotFound

LIFETIME = timedelta(minutes=10)
MAX_TRIES = 5  # the table's CHECK says it again
MAX_AN_HOUR = 5  # lookups of one address; further ones are stored, and dead from the start
MAX_TRIES_A_DAY = 20  # with all lookups of one address, before a new one is dead from the start
MAX_ORDERS = 200  # in one answer


class WrongCode(InvalidArgument):
    """The code is wrong or no longer good; ask for another."""


class OrderLookupNotFound(NotFound):
    """There is no such order lookup, or its code is no longer good."""


@dataclass(frozen=True, slots=True)
class LookupMail:
    """What the mail with a code is about. The address is written as in the newest order."""

    lookup_id: str
    email: str
    expires_at: datetime


def normal_email(email: str) -> str:
    """An address as lookups are counted by."""
    return email.lower()
