"""Ids: a prefix that says what it names, and a UUIDv7 (RFC 9562), so that ids sort by age."""

import secrets
import time
import uuid

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


def new_id(prefix: str) -> str:
    """`evt_01kaz…`: the prefix and 26 characters of Crockford base 32."""
    return f"{prefix}_{_base32(uuid7().int)}"


def uuid7() -> uuid.UUID:
    """A UUIDv7: 48 bits of milliseconds since 1970, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random_bits = secrets.randbits(74)
    high = milliseconds << 16 | 0x7000 | random_bits >> 62
    low = 0b10 << 62 | random_bits & (1 << 62) - 1
    return uuid.UUID(int=high << 64 | low)


def new_code(length: int) -> str:
    """A random code that people can read aloud: digits and letters without 0, 1, I, L, O, U."""
    return "".join(secrets.choice("23456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(length))


def _base32(number: int) -> str:
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
