"""Answers that are the same for everybody: kept for a moment, asked for once by all who wait."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.disconnects import unless_disconnected
from kit import telemetry
from kit.errors import TesseraError

# Enough for the pages of every event on sale; whoever makes up queries to fill it pushes out what
# nobody has asked for meanwhile.
MAX_ENTRIES = 10_000
MAX_BYTES = 64 * 2**20
_ENTRY_BYTES = 1024  # of an entry with nothing in it: objects, headers
_LARGEST_SHARE = 8  # an answer that takes more than this part of the cache is not kept

# How long an answer stands in when the service cannot be reached (RFC 5861, stale-if-error): longer
# than a restart takes, and not so long that anybody plans by it.
STALE_S = 30
_UNREACHABLE = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}

Key = tuple[bytes, bytes]
"""What is asked for: the path and the query, as they were sent."""

Load = Callable[[], Awaitable[Response]]


@dataclass(slots=True)
class _Kept:
    """An answer, and until when it is given without asking again."""

    content: bytes
    about: list[tuple[bytes, bytes]]  # headers that only come with the content
    validators: list[tuple[bytes, bytes]]  # headers that also come with a 304
    etag: bytes
    size: int
    made_at: float
    fresh_until: float


@dataclass(slots=True)
class _Flight:
    """A call under way, and how many wait for it."""

    call: "asyncio.Task[_Kept]"
    waiting: int = 0


class Cache:
    """The answers that one process keeps; what nobody has asked for longest goes first.

    A client's own `Cache-Control: no-cache` is a wish (RFC 9111, section 5.2.1) that is not
    fulfilled: it would let anyone at the service behind.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._flights: dict[Key, _Flight] = {}

    def find(self, key: Key) -> ASGIApp | None:
        """What answers a GET or HEAD without credentials, if it is known and fresh."""
        kept = self._kept.get(key)
        if kept is None or kept.fresh_until <= self._clock():
            return None
        self._kept.move_to_end(key)
        return partial(self._send, kept)

    async def get(self, key: Key, max_age_s: int, load: Load, receive: Receive) -> ASGIApp:
        """What answers it, from one `load` for all who ask before it is done.

        Raises:
            TesseraError: `load` failed: for all who waited, and for nobody after them.
            ClientDisconnect: this client is gone; when it was the last, `load` is cancelled.
        """
        if found := self.find(key):
            return found
        flight = self._flights.get(key) or self._start(key, max_age_s, load)
        flight.waiting += 1
        try:
            kept = await unless_disconnected(flight.call, receive)
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                self._end(key, flight)
                flight.call.cancel()
        return partial(self._send, kept)

    def _start(self, key: Key, max_age_s: int, load: Load) -> _Flight:
        flight = _Flight(asyncio.create_task(self._load(key, max_age_s, load)))
        self._flights[key] = flight
        flight.call.add_done_callback(lambda _: self._end(key, flight))
        return flight

    def _end(self, key: Key, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    async def _load(self, key: Key, max_age_s: int, load: Load) -> _Kept:
        try:
            response = await load()
        except TesseraError as error:
            kept, now = self._kept.get(key), self._clock()
            if kept is None or error.code not in _UNREACHABLE:
                raise
            if now >= kept.made_at + max_age_s + STALE_S:
                raise
            telemetry.log.warning("an old answer stands in", path=key[0].decode(), why=error.reason)
            kept.fresh_until = now + max_age_s  # one call a while shows whether it is back
            return kept
        kept = _kept(key, response, max_age_s, self._clock())
        self._keep(key, kept)
        return kept

    def _keep(self, key: Key, kept: _Kept) -> None:
        if old := self._kept.pop(key, None):
            self._bytes -= old.size
        if kept.size > self._max_bytes // _LARGEST_SHARE:
            return
        self._kept[key] = kept
        self._bytes += kept.size
        while self._bytes > self._max_bytes or len(self._kept) > self._max_entries:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.size

    async def _send(self, kept: _Kept, scope: Scope, _receive: Receive, send: Send) -> None:
        is_known = any(
            name == b"if-none-match" and _has(value, kept.etag) for name, value in scope["headers"]
        )
        headers = [*kept.validators, (b"age", b"%d" % (self._clock() - kept.made_at))]
        if not is_known:
            headers += kept.about
        status, body = (304, b"") if is_known else (200, kept.content)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _kept(key: Key, response: Response, max_age_s: int, now: float) -> _Kept:
    content = bytes(response.body)
    # Of the content, not the version: what remains of a ticket type changes without it.
    etag = b'"c-%s"' % blake2b(content, digest_size=16).hexdigest().encode()
    return _Kept(
        content=content,
        about=[pair for pair in response.raw_headers if pair[0] != b"etag"],
        validators=[
            (b"etag", etag),
            (b"cache-control", b"public, max-age=%d" % max_age_s),
            (b"vary", b"Authorization"),
        ],
        etag=etag,
        size=len(content) + sum(map(len, key)) + _ENTRY_BYTES,
        made_at=now,
        fresh_until=now + max_age_s,
    )


def _has(if_none_match: bytes, etag: bytes) -> bool:
    """Whether a list of entity tags is `*` or has this one (RFC 9110, section 13.1.2).

    Compared weakly: a `W/` before it does not matter. No tag has a quote inside: ours is found
    nowhere but where it is meant.
    """
    return etag in if_none_match or if_none_match.strip() == b"*"
