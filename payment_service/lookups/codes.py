"""The one-time code of a lookup: six digits of a MAC over its id. Nothing is stored."""

import hashlib
import hmac

DIGITS = 6


class LookupCodes:
    """Makes and checks codes."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"order lookups", hashlib.sha256)

    def code(self, lookup_id: str) -> str:
        """`"042137"`."""
        digest = hmac.digest(self._key, lookup_id.encode(), hashlib.sha256)
        return f"{int.from_bytes(digest) % 10**DIGITS:0{DIGITS}}"

    def is_code(self, lookup_id: str, code: str) -> bool:
        """Whether this is the lookup's code; takes as long when it is not."""
        return hmac.compare_digest(self.code(lookup_id).encode(), code.encode())
