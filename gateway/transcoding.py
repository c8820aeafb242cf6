"""Answers HTTP requests with RPCs: finds the route, lets the caller pass, binds, calls, encodes."""

import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote

from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as AsgiMessage

from gateway import sse
from gateway.binding import Binding
from gateway.cache import Cache, Key
from gateway.calls import Call
from gateway.credentials import authorize
from gateway.large import aside
from gateway.mesh import Mesh
from gateway.problems import MethodNotAllowed, UriTooLong, problem_response
from gateway.responses import event_renderer, responder
from gateway.routes import Route, RouteTable
from gateway.streams import Streams
from kit import telemetry
from kit.auth import TokenVerifier
from kit.errors import FieldViolation, Internal, TesseraError

Page = Callable[[Request], Awaitable[Response]]

_MAX_URI_BYTES = 8192
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")


@dataclass(frozen=True, slots=True)
class Shared:
    """What all endpoints of one gateway use."""

    mesh: Mesh
    verifier: TokenVerifier
    cache: Cache
    streams: Streams
    call_timeout_s: float


class Endpoint:
    """One route at work."""

    def __init__(self, route: Route, shared: Shared) -> None:
        self._route = route
        self._verifier = shared.verifier
        self._cache = shared.cache
        self._streams = shared.streams
        self._binding = Binding(route)
        self._call = Call(route, shared.mesh, shared.call_timeout_s)
        self._respond = responder(route)
        self._is_stream, self._max_age_s = route.is_stream, route.max_age_s

    @property
    def route(self) -> Route:
        return self._route

    async def answer(self, request: Request, path_values: list[str]) -> ASGIApp:
        authorization = request.headers.get("authorization", "")
        await authorize(self._route.access, authorization, self._verifier)
        message = await self._binding.read(request, path_values)
        try:
            if self._is_stream:
                return await self._watch(request, message, authorization)
            if self._max_age_s and not authorization:
                return await self._kept(request, message)
            return await self._sent(await self._call(message, authorization, request.receive))
        except TesseraError as error:
            self._name_headers(error)
            raise

    async def _kept(self, request: Request, message: Message) -> ASGIApp:
        async def load() -> Response:
            return await self._sent(await self._call.for_anyone(message))

        key = _key(request.scope)
        return await self._cache.get(key, self._max_age_s, load, request.receive)

    async def _sent(self, answer: Message) -> Response:
        return await aside(answer.ByteSize(), self._respond, answer)

    async def _watch(self, request: Request, message: Message, authorization: str) -> ASGIApp:
        key = object() if authorization else _key(request.scope)
        open_stream = partial(self._call.stream, message, authorization)
        watcher = self._streams.watch(key, open_stream, event_renderer(self._route))
        stream = await sse.event_stream(watcher, request.receive)
        if request.method == "HEAD":
            watcher.leave()
            return sse.no_events
        return stream

    def _name_headers(self, error: TesseraError) -> None:
        """Blame what the client sent: a header, where one fills the field."""
        for field, header in self._route.header_fields.items():
            error.message = error.message.replace(f"{field}: ", f"{header}: ")
            error.violations = tuple(
                FieldViolation(header, each.description) if each.field == field else each
                for each in error.violations
            )


class Transcoder:
    """The ASGI application behind the middleware: pages of the gateway's own, and the RPCs.

    Whatever goes wrong leaves as a problem; what nobody planned for is logged, and leaves as a bare
    INTERNAL.
    """

    def __init__(
        self, pages: Mapping[str, Page], endpoints: Sequence[Endpoint], cache: Cache
    ) -> None:
        self._pages = {path.encode(): page for path, page in pages.items()}
        self._table = RouteTable(endpoint.route for endpoint in endpoints)
        self._endpoints = {endpoint.route.key: endpoint for endpoint in endpoints}
        self._cache = cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            send = _without_body(send)
        response = self._find_kept(scope)
        if response is None:
            request = Request(scope, receive)
            try:
                response = await self._answer(request)
            except ClientDisconnect:
                return
            except TesseraError as error:
                response = problem_response(error)
            except Exception:
                telemetry.log.exception("request failed", method=request.method, path=scope["path"])
                response = problem_response(Internal())
        await response(scope, receive, send)

    def body_limit(self, scope: Scope) -> int:
        """How large a request's body may be by its route; 0 for no more than elsewhere."""
        try:
            routes, _ = self._table.find(raw_path(scope))
        except TesseraError:
            return 0
        route = routes.get(scope["method"])
        return route.max_body_bytes if route else 0

    def _find_kept(self, scope: Scope) -> ASGIApp | None:
        """The answer that anyone gets, while it is kept: found before anything is looked into."""
        if scope["method"] not in {"GET", "HEAD"}:
            return None
        kept = self._cache.find(_key(scope))
        return None if kept is None or b"authorization" in dict(scope["headers"]) else kept

    async def _answer(self, request: Request) -> ASGIApp:
        path = raw_path(request.scope)
        if len(path) + len(request.scope["query_string"]) > _MAX_URI_BYTES:
            raise UriTooLong
        verb = "GET" if request.method == "HEAD" else request.method
        if page := self._pages.get(path):
            _check_method(verb, ["GET"])
            return await page(request)
        routes, path_values = self._table.find(path)
        _check_method(verb, routes)
        return await self._endpoints[routes[verb].key].answer(request, path_values)


def raw_path(scope: Scope) -> bytes:
    """The path as it was sent: an encoded slash is part of a segment, and ends none."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    return raw.partition(b"?")[0]


def _key(scope: Scope) -> Key:
    """The path and query as they were sent, however needlessly the path was escaped.

    Letters, digits and `-._~` mean the same escaped (RFC 3986, section 6.2.2.2): otherwise whoever
    escapes them would be answered past the cache.
    """
    path = raw_path(scope)
    return _ESCAPED.sub(_unescape, path) if b"%" in path else path, scope["query_string"]


def _unescape(escaped: re.Match[bytes]) -> bytes:
    byte = bytes.fromhex(escaped[1].decode())
    return byte if _UNRESERVED.fullmatch(byte) else escaped[0].upper()


def _without_body(send: Send) -> Send:
    """Send the headers alone: Content-Length too stays that of the GET."""

    async def send_headers(message: AsgiMessage) -> None:
        if message["type"] == "http.response.body":
            message["body"] = b""
        await send(message)

    return send_headers


def _check_method(verb: str, allowed: Collection[str]) -> None:
    if verb not in allowed:
        verbs = {*allowed, "HEAD"} if "GET" in allowed else {*allowed}
        raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(verbs))})
