"""What a watcher is told, as server-sent events.

See https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import asyncio

from starlette.types import Receive, Scope, Send

from gateway.disconnects import disconnected, unless_disconnected
from gateway.problems import problem_json
from gateway.streams import Watcher
from kit.errors import TesseraError

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_S = 15  # proxies close what is silent for half a minute or more
_RETRY = b"retry: 2000\n\n"  # in milliseconds: when a browser whose stream ended comes back
_HEARTBEAT = b":\n\n"


def event(content: bytes, name: bytes = b"") -> bytes:
    """One event. The content has no line breaks, as JSON need not have any."""
    return b"%sdata: %s\n\n" % (b"event: %s\n" % name if name else b"", content)


async def event_stream(
    watcher: Watcher, receive: Receive, heartbeat_s: float = HEARTBEAT_S
) -> "EventStream":
    """The answer to a client who watches, once there is something to say.

    Raises:
        TesseraError: nothing will be said, and why.
        ClientDisconnect: nobody listens any more.
    """
    reading = asyncio.create_task(watcher.read())
    try:
        first = await unless_disconnected(reading, receive)
    except BaseException:
        reading.cancel()
        watcher.leave()
        raise
    return EventStream(watcher, first, heartbeat_s)


class EventStream:
    """The answer to one who watches. Ends when they leave, are dropped, or have heard all."""

    def __init__(self, watcher: Watcher, first: bytes, heartbeat_s: float) -> None:
        self._watcher = watcher
        self._first = first
        self._heartbeat_s = heartbeat_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        leaves = asyncio.create_task(disconnected(receive))
        sends = asyncio.create_task(self._send_all(send))
        self._watcher.on_drop = leaves.cancel  # sending may take forever, when nobody reads
        try:
            if not self._watcher.is_dropped:
                await asyncio.wait({leaves, sends}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._watcher.leave()
            leaves.cancel()
            sends.cancel()
            await asyncio.wait({leaves, sends})
        if not sends.cancelled():
            sends.result()

    async def _send_all(self, send: Send) -> None:
        await send_headers(send)
        said = _RETRY + self._first
        is_last = False
        while not is_last:
            await send({"type": "http.response.body", "body": said, "more_body": True})
            said, is_last = await self._next()
        await send({"type": "http.response.body", "body": said})

    async def _next(self) -> tuple[bytes, bool]:
        """What to say next, and whether that is all."""
        try:
            async with asyncio.timeout(self._heartbeat_s):
                said = await self._watcher.read()
        except TimeoutError:
            return _HEARTBEAT, False
        except TesseraError as error:
            return event(problem_json(error), b"problem"), True
        return said, not said


async def send_headers(send: Send) -> None:
    """What comes before the events."""
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would wait for a bufferful of them
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def no_events(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The answer to a HEAD."""
    await send_headers(send)
    await send({"type": "http.response.body", "body": b""})
