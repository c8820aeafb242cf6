"""The token that opens one order without an account: the order's id, and a MAC over it."""

import base64
import hashlib
import hmac

from kit.auth import ORDER_TOKEN_PREFIX


class OrderTokens:
    """Makes and reads order tokens. They need no storage and last as long as the secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"order tokens", hashlib.sha256)

    def token(self, order_id: str) -> str:
        """`ordtok_<order id>.<mac>`."""
        return f"{ORDER_TOKEN_PREFIX}{order_id}.{self._mac(order_id)}"

    def order_of(self, token: str) -> str:
        """The order that a token opens; empty when the token is not one of ours."""
        order_id, _, mac = token.removeprefix(ORDER_TOKEN_PREFIX).partition(".")
        genuine = hmac.compare_digest(mac.encode(), self._mac(order_id).encode())
        return order_id if genuine else ""

    def _mac(self, order_id: str) -> str:
        digest = hmac.digest(self._key, order_id.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:24]).decode()
