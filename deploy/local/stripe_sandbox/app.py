"""The sandbox put together: routes, background work, and the server around it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from deploy.local.stripe_sandbox import (
    attempts,
    balance,
    charges,
    deliveries,
    disputes,
    events,
    payment_intents,
    payment_methods,
    refunds,
)
from deploy.local.stripe_sandbox.admin import Admin, render_error
from deploy.local.stripe_sandbox.api import Api
from deploy.local.stripe_sandbox.bank_page import BankPage
from deploy.local.stripe_sandbox.calls import Call, Operation
from deploy.local.stripe_sandbox.errors import JsonObject, StripeError, invalid_request
from deploy.local.stripe_sandbox.faults import Faults
from deploy.local.stripe_sandbox.schedule import Action, Scheduler
from deploy.local.stripe_sandbox.settings import SandboxSettings, load_keys
from deploy.local.stripe_sandbox.store import Store, Transaction
from deploy.local.stripe_sandbox.webhooks import WebhookSender

logger = structlog.get_logger()

OPERATIONS: tuple[tuple[str, str, Operation], ...] = (
    ("POST", "/payment_intents", payment_intents.create),
    ("GET", "/payment_intents", payment_intents.list_intents),
    ("POST", "/payment_intents/{id}", payment_intents.update),
    ("POST", "/payment_intents/{id}/capture", payment_intents.capture),
    ("POST", "/payment_intents/{id}/cancel", payment_intents.cancel),
    ("GET", "/payment_methods/{id}", payment_methods.retrieve),
    ("GET", "/charges", charges.list_charges),
    ("GET", "/charges/{id}", charges.retrieve),
    ("POST", "/charges/{id}", charges.update),
    ("POST", "/refunds", refunds.create),
    ("GET", "/refunds", refunds.list_refunds),
    ("GET", "/refunds/{id}", refunds.retrieve),
    ("POST", "/refunds/{id}", refunds.update),
    ("GET", "/disputes", disputes.list_disputes),
    ("GET", "/disputes/{id}", disputes.retrieve),
    ("POST", "/disputes/{id}", disputes.update),
    ("POST", "/disputes/{id}/close", disputes.close),
    ("GET", "/events", events.list_events),
    ("GET", "/events/{id}", events.retrieve),
    ("GET", "/balance", balance.retrieve_balance),
    ("GET", "/balance_transactions", balance.list_movements),
    ("GET", "/balance_transactions/{id}", balance.retrieve),
)
# What a page may do with the publishable key: the calls Stripe.js makes.
OPEN_TO_PAGES: tuple[tuple[str, str, Operation], ...] = (
    ("GET", "/payment_intents/{id}", payment_intents.retrieve),
    ("POST", "/payment_intents/{id}/confirm", payment_intents.confirm),
    ("POST", "/payment_methods", payment_methods.create),
)
LATER: dict[str, Action] = {
    "finish_debit": attempts.finish_debit,
    "lapse": attempts.lapse,
    "settle_charge": charges.settle,
    "settle_refund": refunds.settle,
    "fail_refund": refunds.fail,
    "fund_refunds": refunds.fund_waiting,
}


def build_app(settings: SandboxSettings) -> Starlette:
    """The sandbox as an ASGI application; its lifespan opens the store and sends webhooks.

    Raises:
        sqlite3.OperationalError: another sandbox has `settings.data_dir`.
    """
    keys = load_keys(settings)
    faults = Faults()
    store = Store(settings, faults)
    with store.transaction() as tx:
        _set_endpoint(tx, settings, keys.webhook_secret)
    sender = WebhookSender(store, settings)
    scheduler = Scheduler(store, LATER, sender.alarm.ring)

    def on_change() -> None:
        sender.alarm.ring()
        scheduler.alarm.ring()

    api = Api(store, keys, faults, on_change)
    admin = Admin(store, keys, faults, api, sender, on_change)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with _in_background(sender.run, scheduler.run):
            yield
        store.close()

    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["Request-Id"],
    )
    return Starlette(
        routes=[
            Mount("/v1", routes=_api_routes(api), middleware=[cors]),
            *admin.routes(),
            *BankPage(admin).routes(),
        ],
        exception_handlers={StripeError: render_error},
        lifespan=lifespan,
    )


def _set_endpoint(tx: Transaction, settings: SandboxSettings, secret: str) -> None:
    """What the settings say, else what was set over `/_sandbox` before."""
    row = tx.sql.execute("SELECT url FROM endpoints").fetchone()
    kept = row[0] if row else None
    deliveries.set_endpoint(tx, settings.webhook_url or kept, secret)


def _api_routes(api: Api) -> list[Route]:
    closed = [_route(api, *operation, is_open_to_pages=False) for operation in OPERATIONS]
    opened = [_route(api, *operation, is_open_to_pages=True) for operation in OPEN_TO_PAGES]
    everything_else = _endpoint(api, _unknown, is_open_to_pages=True)
    methods = ["GET", "POST", "DELETE"]
    return [*closed, *opened, Route("/{path:path}", everything_else, methods=methods)]


def _route(
    api: Api, method: str, path: str, operation: Operation, *, is_open_to_pages: bool
) -> Route:
    endpoint = _endpoint(api, operation, is_open_to_pages=is_open_to_pages)
    return Route(path, endpoint, methods=[method])


def _endpoint(
    api: Api, operation: Operation, *, is_open_to_pages: bool
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await api.handle(request, operation, is_open_to_pages=is_open_to_pages)

    return endpoint


def _unknown(_: Transaction, call: Call) -> JsonObject:
    raise invalid_request(
        f"Unrecognized request URL ({call.path}). Please see https://stripe.com/docs or we can"
        " help at https://support.stripe.com/.",
        status=404,
    )


@contextlib.asynccontextmanager
async def _in_background(*works: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run `works` for as long as the context lasts; what one of them raises comes out of it."""

    async def run(work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:
            logger.exception("stripe sandbox background work failed")
            raise

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(work)) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def serve(settings: SandboxSettings, host: str, port: int) -> None:
    """Serve the sandbox in the running event loop until cancelled."""
    server = Server(
        build_app(settings),
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.ensure_future(server.serve())
    try:
        await asyncio.shield(serving)
    finally:
        if not serving.done():
            server.stop()  # type: ignore[no-untyped-call] # granian leaves it untyped
            await serving
