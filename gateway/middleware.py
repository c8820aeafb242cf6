"""What happens around every request: its id, one log line, limits, and headers for browsers."""

import asyncio
import re
import time
from collections.abc import Iterable
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.problems import BodyTooLarge, problem_response
from kit import telemetry
from kit.ids import new_id

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_DRAIN_TIMEOUT_S = 5
_MAX_DISCARDED_BYTES = 8 * 2**20


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = Headers(scope=scope)
        sent_id, sent_trace = headers.get("x-request-id", ""), headers.get("traceparent", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else new_id("req")
        is_trace = _TRACEPARENT.fullmatch(sent_trace)
        telemetry.request_id.set(request_id)
        telemetry.traceparent.set(sent_trace if is_trace else telemetry.new_traceparent())
        status = 499  # nginx's word for a client that left before the answer

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            telemetry.log.info(
                "request",
                method=scope["method"],
                # Never the query: it may say who someone is.
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 1),
            )


class BodyLimit:
    """Refuses bodies above the limit, whether that is announced or only shows as they arrive.

    What a refused request has not read of its body is read here, so that its connection can serve
    the next request; unless it is too much: then the connection is closed.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._discard(receive)
            await problem_response(self._refusal())(scope, receive, send)
            return
        received = 0
        arrives = True

        async def receive_limited() -> Message:
            nonlocal received, arrives
            message = await receive()
            received += len(message.get("body", b""))
            arrives = message.get("more_body", False)
            if received > self._max_bytes:
                if arrives:
                    await self._discard(receive)
                arrives = False
                raise self._refusal()
            return message

        await self._app(scope, receive_limited, send)
        with suppress(BodyTooLarge, TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                while arrives:
                    await receive_limited()

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

    def _refusal(self) -> BodyTooLarge:
        message = f"The body is larger than {self._max_bytes} bytes."
        return BodyTooLarge(message, headers={"Connection": "close"})


class SafeHeaders:
    """Keeps browsers from guessing, framing, or keeping what a response says."""

    _HEADERS = (
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._HEADERS:
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_safe)


class CrossOrigin:
    """Lets scripts of these origins use the API (https://fetch.spec.whatwg.org/#http-cors-protocol).

    They send bearer tokens by themselves: cookies are never allowed, so "*" is safe.
    """

    def __init__(
        self, app: ASGIApp, origins: Iterable[str], request_headers: Iterable[str]
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._preflight = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": ", ".join((*_REQUEST_HEADERS, *request_headers)),
            "Access-Control-Max-Age": "600",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if not origin:
            await self._app(scope, receive, send)
            return
        allowed = self._allowed(origin)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204, headers=self._preflight | allowed)(scope, receive, send)
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update({**_EXPOSED, **allowed})
            await send(message)

        await self._app(scope, receive, send_allowed)

    def _allowed(self, origin: str) -> dict[str, str]:
        if "*" in self._origins:
            return {"Access-Control-Allow-Origin": "*"}
        allowed = {"Access-Control-Allow-Origin": origin} if origin in self._origins else {}
        return {**allowed, "Vary": "Origin"}


_REQUEST_HEADERS = ("Authorization", "Content-Type", "X-Request-Id", "Traceparent")
_EXPOSED = {"Access-Control-Expose-Headers": "ETag, Retry-After, X-Request-Id"}
