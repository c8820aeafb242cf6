"""Batches: who waits while one runs is the next."""

import asyncio
from collections.abc import Sequence

import pytest

from kit.batching import Batcher, TooManyWaiting
from kit.errors import Unavailable


class Bench:
    """Work that a test lets go on, batch by batch."""

    def __init__(
        self, *, max_batch: int = 100, max_waiting: int = 100, max_wait_s: float = 10
    ) -> None:
        self.batches: list[list[int]] = []
        self.abandoned: list[int] = []
        self.gate = asyncio.Semaphore(0)
        self.batcher: Batcher[str, int, int] = Batcher(
            self._work,
            abandon=self._abandon,
            max_batch=max_batch,
            max_waiting=max_waiting,
            max_wait_s=max_wait_s,
        )

    async def _work(self, _key: str, requests: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(requests))
        await self.gate.acquire()
        return [ValueError(str(number)) if number < 0 else number * 10 for number in requests]

    async def _abandon(self, results: Sequence[int]) -> None:
        self.abandoned += results

    async def submit(self, *numbers: int, key: str = "a") -> list[asyncio.Task[int]]:
        """Submit, and return when all stand in line."""
        tasks = [asyncio.create_task(self.batcher.submit(key, number)) for number in numbers]
        for _ in range(3):
            await asyncio.sleep(0)
        return tasks


async def test_who_waits_while_a_batch_runs_is_the_next_batch() -> None:
    bench = Bench()
    first = await bench.submit(1)
    rest = await bench.submit(2, 3)
    bench.gate.release()
    bench.gate.release()
    assert await asyncio.gather(*first, *rest) == [10, 20, 30]
    assert bench.batches == [[1], [2, 3]]


async def test_no_key_waits_for_another() -> None:
    bench = Bench()
    tasks = [*await bench.submit(1, key="a"), *await bench.submit(2, key="b")]
    assert bench.batches == [[1], [2]]
    bench.gate.release()
    bench.gate.release()
    await asyncio.gather(*tasks)


async def test_a_bad_request_fails_alone() -> None:
    bench = Bench()
    good, bad, other = await bench.submit(1, -2, 3)
    bench.gate.release()
    assert (await good, await other) == (10, 30)
    with pytest.raises(ValueError, match="-2"):
        await bad


async def test_a_batch_has_at_most_its_size() -> None:
    bench = Bench(max_batch=2)
    tasks = await bench.submit(1, 2, 3)
    for _ in range(2):
        bench.gate.release()
    await asyncio.gather(*tasks)
    assert bench.batches == [[1, 2], [3]]


async def test_a_full_line_refuses_instead_of_growing() -> None:
    bench = Bench(max_waiting=2)
    tasks = [*await bench.submit(1), *await bench.submit(2, 3)]
    with pytest.raises(TooManyWaiting):
        await bench.batcher.submit("a", 4)
    for _ in range(2):
        bench.gate.release()
    await asyncio.gather(*tasks)


async def test_who_waited_too_long_is_refused_rather_than_served_too_late() -> None:
    bench = Bench(max_wait_s=0.05)
    first = await bench.submit(1)
    late = await bench.submit(2)
    await asyncio.sleep(0.1)  # longer than anyone is worth waiting for
    bench.gate.release()
    assert await asyncio.gather(*first) == [10]
    with pytest.raises(TooManyWaiting):
        await late[0]
    assert bench.batches == [[1]]


async def test_who_gave_up_in_line_is_not_worked_on() -> None:
    bench = Bench()
    first = await bench.submit(1)
    gone, other = await bench.submit(2, 3)
    gone.cancel()
    bench.gate.release()
    bench.gate.release()
    await asyncio.gather(*first, other)
    assert bench.batches == [[1], [3]]
    assert bench.abandoned == []


