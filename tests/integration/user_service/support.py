"""People who use user_service over real gRPC, and what tests do behind its back."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Update
from tessera.access.v1 import access_pb2
from tessera.user.v1 import (
    session_pb2,
    session_service_pb2,
    session_service_pb2_grpc,
    user_pb2,
    user_service_pb2,
    user_service_pb2_grpc,
)

from kit import auth, clock
from kit.database import Database, service_url
from kit.rpc_errors import RemoteError
from tests.support.services import TestMesh
from user_service.sealing import Seal
from user_service.sessions.store import end_session
from user_service.signing_keys import store as signing_keys
from user_service.signing_keys.domain import SigningKey

PASSWORD = "correct horse battery"
ROOT = "root@example.org"


def any_email() -> str:
    """An address that nobody has."""
    return f"{uuid.uuid4().hex}@example.org"


def any_key() -> str:
    """An Idempotency-Key that nobody used."""
    return uuid.uuid4().hex


@contextmanager
def refused(reason: str) -> Iterator[None]:
    """What happens inside is refused for this reason."""
    with pytest.raises(RemoteError) as caught:
        yield
    assert caught.value.reason == reason


class Person:
    """Calls user_service, with an access token or without, by way of a service."""

    def __init__(self, mesh: TestMesh, token: str = "", *, via: str = "gateway") -> None:
        channel = mesh.as_service(via).channel("user_service")
        self._mesh = mesh
        self.token = token
        self.users = user_service_pb2_grpc.UserServiceStub(channel)
        self.sessions = session_service_pb2_grpc.SessionServiceStub(channel)

    def with_token(self, token: str) -> "Person":
        return Person(self._mesh, token)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    async def register(self, email: str = "", **fields: str) -> user_pb2.User:
        request = user_service_pb2.CreateUserRequest(
            **{
                "organizer_name": "Engines",
                "email": email or any_email(),
                "password": PASSWORD,
                "full_name": "Ada Lovelace",
                **fields,
            }
        )
        return await self.users.CreateUser(request, metadata=self.metadata)

    async def sign_in(
        self, email: str, password: str = PASSWORD, *, key: str = ""
    ) -> session_pb2.Session:
        request = session_service_pb2.CreateSessionRequest(
            email=email, password=password, idempotency_key=key
        )
        return await self.sessions.CreateSession(request)

    async def refresh(self, refresh_token: str, *, key: str = "") -> session_pb2.Session:
        request = session_service_pb2.RefreshSessionRequest(
            refresh_token=refresh_token, idempotency_key=key
        )
        return await self.sessions.RefreshSession(request)

    async def sign_out(self) -> None:
        request = session_service_pb2.DeleteCurrentSessionRequest()
        await self.sessions.DeleteCurrentSession(request, metadata=self.metadata)

    async def me(self) -> user_pb2.User:
        return await self.users.GetMe(user_service_pb2.GetMeRequest(), metadata=self.metadata)

    async def add_member(self, role: str, email: str = "", *, key: str = "") -> user_pb2.User:
        request = user_service_pb2.CreateMemberRequest(
            email=email or any_email(),
            password=PASSWORD,
            full_name="Charles Babbage",
            role=access_pb2.Role.Value(f"ROLE_{role}"),
            idempotency_key=key,
        )
        return await self.users.CreateMember(request, metadata=self.metadata)

    async def members(self, **fields: Any) -> user_service_pb2.ListMembersResponse:
        request = user_service_pb2.ListMembersRequest(**fields)
        return await self.users.ListMembers(request, metadata=self.metadata)

    async def list_users(self, **fields: Any) -> user_service_pb2.ListUsersResponse:
        request = user_service_pb2.ListUsersRequest(**fields)
        return await self.users.ListUsers(request, metadata=self.metadata)

    async def get(self, user_id: str) -> user_pb2.User:
        request = user_service_pb2.GetUserRequest(user_id=user_id)
        return await self.users.GetUser(request, metadata=self.metadata)

    async def update(self, user_id: str, mask: str, **fields: Any) -> user_pb2.User:
        request = user_service_pb2.UpdateUserRequest(user_id=user_id, **fields)
        request.update_mask.paths.extend(mask.split())
        return await self.users.UpdateUser(request, metadata=self.metadata)

    async def introspect(self, token: str) -> session_service_pb2.IntrospectTokenResponse:
        request = session_service_pb2.IntrospectTokenRequest(token=token)
        return await self.sessions.IntrospectToken(request, metadata=self.metadata)

    async def keys(self) -> list[dict[str, str]]:
        request = session_service_pb2.GetJsonWebKeySetRequest()
        answer = await self.sessions.GetJsonWebKeySet(request)
        return [{field.name: value for field, value in key.ListFields()} for key in answer.keys]


@dataclass(frozen=True, slots=True)
class BackDoor:
    """user_service's database and secret, for what no RPC can bring about."""

    database: Database
    seal: Seal

    @classmethod
    def to(cls, mesh: TestMesh) -> "BackDoor":
        url = service_url(mesh.variables["TESSERA_DATABASE_URL"], "user")
        return cls(Database(url, pool_size=2), Seal(mesh.variables["TESSERA_SECRET_KEY"].encode()))

    async def change(self, statement: Update) -> None:
        async with self.database.begin() as tx:
            assert (await tx.execute(statement)).rowcount > 0

    async def end_session(self, token: str) -> None:
        async with self.database.begin() as tx:
            await end_session(tx, said_by(token)["sid"])

    async def keys(self) -> list[SigningKey]:
        async with self.database.begin() as tx:
            return list(await signing_keys.read_keys(tx))

    async def private_key(self) -> tuple[str, Ed25519PrivateKey]:
        """The id and the private half of the key that signs."""
        async with self.database.begin() as tx:
            key = await signing_keys.read_current(tx)
        opened = self.seal.open(key.sealed_private_key, key.id)
        return key.id, Ed25519PrivateKey.from_private_bytes(opened)


def said_by(token: str) -> dict[str, Any]:
    """A token's claims, unverified."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def claims_like(token: str, **different: Any) -> dict[str, Any]:
    """The claims of a token with some of them changed; None removes one."""
    claims = {**said_by(token), **different}
    return {name: value for name, value in claims.items() if value is not None}


def headers(key_id: str, typ: str = auth.TOKEN_TYPE) -> dict[str, str]:
    return {"kid": key_id, "typ": typ}


def seconds_from_now(seconds: float) -> int:
    return int((clock.now() + timedelta(seconds=seconds)).timestamp())
