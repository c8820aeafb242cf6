"""Calls that are made together: what arrives while one batch is under way goes with the next."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class _Asked:
    message: Message
    request_id: str
    can_be_undone: bool


@dataclass(frozen=True, slots=True)
class _Done:
    answer: Message
    can_be_undone: bool


class Batches:
    """Makes the calls of one route in batches, by the `batch` option of its RPC."""

    def __init__(self, route: Route, mesh: Mesh, timeout_s: float) -> None:
        options = batch_of(route.rpc)
        self._mesh = mesh
        self._service = route.service
        self._timeout_s = timeout_s / 2  # the other half may pass in line
        self._by = [field for field in (options.by, options.and_by) if field]
        self._rpc = route.rpc.containing_service.methods_by_name[options.method]
        self._request = contract.message_class(self._rpc.input_type)
        self._undo_rpc = route.rpc.containing_service.methods_by_name.get(options.undo)
        self._callables: dict[str, grpc.aio.UnaryUnaryMultiCallable[Any, Any]] = {}
        self._batcher: Batcher[tuple[str, ...], _Asked, _Done] = Batcher(
            self._call,
            abandon=self._undo,
            max_batch=options.max_size,
            max_waiting=MAX_WAITING,
            max_wait_s=timeout_s / 2,
        )

    def can_be_undone(self, message: Message) -> bool:
        """Whether nobody can ever hear of the answer, once the client has hung up."""
        return self._undo_rpc is not None and not getattr(message, "idempotency_key", "")

    async def call(self, message: Message) -> Message:
        """The answer to one call. A caller who is cancelled has it undone, if that is possible.

        Raises:
            InvalidRequest: the call breaks the contract's rules.
            TooManyWaiting: more wait than can be answered in time.
            TesseraError: the service refused this call, or did not answer the batch.
        """
        validate(message)  # alone: what is too large must not fail what it would travel with
        asked = _Asked(message, telemetry.request_id.get(), self.can_be_undone(message))
        key = tuple(getattr(message, field) for field in self._by)
        return (await self._batcher.submit(key, asked)).answer

    async def _call(
        self, _key: tuple[str, ...], asked: Sequence[_Asked]
    ) -> list[_Done | Exception]:
        # Some of the requests, so that the service's log can be searched for them.
        telemetry.request_id.set(",".join(each.request_id for each in asked[:MAX_NAMED]))
        request: Any = self._request()
        request.requests.extend(each.message for each in asked)
        answer = await self._callable(self._rpc)(request, timeout=self._timeout_s)
        return [
            _result(result, each.can_be_undone)
            for each, result in zip(asked, answer.results, strict=True)
        ]

    async def _undo(self, results: Sequence[_Done]) -> None:
        rpc = self._undo_rpc
        answers: list[Any] = [each.answer for each in results if each.can_be_undone]
        if rpc is None or not answers:
            return
        undo, request = self._callable(rpc), contract.message_class(rpc.input_type)
        name = rpc.input_type.fields[0].name
        await asyncio.gather(
            *(undo(request(**{name: answer.id}), timeout=self._timeout_s) for answer in answers)
        )

    def _callable(self, rpc: MethodDescriptor) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """Made at the first call, in the event loop that it belongs to."""
        if rpc.name not in self._callables:
            channel = self._mesh.channel(self._service)
            self._callables[rpc.name] = channel.unary_unary(*contract.wire(rpc))
        return self._callables[rpc.name]


def batch_of(rpc: MethodDescriptor) -> rest_pb2.Batch:
    """The RPC's `batch` option; without a method when its calls are made one by one."""
    return rpc.GetOptions().Extensions[rest_pb2.batch]


def _result(result: Any, can_be_undone: bool) -> _Done | Exception:
    """A `results` element: a oneof of the RPC's response and a google.rpc.Status."""
    answer: Message = getattr(result, result.WhichOneof("result"))
    if answer.DESCRIPTOR.full_name == "google.rpc.Status":
        return from_proto(answer)
    return _Done(answer, can_be_undone)
