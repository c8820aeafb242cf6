"""Hearing that the process is told to stop, beside the server that hears it too."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def told_to_stop(react: Callable[[], None]) -> Iterator[None]:
    """Call `react` in this event loop when SIGINT or SIGTERM comes.

    Granian ends the lifespan only after the last connection, which a stream keeps open. Whoever
    handles the signals still does: an event loop hears of them by a file descriptor, and what was
    set for Python is called after us. A signal that nobody handles stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _STOPS}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(react)
        handle = before[signal.Signals(number)]
        if callable(handle):
            handle(number, frame)

    for number, handle in before.items():
        if callable(handle):
            signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handle in before.items():
            if signal.getsignal(number) is hear:
                signal.signal(number, handle)
