"""Work on large bodies, done in a thread so that no other request waits until it is done."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

LARGE_BYTES = 64 * 2**10  # what takes longer than a few milliseconds to read or to write

Given = ParamSpec("Given")
Result = TypeVar("Result")

# One: each more would take its share of Python's lock from all small requests, and of the memory
# that a body needs which was made to need much.
_thread = ThreadPoolExecutor(1, "large")


async def aside(
    size: int, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """What the work on this many bytes comes to."""
    if size <= LARGE_BYTES:
        return work(*args, **kwargs)
    running = _thread.submit(work, *args, **kwargs)
    return await asyncio.wrap_future(running)
