"""A gateway in front of services that answer whatever a test tells them to."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import grpc.aio
import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from tessera.access.v1 import access_pb2
from tessera.ticket.v1 import hold_pb2, hold_service_pb2

from gateway.app import build_app
from gateway.cache import Cache
from gateway.settings import Settings
from kit import auth, rpc_client
from kit.auth import TokenVerifier
from kit.errors import TesseraError
from kit.rpc_errors import to_proto, to_status

_HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True)
class Received:
    """A call as a service saw it."""

    method: str  # `CreateHold`
    request: Any  # the RPC's request message
    metadata: dict[str, str]
    time_remaining_s: float


@dataclass(slots=True)
class Services(grpc.GenericRpcHandler):
    """All services in one gRPC server; an RPC answers the empty message unless told otherwise."""

    answers: dict[str, Message | TesseraError | Callable[[Any], Any]] = field(default_factory=dict)
    streams: dict[str, Callable[[Any], AsyncIterator[Message]]] = field(default_factory=dict)
    open_streams: int = 0
    calls: list[Received] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    serving: bool = True
    health_checks: int = 0

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        if details.method == _HEALTH:
            return grpc.unary_unary_rpc_method_handler(
                self._health,
                health_pb2.HealthCheckRequest.FromString,
                health_pb2.HealthCheckResponse.SerializeToString,
            )
        service, _, name = details.method.strip("/").partition("/")
        rpc = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
        output = GetMessageClass(rpc.output_type)

        async def answer(request: Any, context: Any) -> Any:
            if name == "BatchCreateHolds":
                return await self._batch(request, context)
            planned = await self._answer(name, output, request, context)
            if isinstance(planned, TesseraError):
                await context.abort_with_status(to_status(planned))
            return planned

        if rpc.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                partial(self._stream, name),
                GetMessageClass(rpc.input_type).FromString,
                output.SerializeToString,
            )
        return grpc.unary_unary_rpc_method_handler(
            answer, GetMessageClass(rpc.input_type).FromString, output.SerializeToString
        )

    async def _answer(
        self, name: str, output: type[Message], request: Message, context: Any
    ) -> Message | TesseraError:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.calls.append(Received(name, request, metadata, context.time_remaining() or 0))
        planned = self.answers.get(name, output())
        if isinstance(planned, Message | TesseraError):
            return planned
        try:
            answer: Message = await planned(request)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return answer

    async def _batch(self, request: Any, context: Any) -> Message:
        """As the service does: the answers of single calls, side by side."""
        response = hold_service_pb2.BatchCreateHoldsResponse()
        for single in request.requests:
            answer = await self._answer("CreateHold", hold_pb2.Hold, single, context)
            if isinstance(answer, TesseraError):
                response.results.add(error=to_proto(answer))
            else:
                response.results.add().hold.MergeFrom(answer)  # type: ignore[arg-type]  # a Hold
        return response

    async def _stream(
        self, name: str, request: Message, context: Any
    ) -> AsyncGenerator[Message, None]:
        metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.calls.append(Received(name, request, metadata, context.time_remaining() or 0))
        self.open_streams += 1
        try:
            async for message in self.streams[name](request):
                yield message
        except TesseraError as error:
            await context.abort_with_status(to_status(error))
        finally:
            self.open_streams -= 1

    async def _health(self, _request: Message, _context: Any) -> health_pb2.HealthCheckResponse:
        self.health_checks += 1
        status = health_pb2.HealthCheckResponse.ServingStatus
        return health_pb2.HealthCheckResponse(
            status=status.Value("SERVING" if self.serving else "NOT_SERVING")
        )

    @property
    def last(self) -> Received:
        return self.calls[-1]


class OneServerMesh:
    """A mesh whose services all live at one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel: grpc.aio.Channel | None = None

    def channel(self, service: str) -> grpc.aio.Channel:
        assert service.endswith("_service")
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                self.address,
                options=rpc_client.OPTIONS,
                interceptors=[rpc_client._Outgoing(), rpc_client._OutgoingStreams()],
            )
        return self._channel

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()


@dataclass(slots=True)
class Signer:
    """Makes access tokens as user_service does."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    fetches: int = 0

    def verifier(self) -> TokenVerifier:
        return TokenVerifier(self._keys)

    async def _keys(self) -> list[dict[str, Any]]:
        self.fetches += 1
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return [{**jwk, "kid": "k1", "alg": auth.ALGORITHM, "use": "sig"}]

    def token(
        self, role: str = "ADMIN", *, headers: dict[str, str] | None = None, **claims: Any
    ) -> str:
        now = int(time.time())
        return jwt.encode(
            {
                "iss": auth.ISSUER,
                "aud": auth.AUDIENCE,
                "sub": "usr_1",
                "sid": "ses_1",
                "organizer_id": "org_1",
                "role": role,
                "iat": now,
                "exp": now + 900,
                **claims,
            },
            self.key,
            algorithm=auth.ALGORITHM,
            headers={"kid": "k1", "typ": auth.TOKEN_TYPE, **(headers or {})},
        )

    def bearer(self, role: str = "ADMIN", **claims: Any) -> dict[str, str]:
        assert access_pb2.Role.Value(f"ROLE_{role}")
        return {"Authorization": f"Bearer {self.token(role, **claims)}"}


@dataclass(frozen=True, slots=True)
class World:
    """A gateway, its services, and a client."""

    services: Services
    signer: Signer
    client: httpx.AsyncClient
    app: Any
    mesh: OneServerMesh


@asynccontextmanager
async def world(
    settings: Settings | None = None, cache: Cache | None = None
) -> AsyncIterator[World]:
    """Start services and a gateway; the client speaks to it without a socket."""
    services, signer = Services(), Signer()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((services,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    mesh = OneServerMesh(f"127.0.0.1:{port}")
    app = build_app(settings or Settings(), mesh, signer.verifier(), cache=cache)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield World(services, signer, client, app, mesh)
    await mesh.close()
    await server.stop(None)


def assert_problem(answer: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """The problem of a refusal, once it is sure that it is one, and complete."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["reason"]) == (status, reason), problem
    assert problem["status"] == status
    assert problem["type"] == f"/docs#{reason}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.headers["x-request-id"]
    return problem
