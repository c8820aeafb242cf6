"""Calls that are made together: what arrives while one batch is under way goes with the next."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from tessera.rest.v1 import rest_pb2

from gateway import contract
from gateway.mesh import Mesh
from gateway.routes import Route
from kit import telemetry
from kit.batching import Batcher
from kit.rpc_errors import from_proto
from kit.validation import validate

MAX_WAITING = 5000
MAX_NAMED = 20


class Batches:
    """Makes the calls of one route in batches, by the `batch` option of its RPC."""

    def __init__(self, route: Route, mesh: Mesh, timeout_s: float) -> None:
        options = batch_of(route.rpc)
        self._mesh = mesh
        self._service = route.service
        self._timeout_s = timeout_s / 2  # the other half may pass in line
        self._by = options.by
        self._rpc = route.rpc.containing_service.methods_by_name[options.method]
        self._request = contract.message_class(self._rpc.input_type)
        self._callable: grpc.aio.UnaryUnaryMultiCallable[Any, Any] | None = None
        self._batcher: Batcher[str, tuple[Message, str], Message] = Batcher(
            self._call,
            max_batch=options.max_size,
            max_waiting=MAX_WAITING,
            max_wait_s=timeout_s / 2,
        )

    async def call(self, message: Message) -> Message:
        """The answer to one call.

        Raises:
            InvalidRequest: the call breaks the contract's rules.
            TooManyWaiting: more wait than can be answered in time.
            TesseraError: the service refused this call, or did not answer the batch.
        """
        validate(message)  # alone: what is too large must not fail what it would travel with
        asked = (message, telemetry.request_id.get())
        return await self._batcher.submit(getattr(message, self._by), asked)

    async def _call(
        self, _key: str, asked: Sequence[tuple[Message, str]]
    ) -> list[Message | Exception]:
        # Some of the requests, so that the service's log can be searched for them.
        telemetry.request_id.set(",".join(request_id for _, request_id in asked[:MAX_NAMED]))
        request: Any = self._request()
        request.requests.extend(message for message, _ in asked)
        answer = await self._rpc_callable()(request, timeout=self._timeout_s)
        return [_result(result) for result in answer.results]

    def _rpc_callable(self) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """Made at the first call, in the event loop that it belongs to."""
        if self._callable is None:
            self._callable = self._mesh.channel(self._service).unary_unary(
                f"/{self._rpc.containing_service.full_name}/{self._rpc.name}",
                request_serializer=self._request.SerializeToString,
                response_deserializer=contract.message_class(self._rpc.output_type).FromString,
            )
        return self._callable


def batch_of(rpc: MethodDescriptor) -> rest_pb2.Batch:
    """The RPC's `batch` option; without a method when its calls are made one by one."""
    return rpc.GetOptions().Extensions[rest_pb2.batch]


def _result(result: Any) -> Message | Exception:
    """A `results` element: a oneof of the RPC's response and a google.rpc.Status."""
    answer: Message = getattr(result, result.WhichOneof("result"))
    return from_proto(answer) if answer.DESCRIPTOR.full_name == "google.rpc.Status" else answer
