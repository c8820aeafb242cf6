"""What happens around every request: its id, one log line, limits, and headers for browsers."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import BodyTooLarge, problem_response
from kit import telemetry
from kit.ids import new_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_DRAIN_TIMEOUT_S = 5
_MAX_DISCARDED_BYTES = 8 * 2**20

Pairs = list[tuple[bytes, bytes]]
"""Headers as ASGI has them, in lower case: every request passes here, and a richer type costs."""


class InFlight:
    """Counts the requests at work, so that a stop can wait for them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._count += 1
        self._idle.clear()
        try:
            await self._app(scope, receive, send)
        finally:
            self._count -= 1
            if not self._count:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until no request is at work."""
        await self._idle.wait()


class Tracing:
    """Gives each request its id and its trace, and writes one log line about it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._log = telemetry.log.bind()  # once: it takes as long as many a request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = dict(scope["headers"])
        sent_id = headers.get(b"x-request-id", b"").decode("latin-1")
        sent_trace = headers.get(b"traceparent", b"").decode("latin-1")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else new_id("req")
        is_trace = _TRACEPARENT.fullmatch(sent_trace)
        telemetry.request_id.set(request_id)
        telemetry.traceparent.set(sent_trace if is_trace else telemetry.new_traceparent())
        status = 499  # nginx's word for a client that left before the answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", request_id.encode()))
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._log.info(
                "request",
                method=scope["method"],
                # Never the query: it may say who someone is.
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )


class BodyLimit:
    """Refuses bodies above the limit, whether that is announced or only shows as they arrive.

    A body above `max_bytes` is taken where `limit_of` its request is higher. What a refused request
    has not read of its body is read here, so that its connection can serve the next request; unless
    it is too much: then the connection is closed.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, limit_of: Callable[[Scope], int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._limit_of = limit_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if scope["http_version"] == "1.1" and headers.keys().isdisjoint(_BODY_HEADERS):
            await self._app(scope, receive, send)  # there is no body: RFC 9112, section 6.3
            return
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and self._is_too_much(int(announced), scope):
            await self._discard(receive)
            await problem_response(self._refusal(scope))(scope, receive, send)
            return
        received = 0
        arrives = True

        async def receive_limited() -> Message:
            nonlocal received, arrives
            message = await receive()
            received += len(message.get("body", b""))
            arrives = message.get("more_body", False)
            if self._is_too_much(received, scope):
                if arrives:
                    await self._discard(receive)
                arrives = False
                raise self._refusal(scope)
            return message

        await self._app(scope, receive_limited, send)
        if arrives:
            with suppress(BodyTooLarge, TimeoutError):
                async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                    while arrives:
                        await receive_limited()

    def _is_too_much(self, size: int, scope: Scope) -> bool:
        return size > self._max_bytes and size > self._limit_of(scope)

    async def _discard(self, receive: Receive) -> None:
        """Read on for a while: closing on unread bytes resets the connection, answer and all."""
        received = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                while received < _MAX_DISCARDED_BYTES:
                    message = await receive()
                    received += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    def _refusal(self, scope: Scope) -> BodyTooLarge:
        limit = max(self._max_bytes, self._limit_of(scope))
        message = f"The body is larger than {limit} bytes."
        return BodyTooLarge(message, headers={"Connection": "close"})


class SafeHeaders:
    """Keeps browsers from guessing, framing, or keeping what a response says."""

    _HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cache-control", b"no-store"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Pairs = message["headers"]
                said = {name for name, _ in headers}
                headers += [pair for pair in self._HEADERS if pair[0] not in said]
            await send(message)

        await self._app(scope, receive, send_safe)


class CrossOrigin:
    """Lets scripts of these origins use the API (https://fetch.spec.whatwg.org/#http-cors-protocol).

    They send bearer tokens by themselves: cookies are never allowed, so "*" is safe. What is said
    does not depend on whether a browser asks, or else says so: an answer may be kept for another.
    """

    def __init__(
        self, app: ASGIApp, origins: Iterable[str], request_headers: Iterable[str]
    ) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._preflight = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": ", ".join((*_REQUEST_HEADERS, *request_headers)),
            "Access-Control-Max-Age": "600",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        origin = headers.get(b"origin", b"")
        if scope["method"] == "OPTIONS" and origin and _ASKED_METHOD in headers:
            response = Response(status_code=204, headers=self._preflight)
            response.raw_headers += self._allowed(origin)
            await response(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += self._allowed(origin)
            await send(message)

        await self._app(scope, receive, send_allowed)

    def _allowed(self, origin: bytes) -> Pairs:
        if b"*" in self._origins:
            return [(b"access-control-allow-origin", b"*"), _EXPOSED]
        if origin in self._origins:
            return [(b"access-control-allow-origin", origin), _EXPOSED, _VARIES]
        return [_VARIES]


_BODY_HEADERS = (b"content-length", b"transfer-encoding")
_REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "If-None-Match",
    "X-Request-Id",
    "Traceparent",
)
_ASKED_METHOD = b"access-control-request-method"
_EXPOSED = (b"access-control-expose-headers", b"ETag, Retry-After, X-Request-Id")
_VARIES = (b"vary", b"Origin")