async def test_the_result_of_who_gave_up_meanwhile_is_undone() -> None:
    bench = Bench()
    gone, other = await bench.submit(1, 2)
    gone.cancel()
    await asyncio.sleep(0)
    bench.gate.release()
    assert await other == 20
    assert bench.abandoned == [10]


async def test_a_batch_with_too_few_results_fails_instead_of_hanging() -> None:
    async def work(_key: str, _requests: Sequence[int]) -> list[int | Exception]:
        return []

    batcher: Batcher[str, int, int] = Batcher(work, max_batch=10, max_waiting=10)
    with pytest.raises(RuntimeError, match="1 requests got 0 results"):
        await batcher.submit("a", 1)


async def test_a_failed_batch_fails_all_of_it_and_nothing_after_it() -> None:
    async def work(_key: str, requests: Sequence[int]) -> list[int | Exception]:
        if 1 in requests:
            raise RuntimeError("lost")
        return list(requests)

    batcher: Batcher[str, int, int] = Batcher(work, max_batch=10, max_waiting=10)
    with pytest.raises(RuntimeError, match="lost"):
        await batcher.submit("a", 1)
    assert await batcher.submit("a", 2) == 2


async def test_whoever_gives_up_all_gives_up_what_was_done_before() -> None:
    bench = Bench(max_batch=3)
    caller = asyncio.create_task(bench.batcher.submit_all("a", [1, 2, 3, 4, 5]))
    bench.gate.release()
    while len(bench.batches) < 2:
        await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    bench.gate.release()
    while len(bench.abandoned) < 5:
        await asyncio.sleep(0)
    assert sorted(bench.abandoned) == [10, 20, 30, 40, 50]


async def test_an_answer_that_its_caller_did_not_take_is_abandoned() -> None:
    abandoned: list[int] = []

    async def work(_key: str, requests: Sequence[int]) -> list[int]:
        asyncio.get_running_loop().call_soon(caller.cancel)  # after the answer, before it is read
        return list(requests)

    async def abandon(results: Sequence[int]) -> None:
        abandoned.extend(results)

    batcher: Batcher[str, int, int] = Batcher(work, abandon=abandon, max_batch=3, max_waiting=3)
    caller = asyncio.create_task(batcher.submit("a", 1))
    with pytest.raises(asyncio.CancelledError):
        await caller
    while not abandoned:
        await asyncio.sleep(0)
    assert abandoned == [1]


async def test_a_line_moves_on_when_an_abandon_is_cancelled() -> None:
    gate = asyncio.Event()

    async def work(_key: str, requests: Sequence[int]) -> list[int]:
        await gate.wait()
        return list(requests)

    async def abandon(_results: Sequence[int]) -> None:
        raise asyncio.CancelledError

    batcher: Batcher[str, int, int] = Batcher(work, abandon=abandon, max_batch=3, max_waiting=3)
    caller = asyncio.create_task(batcher.submit("a", 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    caller.cancel()
    later = asyncio.create_task(batcher.submit("a", 2))
    gate.set()
    assert await later == 2


async def test_what_fails_together_unforeseen_is_done_one_by_one() -> None:
    async def work(_key: str, requests: Sequence[int]) -> list[int]:
        if 2 in requests:
            raise ValueError
        return list(requests)

    batcher: Batcher[str, int, int] = Batcher(work, max_batch=3, max_waiting=3)
    one, two, three = await batcher.submit_all("a", [1, 2, 3])
    assert (one, three) == (1, 3)
    assert isinstance(two, ValueError)


async def test_what_fails_together_foreseen_is_not_tried_again() -> None:
    tried: list[int] = []

    async def work(_key: str, requests: Sequence[int]) -> list[int]:
        tried.append(len(requests))
        raise Unavailable

    batcher: Batcher[str, int, int] = Batcher(work, max_batch=3, max_waiting=3)
    results = await batcher.submit_all("a", [1, 2, 3])
    assert [type(result) for result in results] == [Unavailable] * 3
    assert tried == [3]
