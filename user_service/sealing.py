"""What the installation's secret protects: signing keys at rest, and passwords in answers kept."""

import hashlib
import hmac
import os
from typing import TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from google.protobuf.message import Message

_NONCE_BYTES = 12

Request = TypeVar("Request", bound=Message)


class WrongSecret(Exception):
    """This was sealed with another secret, or altered."""


class Seal:
    """Encrypts and blinds with keys that HKDF (RFC 5869) derives from one secret."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(_derive(secret, b"tessera user_service signing keys"))
        self._blinding_key = _derive(secret, b"tessera user_service idempotency")

    def close(self, plain: bytes, name: str) -> bytes:
        """Encrypt; `name` says what it is, and must be given again to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypt.

        Raises:
            WrongSecret: the secret is not the one it was sealed with.
        """
        try:
            nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, encrypted, name.encode())
        except InvalidTag:
            raise WrongSecret from None

    def blinded(self, request: Request) -> Request:
        """The request with its password replaced by a MAC of it.

        Idempotency keeps a plain SHA-256 of each request. Of a password, that would be a way
        around Argon2 for whoever reads the table.
        """
        copy = type(request)()
        copy.CopyFrom(request)
        password: str = request.password  # type: ignore[attr-defined]  # these requests have one
        mac = hmac.new(self._blinding_key, password.encode(), hashlib.sha256).hexdigest()
        copy.password = mac  # type: ignore[attr-defined]  # as above
        return copy


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=purpose).derive(secret)
