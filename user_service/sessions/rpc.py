"""SessionService on the wire."""

from typing import Any

from google.protobuf import empty_pb2
from tessera.access.v1 import access_pb2
from tessera.user.v1 import session_pb2, session_service_pb2, session_service_pb2_grpc

from kit import auth
from kit.database import Database
from kit.idempotency import Once
from user_service.passwords import Passwords
from user_service.sessions import operations
from user_service.sessions.operations import Introspection, Issuer, Tokens
from user_service.signing_keys import operations as signing_keys
from user_service.signing_keys.domain import ACCESS_TOKEN_LIFETIME
from user_service.users.rpc import to_proto as user_to_proto


class SessionService(session_service_pb2_grpc.SessionServiceServicer):
    """Signing in and out, and the keys that verify access tokens."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        issuer: Issuer,
        verifier: auth.TokenVerifier,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._issuer = issuer
        self._verifier = verifier

    async def CreateSession(
        self, request: session_service_pb2.CreateSessionRequest, _context: Any
    ) -> session_pb2.Session:
        tokens = await operations.sign_in(
            self._database,
            self._passwords,
            self._issuer,
            Once(self._issuer.seal.blinded(request), to_proto),
            email=request.email,
            password=request.password,
        )
        return to_proto(tokens)

    async def RefreshSession(
        self, request: session_service_pb2.RefreshSessionRequest, _context: Any
    ) -> session_pb2.Session:
        tokens = await operations.refresh(
            self._database, self._issuer, Once(request, to_proto), request.refresh_token
        )
        return to_proto(tokens)

    async def DeleteCurrentSession(
        self, _request: session_service_pb2.DeleteCurrentSessionRequest, _context: Any
    ) -> empty_pb2.Empty:
        user = auth.current().user
        assert user is not None, "the access rule lets only signed-in users call this"
        await operations.sign_out(self._database, user)
        return empty_pb2.Empty()

    async def GetJsonWebKeySet(
        self, _request: session_service_pb2.GetJsonWebKeySetRequest, _context: Any
    ) -> session_service_pb2.GetJsonWebKeySetResponse:
        keys = await signing_keys.public_keys(self._database)
        return session_service_pb2.GetJsonWebKeySetResponse(
            keys=[session_pb2.JsonWebKey(**key) for key in keys]
        )

    async def IntrospectToken(
        self, request: session_service_pb2.IntrospectTokenRequest, _context: Any
    ) -> session_service_pb2.IntrospectTokenResponse:
        found = await operations.introspect(
            self._database, self._verifier, auth.current(), request.token
        )
        return _introspection(found)


def to_proto(tokens: Tokens) -> session_pb2.Session:
    """A session as the contract has it."""
    return session_pb2.Session(
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
        token_type="Bearer",  # noqa: S106  # a scheme (RFC 6750), not a secret
        expires_in=int(ACCESS_TOKEN_LIFETIME.total_seconds()),
        user=user_to_proto(tokens.user),
    )


def _introspection(found: Introspection | None) -> session_service_pb2.IntrospectTokenResponse:
    if found is None:
        return session_service_pb2.IntrospectTokenResponse(active=False)
    return session_service_pb2.IntrospectTokenResponse(
        active=True,
        sub=found.claims.user_id,
        scope=access_pb2.Role.Name(found.claims.role).removeprefix("ROLE_"),  # type: ignore[arg-type]  # kit keeps roles as int
        token_type="Bearer",  # noqa: S106  # a scheme (RFC 6750), not a secret
        iss=auth.ISSUER,
        aud=auth.AUDIENCE,
        exp=found.claims.expires_at,
        iat=found.issued_at,
        organizer_id=found.claims.organizer_id,
    )
