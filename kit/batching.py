"""Work that is cheaper done together: who waits while a batch runs is the next batch. No timer."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from kit import telemetry
from kit.errors import TesseraError, Unavailable

Key = TypeVar("Key", bound=Hashable)
Request = TypeVar("Request")
Result = TypeVar("Result")

Work = Callable[[Key, Sequence[Request]], Awaitable[Sequence[Result | Exception]]]
Abandon = Callable[[Sequence[Result]], Awaitable[None]]


@dataclass(slots=True)
class _Waiting(Generic[Request, Result]):
    request: Request
    answer: "asyncio.Future[Result]"
    since: float  # on the event loop's clock


class TooManyWaiting(Unavailable):
    """More requests wait than can be answered in time; try again shortly."""


class Batcher(Generic[Key, Request, Result]):
    """Does the requests of a key in batches, first come first served; no key waits for another.

    `work` answers, for each request in order, its result or the exception that its caller gets.
    `abandon` takes the results whose callers gave up while the batch ran, to undo them.
    """

    def __init__(
        self,
        work: "Work[Key, Request, Result]",
        *,
        abandon: "Abandon[Result] | None" = None,
        max_batch: int,
        max_waiting: int,
        max_wait_s: float = 10,
    ) -> None:
        self._work = work
        self._abandon = abandon
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._max_wait_s = max_wait_s
        self._lines: dict[Key, deque[_Waiting[Request, Result]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, key: Key, request: Request) -> Result:
        """The request's result, once its batch is done.

        Raises:
            TooManyWaiting: the line of this key is full, or does not move.
        """
        waiting = self._stand_in_line(key, request)
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self._give_up([waiting])
            raise

    async def submit_all(self, key: Key, requests: Sequence[Request]) -> list[Result | Exception]:
        """The results of requests that come together, or the exceptions in their places."""
        waiting: list[_Waiting[Request, Result] | TooManyWaiting] = []
        for request in requests:
            try:
                waiting.append(self._stand_in_line(key, request))
            except TooManyWaiting as refusal:
                waiting.append(refusal)
        try:
            return [await self._outcome(each) for each in waiting]
        except asyncio.CancelledError:  # whoever gave up gave up all of them
            self._give_up([each for each in waiting if isinstance(each, _Waiting)])
            raise

    def _stand_in_line(self, key: Key, request: Request) -> _Waiting[Request, Result]:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = deque()
            # A context of its own: the batch is not the work of the caller who happens to be first.
            task = asyncio.create_task(self._serve(key, line), context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif len(line) >= self._max_waiting:
            raise TooManyWaiting
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Request, Result] = _Waiting(request, loop.create_future(), loop.time())
        line.append(waiting)
        return waiting

    def _give_up(self, waiting: Sequence[_Waiting[Request, Result]]) -> None:
        """Undo what was done; what is not yet is not worth it, or is undone after its batch."""
        done = [each.answer for each in waiting if not each.answer.cancel()]
        results = [each.result() for each in done if not each.cancelled() and not each.exception()]
        if results:
            task = asyncio.create_task(self._undo(results), context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _outcome(
        self, waiting: "_Waiting[Request, Result] | TooManyWaiting"
    ) -> Result | Exception:
        if isinstance(waiting, TooManyWaiting):
            return waiting
        try:
            return await waiting.answer
        except Exception as error:
            return error

    async def _serve(self, key: Key, line: deque[_Waiting[Request, Result]]) -> None:
        while line:
            batch = [line.popleft() for _ in range(min(len(line), self._max_batch))]
            if batch := [waiting for waiting in batch if self._is_worth_it(waiting)]:
                await self._do(key, batch)
        del self._lines[key]

    def _is_worth_it(self, waiting: _Waiting[Request, Result]) -> bool:
        """Whether the caller is still there, and will be when the batch is done."""
        if waiting.answer.done():
            return False
        if asyncio.get_running_loop().time() - waiting.since > self._max_wait_s:
            waiting.answer.set_exception(TooManyWaiting())
            return False
        return True

    async def _do(self, key: Key, batch: list[_Waiting[Request, Result]]) -> None:
        results = await self._results(key, [waiting.request for waiting in batch])
        abandoned: list[Result] = []
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                if not waiting.answer.done():
                    waiting.answer.set_exception(result)
            elif waiting.answer.done():
                abandoned.append(result)
            else:
                waiting.answer.set_result(result)
        if abandoned:
            await self._undo(abandoned)

    async def _results(self, key: Key, requests: Sequence[Request]) -> Sequence[Result | Exception]:
        """What the work answers; if it fails in a way that nobody planned for, each by itself."""
        results: Sequence[Result | Exception]
        try:
            results = await self._work(key, requests)
        except asyncio.CancelledError:  # a call that was under way when its channel closed
            results = [Unavailable()] * len(requests)
        except TesseraError as error:
            results = [error] * len(requests)
        except Exception as error:
            if len(requests) > 1:
                telemetry.log.exception("batch failed", count=len(requests))
                return [(await self._results(key, [request]))[0] for request in requests]
            results = [error]
        if len(results) != len(requests):
            mismatch = RuntimeError(f"{len(requests)} requests got {len(results)} results")
            results = [mismatch] * len(requests)
        return results

    async def _undo(self, abandoned: Sequence[Result]) -> None:
        if self._abandon is None:
            return
        try:
            await self._abandon(abandoned)
        except (Exception, asyncio.CancelledError):
            telemetry.log.exception("abandoned results not undone", count=len(abandoned))
