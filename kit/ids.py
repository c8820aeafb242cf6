"""Ids: a prefix that says what it names, and a UUIDv7 (RFC 9562), so that ids sort by age."""

import os
import secrets
import time
import uuid
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # ten bits each
_SHIFTS = range(120, -1, -10)


def new_id(prefix: str) -> str:
    """`evt_01kaz…`: the prefix and 26 characters of Crockford base 32."""
    return f"{prefix}_{_base32(_uuid7())}"


def first_id(prefix: str, moment: datetime) -> str:
    """The smallest id that `new_id` may make from this moment on: ids made before are smaller."""
    return f"{prefix}_{_base32(int(moment.timestamp() * 1000) << 80)}"


def uuid7() -> uuid.UUID:
    """A UUIDv7: 48 bits of milliseconds since 1970, then 74 random bits."""
    return uuid.UUID(int=_uuid7())


def _uuid7() -> int:
    milliseconds = time.time_ns() // 1_000_000
    random_bits = int.from_bytes(os.urandom(10), "big")
    high = milliseconds << 16 | 0x7000 | random_bits >> 68
    low = 0b10 << 62 | random_bits & (1 << 62) - 1
    return high << 64 | low


def new_code(length: int) -> str:
    """A random code that people can read aloud: digits and letters without 0, 1, I, L, O, U."""
    return "".join(secrets.choice("23456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(length))


def _base32(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])
