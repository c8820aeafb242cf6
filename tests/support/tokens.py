"""Access tokens for tests of one service: a stand-in for user_service that only has its keys."""

import base64
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tessera.user.v1 import session_pb2, session_service_pb2, session_service_pb2_grpc

from kit import auth
from kit.rpc_server import Guard, Server
from kit.tls import Identity

Metadata = tuple[tuple[str, str], ...]


class TokenIssuer:
    """Signs access tokens, and knows the key set that verifies them."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self._kid = uuid.uuid4().hex

    def mint(
        self,
        organizer_id: str,
        role: str = "ADMIN",
        *,
        user_id: str = "",
        headers: Mapping[str, str] | None = None,
        **claims: Any,
    ) -> str:
        """A valid token, as user_service makes them, unless `headers` or `claims` spoil it."""
        now = int(time.time())
        payload = {
            "iss": auth.ISSUER,
            "aud": auth.AUDIENCE,
            "iat": now,
            "exp": now + 900,
            "sub": user_id or f"usr_{uuid.uuid4().hex}",
            "sid": f"ses_{uuid.uuid4().hex}",
            "organizer_id": organizer_id,
            "role": role,
            **claims,
        }
        header = {"typ": auth.TOKEN_TYPE, "kid": self._kid, **(headers or {})}
        return jwt.encode(payload, self._key, algorithm=auth.ALGORITHM, headers=header)

    def metadata(self, organizer_id: str, role: str = "ADMIN", *, user_id: str = "") -> Metadata:
        """What an RPC of such a user carries."""
        token = self.mint(organizer_id, role, user_id=user_id)
        return (("authorization", f"Bearer {token}"),)

    async def keys(self) -> Sequence[Mapping[str, Any]]:
        """The key set (RFC 7517), as `auth.TokenVerifier` takes it."""
        raw = self._key.public_key().public_bytes(
            serialization.Encoding.Raw, serialization.PublicFormat.Raw
        )
        x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
        known = {"kty": "OKP", "crv": "Ed25519", "kid": self._kid, "alg": "EdDSA", "use": "sig"}
        return [{**known, "x": x}]

    @asynccontextmanager
    async def serving(self, address: str, tls_dir: Path) -> AsyncIterator[None]:
        """Answer for user_service at this address, to whoever asks for its keys."""
        keys = _Keys(self)  # type: ignore[abstract]  # the rest is not for the tests of others
        server = Server(
            Identity.load(tls_dir, "user_service"),
            Guard(auth.TokenVerifier(self.keys)),
            [(keys, session_service_pb2_grpc.add_SessionServiceServicer_to_server)],
        )
        await server.start(address)
        try:
            yield
        finally:
            await server.stop(0)


class _Keys(session_service_pb2_grpc.SessionServiceServicer):
    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def GetJsonWebKeySet(
        self,
        request: session_service_pb2.GetJsonWebKeySetRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> session_service_pb2.GetJsonWebKeySetResponse:
        keys = [session_pb2.JsonWebKey(**key) for key in await self._issuer.keys()]
        return session_service_pb2.GetJsonWebKeySetResponse(keys=keys)
