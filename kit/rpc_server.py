"""The gRPC server every service runs, and the guard in front of its RPCs."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection
from tessera.access.v1 import access_pb2

from kit import auth, rpc_client, telemetry
from kit.errors import Internal, TesseraError, Unavailable
from kit.idempotency import Answered
from kit.rpc_client import DEFAULT_TIMEOUT_S, deadline
from kit.rpc_errors import to_status
from kit.settings import InvalidSetting
from kit.tls import Identity
from kit.validation import validate

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]
StreamBehaviour = Callable[[Any, Context], AsyncGenerator[Any, None]]

OPTIONS = [
    *rpc_client.OPTIONS,
    # Otherwise a second server on the same port starts too, and they share the calls.
    ("grpc.so_reuseport", 0),
    # Otherwise the pings that keep a quiet stream alive count as an attack (`too_many_pings`).
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
]

_STALLED_S = 1.0  # how long a stream whose client does not read may delay a stop


class ServerStopping(Unavailable):
    """The service is about to restart; call again shortly."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What is checked before an RPC of ours runs: who calls, and whether the input is valid.

    `order_of` answers the id of the order that an order's token opens; empty for a wrong token.
    """

    verifier: auth.TokenVerifier
    order_of: Callable[[str], str] = lambda _token: ""

    async def caller(self, context: Context, token: str) -> auth.Caller:
        """Who is at the other end: by certificate, and by token if there is one."""
        service = next(iter(context.auth_context().get("x509_common_name", ())), b"").decode()
        if token.startswith(auth.ORDER_TOKEN_PREFIX):
            order_id = self.order_of(token)
            if not order_id:
                raise auth.InvalidToken(auth.WRONG_ORDER_TOKEN)
            return auth.Caller(service, order_id=order_id)
        user = await self.verifier.verify(token) if token else None
        return auth.Caller(service, user)


class _Calls:
    """What is being answered: calls, which end by themselves, and streams, which do not."""

    def __init__(self) -> None:
        self.unary: set[asyncio.Task[Any]] = set()
        self._streams: set[asyncio.Task[Any]] = set()
        self._stopping = False

    @contextmanager
    def stream(self) -> Iterator[None]:
        """While a stream runs in this task.

        Raises:
            ServerStopping: the server was told to stop.
        """
        if self._stopping:
            raise ServerStopping
        task = _current_task()
        self._streams.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._stopping:
                raise  # the client is gone
            task.uncancel()
            raise ServerStopping from None
        finally:
            self._streams.discard(task)

    def end_streams(self) -> None:
        """Stop every stream, and let none begin."""
        self._stopping = True
        for task in self._streams:
            task.cancel()


class _Interceptor(grpc.aio.ServerInterceptor):
    def __init__(self, guard: Guard, calls: _Calls) -> None:
        self._guard = guard
        self._calls = calls
        self._handlers: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        name: str = handler_call_details.method
        if not name.startswith("/tessera."):
            return await continuation(handler_call_details)  # health and reflection
        if name not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            codec = handler.request_deserializer, handler.response_serializer
            method = _method(name)
            self._handlers[name] = (
                grpc.unary_stream_rpc_method_handler(
                    _guarded_stream(method, handler.unary_stream, self._guard, self._calls), *codec
                )
                if handler.response_streaming
                else grpc.unary_unary_rpc_method_handler(
                    _guarded(method, handler.unary_unary, self._guard, self._calls), *codec
                )
            )
        return self._handlers[name]


def _guarded(
    method: MethodDescriptor, behaviour: Behaviour, guard: Guard, calls: _Calls
) -> Behaviour:
    access = auth.access_of(method)
    response_type = _message_class(method.output_type)

    async def run(request: Message, context: Context) -> Any:
        task = _current_task()
        calls.unary.add(task)
        task.add_done_callback(calls.unary.discard)  # when the answer is sent
        deadline.set(time.monotonic() + min(context.time_remaining() or 60, 60))
        try:
            await _admit(guard, access, request, context)
            return await behaviour(request, context)
        except Answered as answered:
            return response_type.FromString(answered.response)
        except TesseraError as error:
            failure = error
        except asyncio.CancelledError:
            raise
        except Exception:
            telemetry.log.exception("rpc failed", method=method.full_name)
            failure = Internal()
        return await context.abort_with_status(to_status(failure))

    return run


def _guarded_stream(
    method: MethodDescriptor, behaviour: StreamBehaviour, guard: Guard, calls: _Calls
) -> Behaviour:
    access = auth.access_of(method)

    async def run(request: Message, context: Context) -> None:
        limit_s = context.time_remaining()
        if limit_s is not None:
            deadline.set(time.monotonic() + limit_s)
        try:
            with calls.stream():
                await _admit(guard, access, request, context)
                async with aclosing(behaviour(request, context)) as messages:
                    async for message in messages:
                        await context.write(message)
        except TesseraError as error:
            failure = error
        except (asyncio.CancelledError, grpc.aio.BaseError):
            raise  # the client is gone
        except Exception:
            telemetry.log.exception("rpc failed", method=method.full_name)
            failure = Internal()
        else:
            return
        await context.abort_with_status(to_status(failure))

    return run


async def _admit(
    guard: Guard, access: access_pb2.Access, request: Message, context: Context
) -> None:
    """Let a call in, with what it carries as the context of all that it does, or raise."""
    metadata = {str(key): value for key, value in context.invocation_metadata() or ()}
    telemetry.request_id.set(str(metadata.get("x-request-id", "")))
    telemetry.traceparent.set(str(metadata.get("traceparent", "")) or telemetry.new_traceparent())
    caller = await guard.caller(context, auth.bearer(str(metadata.get("authorization", ""))))
    auth.check(access, caller, getattr(request, "order_id", ""))
    auth.set_current(caller)
    validate(request)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task
    return task


def _method(name: str) -> MethodDescriptor:
    service, _, method = name.strip("/").partition("/")
    found: MethodDescriptor = descriptor_pool.Default().FindMethodByName(f"{service}.{method}")
    return found


def _message_class(descriptor: Any) -> type[Message]:
    from google.protobuf import message_factory

    return message_factory.GetMessageClass(descriptor)


class Server:
    """A gRPC server with the guard, health and reflection.

    `servicers` are pairs of a servicer and the generated function that adds it to a server.
    """

    def __init__(
        self,
        identity: Identity,
        guard: Guard,
        servicers: Sequence[tuple[Any, Callable[[Any, grpc.aio.Server], None]]],
    ) -> None:
        self._identity = identity
        self._calls = _Calls()
        interceptors = [_Interceptor(guard, self._calls)]
        self._server = grpc.aio.server(interceptors=interceptors, options=OPTIONS)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [
            reflection.SERVICE_NAME,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        ]
        for servicer, add_to_server in servicers:
            add_to_server(servicer, self._server)
            names.append(_service_name(servicer))
        reflection.enable_server_reflection(names, self._server)

    async def start(self, address: str) -> None:
        """Listen and report healthy."""
        try:
            self._server.add_secure_port(address, self._identity.server_credentials())
        except RuntimeError as error:
            raise InvalidSetting(
                f"{self._identity.service} cannot listen on {address}: is the port in use?"
            ) from error
        await self._server.start()
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Report unhealthy, refuse new calls, end the streams, let the running calls finish."""
        await self._health.enter_graceful_shutdown()
        self._calls.end_streams()
        stopping = asyncio.create_task(self._server.stop(grace_s))
        await asyncio.wait([stopping], timeout=_STALLED_S)
        if self._calls.unary:
            await asyncio.wait(self._calls.unary)
        await self._server.stop(None)
        await stopping


def _service_name(servicer: Any) -> str:
    """`tessera.ticket.v1.HoldService`, from the generated base class."""
    base = next(c for c in type(servicer).__mro__ if c.__module__.endswith("_pb2_grpc"))
    package = base.__module__.rpartition(".")[0]
    return f"{package}.{base.__name__.removesuffix('Servicer')}"
