"""When a signing key is published, signs, and is forgotten.

A key is published before it signs, so that nobody who keeps a key set for a few minutes meets a
token of a key they have not heard of; and it stays published until the last token it signed has
expired. So at any moment one key signs, and those before and after it are known.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

ACCESS_TOKEN_LIFETIME = timedelta(minutes=15)

PUBLISHED_AHEAD = timedelta(minutes=10)  # twice as long as verifiers keep a key set
CLOCKS_DIFFER_BY = timedelta(minutes=5)  # at most, between us and whoever verifies


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key pair. The private half is encrypted."""

    id: str
    public_key: bytes
    sealed_private_key: bytes
    signs_from: datetime


def next_signs_from(
    keys: Sequence[SigningKey], now: datetime, lifetime: timedelta
) -> datetime | None:
    """When a key that is made now should begin to sign; None if it is not time to make one."""
    if not keys:
        return now
    newest = max(key.signs_from for key in keys)
    begins = max(newest + lifetime, now + PUBLISHED_AHEAD)
    return begins if now >= begins - PUBLISHED_AHEAD else None


def forgotten(keys: Sequence[SigningKey], now: datetime) -> list[str]:
    """The ids of the keys whose last token has expired everywhere."""
    in_order = sorted(keys, key=lambda key: key.signs_from)
    last_token = ACCESS_TOKEN_LIFETIME + CLOCKS_DIFFER_BY
    return [old.id for old, new in pairwise(in_order) if new.signs_from + last_token <= now]


def jwk(key: SigningKey) -> dict[str, str]:
    """The public half as a JSON Web Key (RFC 7517, RFC 8037)."""
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "kid": key.id,
        "alg": "EdDSA",
        "use": "sig",
        "x": base64.urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
    }
