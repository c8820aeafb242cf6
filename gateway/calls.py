"""The call behind a request: one RPC, with a deadline."""

import asyncio
from collections.abc import Sequence

import grpc
import grpc.aio
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from gateway import contract
from gateway.batches import Batches, batch_of
from gateway.disconnects import disconnected
from gateway.mesh import Mesh
from gateway.routes import Route

Metadata = Sequence[tuple[str, str]]


class Call:
    """Calls one route's RPC."""

    def __init__(self, route: Route, mesh: Mesh, timeout_s: float) -> None:
        self._route = route
        self._mesh = mesh
        self._timeout_s = timeout_s
        self._batches = Batches(route, mesh, timeout_s) if batch_of(route.rpc).method else None
        self._rpc: grpc.aio.UnaryUnaryMultiCallable[Message, Message] | None = None

    async def __call__(self, message: Message, authorization: str, receive: Receive) -> Message:
        """The RPC's answer.

        A read whose client is gone is cancelled; a change is not, since it may be half done.

        Raises:
            TesseraError: the service refused, or did not answer in time.
            ClientDisconnect: nobody waits for the answer any more.
        """
        if self._batches is not None and not authorization:
            return await self._batches.call(message)
        call = self._start(message, authorization)
        if self._route.verb != "GET":
            return await call
        watch = asyncio.create_task(_cancel_on_disconnect(receive, call))
        try:
            return await call
        except asyncio.CancelledError:
            if watch.done() and not watch.cancelled():
                raise ClientDisconnect from None
            raise
        finally:
            watch.cancel()

    async def for_anyone(self, message: Message) -> Message:
        """The answer to a call without credentials, which is nobody's in particular."""
        return await self._start(message)

    def _start(
        self, message: Message, authorization: str = ""
    ) -> "grpc.aio.UnaryUnaryCall[Message, Message]":
        metadata: Metadata = [("authorization", authorization)] if authorization else []
        return self._callable()(message, timeout=self._timeout_s, metadata=metadata)

    def _callable(self) -> grpc.aio.UnaryUnaryMultiCallable[Message, Message]:
        """Made at the first call, in the event loop that it belongs to."""
        if self._rpc is None:
            rpc = self._route.rpc
            self._rpc = self._mesh.channel(self._route.service).unary_unary(
                f"/{rpc.containing_service.full_name}/{rpc.name}",
                request_serializer=contract.message_class(rpc.input_type).SerializeToString,
                response_deserializer=contract.message_class(rpc.output_type).FromString,
            )
        return self._rpc


async def _cancel_on_disconnect(
    receive: Receive, call: grpc.aio.UnaryUnaryCall[Message, Message]
) -> None:
    await disconnected(receive)
    call.cancel()
