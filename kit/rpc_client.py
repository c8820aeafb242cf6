"""Calls to other services: mTLS, a deadline on every call, and errors as data."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextvars import ContextVar
from typing import Any

import grpc
import grpc.aio

from kit import telemetry
from kit.rpc_errors import from_rpc_error
from kit.settings import Environment
from kit.tls import Identity

DEFAULT_TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 8 * 2**20

OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A service that was killed and is back is found again quickly.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),  # in truth, how long a handshake may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 60_000),
]

# When the work in hand must be done, on time.monotonic()'s clock; calls inherit it.
deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


def remaining_s(at_most: float = DEFAULT_TIMEOUT_S) -> float:
    """How long a call may still take."""
    end = deadline.get()
    return at_most if end is None else max(0.0, min(at_most, end - time.monotonic()))


class _Outgoing(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call its deadline and trace, and turns its failure into an error of ours."""

    async def intercept_unary_unary(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        timeout_s = client_call_details.timeout or remaining_s()
        call = await continuation(_traced(client_call_details, timeout_s), request)
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None


class _OutgoingStreams(grpc.aio.UnaryStreamClientInterceptor):
    """The same for streams, which go on until their call is cancelled, unless given a deadline.

    A class of its own: a channel takes an interceptor for one kind of call only.
    """

    async def intercept_unary_stream(
        self,
        continuation: Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        details = _traced(client_call_details, client_call_details.timeout)
        return _messages(await continuation(details, request))


async def _messages(call: grpc.aio.UnaryStreamCall[Any, Any]) -> AsyncIterator[Any]:
    try:
        async for message in call:
            yield message
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from None


def _traced(
    details: grpc.aio.ClientCallDetails, timeout_s: float | None
) -> grpc.aio.ClientCallDetails:
    """The details of a call, with its deadline and the trace and request that it belongs to."""
    metadata = grpc.aio.Metadata(*(details.metadata or ()))
    if metadata.get("x-request-id") is None and telemetry.request_id.get():
        metadata.add("x-request-id", telemetry.request_id.get())
    if metadata.get("traceparent") is None and telemetry.traceparent.get():
        metadata.add("traceparent", telemetry.traceparent.get())
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=timeout_s,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class Mesh:
    """Channels to the other services, made at first use.

    A service's address is `TESSERA_<SERVICE>_ADDRESS`: `TESSERA_TICKET_SERVICE_ADDRESS`.
    """

    def __init__(self, environment: Environment, identity: Identity) -> None:
        self._environment = environment
        self._identity = identity
        self._channels: dict[str, grpc.aio.Channel] = {}

    def channel(self, service: str) -> grpc.aio.Channel:
        """The channel to a service, by its name: `ticket_service`."""
        if service not in self._channels:
            self._channels[service] = grpc.aio.secure_channel(
                self._address(service),
                self._identity.channel_credentials(),
                options=[*OPTIONS, ("grpc.ssl_target_name_override", service)],
                interceptors=[_Outgoing(), _OutgoingStreams()],
            )
        return self._channels[service]

    def check(self, services: Iterable[str]) -> None:
        """Raise InvalidSetting for a service whose address is not set."""
        for service in services:
            self._address(service)

    def _address(self, service: str) -> str:
        return self._environment.text(f"{service.upper()}_ADDRESS")

    async def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            await channel.close()
