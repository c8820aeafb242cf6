"""Work that is cheaper done together: who waits while a batch runs is the next batch. No timer."""

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from kit import telemetry
from kit.errors import Unavailable

Key = TypeVar("Key", bound=Hashable)
Request = TypeVar("Request")
Result = TypeVar("Result")

Work = Callable[[Key, Sequence[Request]], Awaitable[Sequence[Result | Exception]]]
Abandon = Callable[[Sequence[Result]], Awaitable[None]]


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
    ) -> None:
        self._work = work
        self._abandon = abandon
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._lines: dict[Key, deque[tuple[Request, asyncio.Future[Result]]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, key: Key, request: Request) -> Result:
        """The request's result, once its batch is done.

        Raises:
            TooManyWaiting: the line of this key is full.
        """
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = deque()
            # A context of its own: the batch is not the work of the caller who happens to be first.
            task = asyncio.create_task(self._serve(key, line), context=contextvars.Context())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif len(line) >= self._max_waiting:
            raise TooManyWaiting
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        line.append((request, answer))
        return await answer

    async def _serve(self, key: Key, line: deque[tuple[Request, asyncio.Future[Result]]]) -> None:
        while line:
            batch = [line.popleft() for _ in range(min(len(line), self._max_batch))]
            batch = [(request, answer) for request, answer in batch if not answer.done()]
            if batch:
                await self._do(key, batch)
        del self._lines[key]

    async def _do(self, key: Key, batch: list[tuple[Request, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._work(key, [request for request, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        if len(results) != len(batch):
            mismatch = RuntimeError(f"{len(batch)} requests got {len(results)} results")
            results = [mismatch] * len(batch)
        abandoned: list[Result] = []
        for (_, answer), result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                if not answer.done():
                    answer.set_exception(result)
            elif answer.done():
                abandoned.append(result)
            else:
                answer.set_result(result)
        if abandoned and self._abandon:
            try:
                await self._abandon(abandoned)
            except Exception:
                telemetry.log.exception("abandoned results not undone", count=len(abandoned))
