"""Streams of services, each read once for all who watch the same thing."""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial

import grpc.aio
from google.protobuf.message import Message

from kit import telemetry
from kit.errors import DeadlineExceeded, Internal, ResourceExhausted, TesseraError, Unavailable

MAX_UNREAD = 16  # messages for one watcher: what a phone may miss in a tunnel
FIRST_MESSAGE_S = 10.0
RECONNECT_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_AT_ONCE = 50  # watchers who are told before other requests get their turn

Call = grpc.aio.UnaryStreamCall[Message, Message]
Open = Callable[[], Call]
Render = Callable[[Message], bytes]


class TooManyWatchers(ResourceExhausted):
    """Too many people watch right now; try again later."""


class TooSlow(ResourceExhausted):
    """You read too slowly, and have missed changes; watch again."""


class GatewayStopping(Unavailable):
    """The gateway is about to restart; watch again."""


class Watcher:
    """Someone who watches, and what was said that they have not read yet."""

    def __init__(self, leave: "Callable[[Watcher], None]") -> None:
        self.on_drop: Callable[[], object] = lambda: None
        self.is_dropped = False
        self._leave = leave
        self._unread: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._why: TesseraError | None = None

    async def read(self) -> bytes:
        """All that is unread, once there is something; nothing when the stream has ended.

        Raises:
            TesseraError: why it has ended.
        """
        await self._news.wait()
        if not self._unread and self._why:
            raise self._why
        said = b"".join(self._unread)
        self._unread.clear()
        if not self._is_over:
            self._news.clear()
        return said

    def tell(self, said: bytes) -> None:
        """Let it wait to be read. Who leaves too much unread is dropped."""
        if len(self._unread) >= MAX_UNREAD:
            self.drop(TooSlow())
        elif not self._is_over:
            self._unread.append(said)
            self._news.set()

    def end(self, why: TesseraError | None) -> None:
        """Say no more than what is unread, and why."""
        self._is_over, self._why = True, why
        self._news.set()

    def drop(self, why: TesseraError) -> None:
        """Say no more at all: even what is being sent need not arrive."""
        self.is_dropped = True
        self._unread.clear()
        self.end(why)
        self.on_drop()

    def leave(self) -> None:
        """Watch no more. Said of every watcher, however it ends."""
        self._leave(self)


class Streams:
    """All who watch through this process, and what they watch."""

    def __init__(
        self,
        max_watchers: int,
        *,
        first_message_s: float = FIRST_MESSAGE_S,
        reconnect_s: float = RECONNECT_S,
    ) -> None:
        self._max_watchers = max_watchers
        self._first_message_s = first_message_s
        self._reconnect_s = reconnect_s
        self._watchers: set[Watcher] = set()
        self._feeds: dict[Hashable, _Feed] = {}
        self._is_stopping = False

    def watch(self, key: Hashable, open_stream: Open, render: Render) -> Watcher:
        """A new watcher of what the key names; the first one opens its stream.

        Raises:
            TooManyWatchers: this process takes no more.
            GatewayStopping: nor will it take any more.
        """
        if self._is_stopping:
            raise GatewayStopping
        if len(self._watchers) >= self._max_watchers:
            raise TooManyWatchers
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = _Feed(
                open_stream,
                render,
                partial(self._forget, key),
                first_message_s=self._first_message_s,
                reconnect_s=self._reconnect_s,
            )
        watcher = Watcher(partial(self._leave, key, feed))
        self._watchers.add(watcher)
        feed.add(watcher)
        return watcher

    def stop(self) -> None:
        """Drop everybody, and let nobody in."""
        self._is_stopping = True
        for watcher in tuple(self._watchers):
            watcher.drop(GatewayStopping())

    def _leave(self, key: Hashable, feed: "_Feed", watcher: Watcher) -> None:
        self._watchers.discard(watcher)
        feed.watchers.discard(watcher)
        if not feed.watchers:
            feed.close()
            self._forget(key, feed)

    def _forget(self, key: Hashable, feed: "_Feed") -> None:
        if self._feeds.get(key) is feed:
            del self._feeds[key]


class _Feed:
    """One stream of a service, and those who watch it.

    Its first message is complete, and so is each later one but for what it says has changed: who
    comes later is told the latest, and then what follows.
    """

    def __init__(
        self,
        open_stream: Open,
        render: Render,
        on_end: "Callable[[_Feed], None]",
        *,
        first_message_s: float,
        reconnect_s: float,
    ) -> None:
        self.watchers: set[Watcher] = set()
        self._open = open_stream
        self._render = render
        self._on_end = on_end
        self._first_message_s = first_message_s
        self._reconnect_s = reconnect_s
        self._latest = b""
        self._lost_at = 0.0  # on the event loop's clock; 0 while the service is there
        self._pause_s = _FIRST_PAUSE_S
        self._reading = asyncio.create_task(self._read())

    def add(self, watcher: Watcher) -> None:
        self.watchers.add(watcher)
        if self._latest:
            watcher.tell(self._latest)

    def close(self) -> None:
        self._reading.cancel()

    async def _read(self) -> None:
        why: TesseraError | None = None
        try:
            await self._read_on()
        except TesseraError as error:
            why = error
        except Exception:
            telemetry.log.exception("stream failed")
            why = Internal()
        self._on_end(self)
        for watcher in self.watchers:
            watcher.end(why)

    async def _read_on(self) -> None:
        """Tell what the service says to its end; if it goes away for a moment, wait for it.

        Raises:
            TesseraError: it refused, it is not there, or it did not come back.
        """
        loop = asyncio.get_running_loop()
        while True:
            try:
                return await self._read_once()
            except TesseraError as error:
                self._lost_at = self._lost_at or loop.time()
                has_waited = loop.time() - self._lost_at > self._reconnect_s
                if not self._latest or has_waited or not _may_pass(error):
                    raise
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    async def _read_once(self) -> None:
        call = self._open()
        try:
            messages = aiter(call)
            async with asyncio.timeout(self._first_message_s):
                await self._tell_all(await anext(messages))
            async for message in messages:
                await self._tell_all(message)
        except TimeoutError:
            raise DeadlineExceeded from None
        except StopAsyncIteration:
            return  # it ended without a word
        finally:
            call.cancel()

    async def _tell_all(self, message: Message) -> None:
        self._lost_at, self._pause_s = 0.0, _FIRST_PAUSE_S
        self._latest = said = self._render(message)
        # Who comes while we tell the others begins with this message.
        for number, watcher in enumerate(tuple(self.watchers), 1):
            watcher.tell(said)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)


def _may_pass(error: TesseraError) -> bool:
    """Whether the service may say something else in a moment: it restarts, or we were too slow."""
    return error.code in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} or error.reason == "TOO_SLOW"
