"""Who calls, and whether they may: access tokens, certificates, and the protos' access option."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import jwt
from google.protobuf.descriptor import MethodDescriptor
from tessera.access.v1 import access_pb2

from kit import telemetry
from kit.errors import NotFound, PermissionDenied, TesseraError, Unauthenticated

ISSUER = "tessera"
AUDIENCE = "tessera"
ALGORITHM = "EdDSA"
TOKEN_TYPE = "at+jwt"  # noqa: S105  # a media type (RFC 9068), not a secret
GATEWAY = "gateway"
ORDER_TOKEN_PREFIX = "ordtok_"  # noqa: S105  # how an order's token is told from a user's

WRONG_ORDER_TOKEN = "The order's token is not valid here; it opens the order it came with."  # noqa: S105  # a sentence

_KEYS_FRESH_S = 300
_KEYS_RETRY_S = 5


class InvalidToken(Unauthenticated):
    """The access token is not valid; sign in again."""


class TokenExpired(Unauthenticated):
    """The access token has expired; refresh the session."""


class TokenMissing(Unauthenticated):
    """Send an access token, as in `Authorization: Bearer eyJ…`."""


class RoleNotAllowed(PermissionDenied):
    """Your role does not allow this."""


class ServiceNotAllowed(PermissionDenied):
    """This RPC is not for this service."""


class OrderNotFound(NotFound):
    """There is no such order, or the token is another order's."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token says."""

    user_id: str
    organizer_id: str  # empty for a superadmin
    role: int  # access_pb2.Role
    session_id: str
    expires_at: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: a service, perhaps for a user or for the holder of an order's token."""

    service: str
    user: Claims | None = None
    order_id: str = ""

    @property
    def name(self) -> str:
        """What idempotency keys are scoped by."""
        if self.user:
            return self.user.user_id
        return self.order_id or ("anyone" if self.service == GATEWAY else self.service)

    @property
    def is_internal(self) -> bool:
        """A service on its own behalf, which sees every object."""
        return self.service != GATEWAY and self.user is None

    @property
    def organizer_id(self) -> str:
        """The caller's organizer; empty for everyone who has none."""
        return self.user.organizer_id if self.user else ""

    def works_for(self, organizer_id: str) -> bool:
        """Whether the caller may see all that belongs to this organizer."""
        if self.is_internal:
            return True
        if self.user is None:
            return False
        is_superadmin = self.user.role == access_pb2.ROLE_SUPERADMIN
        return is_superadmin or self.user.organizer_id == organizer_id


_caller: ContextVar[Caller] = ContextVar("caller")


def current() -> Caller:
    """The caller of the RPC that runs now."""
    return _caller.get()


def set_current(caller: Caller) -> None:
    """Said once by the server's guard, at the start of each RPC."""
    _caller.set(caller)


def access_of(method: MethodDescriptor) -> access_pb2.Access:
    """An RPC's access rule. An RPC without one is open to nobody."""
    return method.GetOptions().Extensions[access_pb2.access]


def bearer(authorization: str) -> str:
    """The token of an Authorization header; empty when there is no header."""
    if not authorization:
        return ""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or " " in token.strip():
        raise InvalidToken
    return token.strip()


def check(access: access_pb2.Access, caller: Caller, order_id: str) -> None:
    """Let the caller pass if it satisfies one part of the rule.

    Raises:
        TokenMissing, RoleNotAllowed, ServiceNotAllowed, OrderNotFound: what is missing.
    """
    if access.anyone or (caller.user and caller.user.role in access.roles):
        return
    if caller.user is None and caller.service in access.services:
        return
    if access.order_token and caller.order_id:
        if caller.order_id != order_id:
            raise OrderNotFound
        return
    if caller.user:
        raise RoleNotAllowed
    if access.roles or access.order_token:
        raise TokenMissing
    raise ServiceNotAllowed


class TokenVerifier:
    """Verifies access tokens (RFC 8725) against a key set that may rotate.

    `fetch_keys` answers JWKs (RFC 7517); they are kept for five minutes, and fetched again at once
    for an unknown `kid`, though not more often than every five seconds.
    """

    def __init__(self, fetch_keys: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]) -> None:
        self._fetch_keys = fetch_keys
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def verify(self, token: str) -> Claims:
        """The claims of a valid token.

        Raises:
            TokenExpired: it was valid once.
            InvalidToken: anything else is wrong with it.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise InvalidToken from None
        if header.get("alg") != ALGORITHM or header.get("typ") != TOKEN_TYPE:
            raise InvalidToken
        key = await self._key(str(header.get("kid", "")))
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # `iat` says when, not whether: a clock a second behind must not refuse new tokens.
                options={"require": ["exp", "iat", "sub", "sid", "role"], "verify_iat": False},
            )
            return Claims(
                user_id=claims["sub"],
                organizer_id=claims.get("organizer_id", ""),
                role=access_pb2.Role.Value(f"ROLE_{claims['role']}"),
                session_id=claims["sid"],
                expires_at=int(claims["exp"]),
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidToken from None

    async def _key(self, kid: str) -> jwt.PyJWK:
        if not self._usable(kid):
            async with self._lock:
                if not self._usable(kid) and time.monotonic() - self._tried_at > _KEYS_RETRY_S:
                    await self._fetch()
        try:
            return self._keys[kid]
        except KeyError:
            raise InvalidToken from None

    async def _fetch(self) -> None:
        """Get the keys anew. While nobody gives them out, those we have go on being good."""
        try:
            keys = await self._fetch_keys()
        except TesseraError as error:
            if not self._keys:
                raise
            telemetry.log.warning("keys not refreshed", why=error.reason)
        else:
            self._keys = {str(key["kid"]): jwt.PyJWK(dict(key)) for key in keys}
            self._fetched_at = time.monotonic()
        self._tried_at = time.monotonic()

    def _usable(self, kid: str) -> bool:
        return kid in self._keys and time.monotonic() - self._fetched_at < _KEYS_FRESH_S
