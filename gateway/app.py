"""The composition root: everything of the gateway is built and wired here, once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import contract, docs, openapi
from gateway.health import Readiness, healthz
from gateway.mesh import Mesh
from gateway.middleware import BodyLimit, CrossOrigin, InFlight, SafeHeaders, Tracing
from gateway.routes import routes
from gateway.settings import Settings
from gateway.transcoding import Endpoint, Transcoder
from kit import rpc_client, telemetry
from kit.auth import GATEWAY, TokenVerifier
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
) -> Starlette:
    """The gateway as an ASGI application.

    When its lifespan ends, the requests at work are waited for, and then `on_stop` runs.
    """
    table = routes(contract.methods())
    endpoints = [Endpoint(route, mesh, verifier, settings.call_timeout_s) for route in table]
    document = openapi.document(table, settings.image)
    pages = {
        "/": _to_docs,
        "/healthz": healthz,
        "/readyz": Readiness(mesh, (route.service for route in table)).readyz,
        "/openapi.json": openapi.page(document),
        "/docs": docs.page(document),
    }
    headers = {header for route in table for header in route.header_fields.values()}
    app: ASGIApp = Transcoder(pages, endpoints)
    app = BodyLimit(app, settings.max_body_bytes)
    app = CrossOrigin(app, settings.cors_origins, sorted(headers))
    app = SafeHeaders(app)
    app = Tracing(app)
    in_flight = InFlight(app)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        with suppress(TimeoutError):
            async with asyncio.timeout(settings.call_timeout_s):
                await in_flight.drained()
        await on_stop()

    return Starlette(routes=[_Everything(in_flight)], lifespan=lifespan)


def create() -> Starlette:
    """The application of a process of its own, which has its own channels."""
    telemetry.configure_logging()
    environment = Environment()
    identity = Identity.load(environment.path("TLS_DIR"), GATEWAY)
    mesh = rpc_client.Mesh(environment, identity)
    return build_app(Settings.load(environment), mesh, verifier(mesh), on_stop=mesh.close)


class _Everything(BaseRoute):
    """Hands every HTTP request on: the routes come from the protos, not from Starlette's table."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    def url_path_for(self, name: str, /, **_path_params: object) -> URLPath:
        raise NoMatchFound(name, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)
