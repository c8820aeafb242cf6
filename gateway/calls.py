"""The call behind a request: one RPC, with a deadline."""

import asyncio
from collections.abc import Sequence

import grpc.aio
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from gateway import contract
from gateway.batches import Batches, batch_of
from gateway.disconnects import disconnected, unless_disconnected
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
        # Made at the first call, in the event loop that they belong to.
        self._unary: grpc.aio.UnaryUnaryMultiCallable[Message, Message] | None = None
        self._streaming: grpc.aio.UnaryStreamMultiCallable[Message, Message] | None = None

    async def __call__(self, message: Message, authorization: str, receive: Receive) -> Message:
        """The RPC's answer.

        A read whose client is gone is cancelled; a change is not, since it may be half done, unless
        it can be undone.

        Raises:
            TesseraError: the service refused, or did not answer in time.
            ClientDisconnect: nobody waits for the answer any more.
        """
        if self._batches is not None and not authorization:
            return await self._call_together(self._batches, message, receive)
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

    async def _call_together(self, batches: Batches, message: Message, receive: Receive) -> Message:
        if not batches.can_be_undone(message):
            return await batches.call(message)
        calling = asyncio.create_task(batches.call(message))
        try:
            return await unless_disconnected(calling, receive)
        finally:
            calling.cancel()

    async def for_anyone(self, message: Message) -> Message:
        """The answer to a call without credentials, which is nobody's in particular."""
        return await self._start(message, authorization="")

    def stream(
        self, message: Message, authorization: str
    ) -> "grpc.aio.UnaryStreamCall[Message, Message]":
        """An RPC that answers with many messages, until it is cancelled."""
        if self._streaming is None:
            self._streaming = self._channel().unary_stream(*contract.wire(self._route.rpc))
        return self._streaming(message, metadata=_metadata(authorization))

    def _start(
        self, message: Message, authorization: str
    ) -> "grpc.aio.UnaryUnaryCall[Message, Message]":
        if self._unary is None:
            self._unary = self._channel().unary_unary(*contract.wire(self._route.rpc))
        return self._unary(message, timeout=self._timeout_s, metadata=_metadata(authorization))

    def _channel(self) -> grpc.aio.Channel:
        return self._mesh.channel(self._route.service)


def _metadata(authorization: str) -> Metadata:
    return [("authorization", authorization)] if authorization else []


async def _cancel_on_disconnect(
    receive: Receive, call: grpc.aio.UnaryUnaryCall[Message, Message]
) -> None:
    await disconnected(receive)
    call.cancel()
