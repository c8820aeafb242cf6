"""Hearing that the process is told to stop, beside whoever else hears it."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from gateway.stops import told_to_stop


@pytest.fixture
def handled() -> Iterator[list[str]]:
    """What was heard of SIGTERM by the handler that the process had before."""
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("before"))
    yield heard
    signal.signal(signal.SIGTERM, before)


async def _heard(heard: list[str], count: int) -> list[str]:
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(30):
        while len(heard) < count:
            await asyncio.sleep(0.001)
    return sorted(heard)


async def test_who_handled_a_signal_still_does(handled: list[str]) -> None:
    with told_to_stop(lambda: handled.append("ours")):
        assert await _heard(handled, 2) == ["before", "ours"]


async def test_afterwards_all_is_as_it_was(handled: list[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with told_to_stop(lambda: handled.append("ours")):
        pass
    assert signal.getsignal(signal.SIGTERM) is before
    assert await _heard(handled, 1) == ["before"]


async def test_an_event_loop_that_handles_a_signal_still_does(handled: list[str]) -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, handled.append, "loop")
    try:
        with told_to_stop(lambda: handled.append("ours")):
            assert await _heard(handled, 2) == ["loop", "ours"]
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_a_signal_that_nobody_handles_ends_the_process_as_ever() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with told_to_stop(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_who_set_a_handler_meanwhile_keeps_it(handled: list[str]) -> None:
    def later(*_: object) -> None:
        handled.append("later")

    with told_to_stop(lambda: None):
        signal.signal(signal.SIGTERM, later)
    assert signal.getsignal(signal.SIGTERM) is later
