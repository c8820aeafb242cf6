"""The composition root: everything of the gateway is built and wired here, once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Lifespan, Receive, Scope, Send

from gateway import contract, docs, openapi
from gateway.cache import Cache
from gateway.health import Readiness, healthz
from gateway.mesh import Mesh
from gateway.middleware import BodyLimit, CrossOrigin, InFlight, SafeHeaders, Tracing
from gateway.routes import routes
from gateway.settings import Settings
from gateway.stops import told_to_stop
from gateway.streams import Streams
from gateway.transcoding import Endpoint, Shared, Transcoder
from kit import open_files, rpc_client, telemetry
from kit.auth import GATEWAY, TokenVerifier
from kit.memory import collect_less
from kit.settings import Environment
from kit.tls import Identity
from kit.user_keys import verifier


async def _nothing() -> None:
    pass


async def _to_docs(_request: Request) -> Response:
    return RedirectResponse("/docs")


def build_app(
    settings: Settings,
    mesh: Mesh,
    verifier: TokenVerifier,
    on_stop: Callable[[], Awaitable[None]] = _nothing,
    cache: Cache | None = None,
) -> "Gateway":
    """The gateway as an ASGI application.

    When its lifespan ends, the requests at work are waited for, and then `on_stop` runs. Streams
    have no end to wait for: they are ended as soon as the process is told to stop.
    """
    table, cache = routes(contract.methods()), cache or Cache()
    # Half of the connections that the system allows stay for those who buy.
    max_watchers = min(settings.max_watchers, open_files.allow_many() // 2)
    if max_watchers < settings.max_watchers:
        telemetry.log.warning("fewer may watch: ulimit -n is low", max_watchers=max_watchers)
    streams = Streams(max_watchers, first_message_s=settings.call_timeout_s)
    shared = Shared(mesh, verifier, cache, streams, settings.call_timeout_s)
    endpoints = [Endpoint(route, shared) for route in table]
    document = openapi.document(table, settings.image)
    pages = {
        "/": _to_docs,
        "/healthz": healthz,
        "/readyz": Readiness(mesh, (route.service for route in table)).readyz,
        "/openapi.json": openapi.page(document),
        "/docs": docs.page(document),
    }
    headers = {header for route in table for header in route.header_fields.values()}
    transcoder = Transcoder(pages, endpoints, cache)
    app: ASGIApp = BodyLimit(transcoder, settings.max_body_bytes, transcoder.body_limit)
    app = CrossOrigin(app, settings.cors_origins, sorted(headers))
    app = SafeHeaders(app)
    app = Tracing(app)
    in_flight = InFlight(app)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        with told_to_stop(streams.stop):
            yield
        streams.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.call_timeout_s):
                await in_flight.drained()
        await on_stop()

    return Gateway(in_flight, lifespan, streams.stop)


def create() -> "Gateway":
    """The application of a process of its own, which has its own channels."""
    telemetry.configure_logging()
    collect_less()
    environment = Environment()
    identity = Identity.load(environment.path("TLS_DIR"), GATEWAY)
    mesh = rpc_client.Mesh(environment, identity)
    return build_app(Settings.load(environment), mesh, verifier(mesh), on_stop=mesh.close)


class Gateway(Starlette):
    """Hands every HTTP request on: routes come from the protos, errors are answered behind.

    A server that ends for another reason than a signal is told after `end_streams`: it waits for
    the last connection.
    """

    def __init__(
        self, http: ASGIApp, lifespan: Lifespan[Starlette], end_streams: Callable[[], None]
    ) -> None:
        super().__init__(lifespan=lifespan)
        self._http = http
        self.end_streams = end_streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        handle = self._http if scope["type"] == "http" else super().__call__
        await handle(scope, receive, send)
