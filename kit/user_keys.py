"""Verifying access tokens by the keys that user_service gives out."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from tessera.user.v1 import session_service_pb2, session_service_pb2_grpc

from kit import auth
from kit.rpc_client import Mesh


def user_keys(mesh: Mesh) -> Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]:
    """How a service other than user_service gets the keys that verify access tokens."""

    async def fetch() -> Sequence[Mapping[str, Any]]:
        stub = session_service_pb2_grpc.SessionServiceStub(mesh.channel("user_service"))
        answer = await stub.GetJsonWebKeySet(session_service_pb2.GetJsonWebKeySetRequest())
        return [{name.name: value for name, value in key.ListFields()} for key in answer.keys]

    return fetch


def verifier(mesh: Mesh) -> auth.TokenVerifier:
    """Verifies access tokens by user_service's keys."""
    return auth.TokenVerifier(user_keys(mesh))
