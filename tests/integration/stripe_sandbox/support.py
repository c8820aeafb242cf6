"""A sandbox on a port of its own, the official client for it, and a shop that gets its webhooks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import stripe
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.local.environment import free_port
from deploy.local.stripe_sandbox import Keys, SandboxSettings, load_keys, serve

Intent = stripe.PaymentIntent
PATIENCE_SECONDS = 20.0


async def until_listening(port: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def served(app: Starlette, port: int) -> AsyncIterator[None]:
    server = Server(
        app,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.ensure_future(server.serve())
    try:
        await until_listening(port)
        yield
    finally:
        server.stop()  # type: ignore[no-untyped-call] # granian leaves it untyped
        await serving


@dataclass
class Shop:
    """Receives webhooks, checks their signatures as Stripe says, and answers what it is told to."""

    port: int
    secret: str
    answers: list[int] = field(default_factory=list)
    events: list[stripe.Event] = field(default_factory=list)
    refused: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks"

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/webhooks", self.receive, methods=["POST"])])

    async def receive(self, request: Request) -> Response:
        body = await request.body()
        event = stripe.Webhook.construct_event(
            body, request.headers["stripe-signature"], self.secret
        )
        status = self.answers.pop(0) if self.answers else 200
        async with self.changed:
            if status == 200:
                self.events.append(event)
            else:
                self.refused += 1
            self.changed.notify_all()
        return Response(status_code=status)

    async def received(self, *types: str) -> None:
        await self.until(lambda: set(types) <= set(self.types))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self.changed:
            await self.changed.wait_for(condition)

    def about(self, event_type: str) -> stripe.Event:
        return next(event for event in self.events if event.type == event_type)


@dataclass
class Sandbox:
    """The sandbox as a caller sees it."""

    url: str
    keys: Keys
    http: httpx.AsyncClient
    transport: stripe.HTTPXClient

    def client(self, key: str | None = None, *, retries: int = 0) -> stripe.StripeClient:
        return stripe.StripeClient(
            key or self.keys.secret_key,
            base_addresses={"api": self.url},
            http_client=self.transport,
            max_network_retries=retries,
        )

    @property
    def stripe(self) -> stripe.StripeClient:
        return self.client()

    async def ask(self, path: str, /, **given: Any) -> Any:
        """POST to `/_sandbox`."""
        response = await self.http.post(f"{self.url}/_sandbox{path}", json=given)
        response.raise_for_status()
        return response.json()

    async def clear_faults(self) -> None:
        (await self.http.delete(f"{self.url}/_sandbox/faults")).raise_for_status()

    async def held_back(self, path_end: str) -> None:
        """Wait until a delayed call has come in."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(
                call["path"].endswith(path_end) and call.get("fault") == "delay"
                for call in (await self.look("/calls"))["data"]
            ):
                pass

    async def look(self, path: str) -> Any:
        response = await self.http.get(f"{self.url}/_sandbox{path}")
        response.raise_for_status()
        return response.json()

    async def intent(
        self, *, amount: int = 5000, currency: str = "eur", manual: bool = True
    ) -> Intent:
        return await self.stripe.v1.payment_intents.create_async(
            {
                "amount": amount,
                "currency": currency,
                "capture_method": "manual" if manual else "automatic",
                "automatic_payment_methods": {"enabled": True},
            }
        )

    async def confirm(self, intent: Intent, method: str = "pm_card_visa") -> Intent:
        return await self.stripe.v1.payment_intents.confirm_async(
            intent.id,
            {"payment_method": method, "return_url": "https://shop.example/back?order=1"},
        )

    async def authorized(self, method: str = "pm_card_visa", *, amount: int = 5000) -> Intent:
        return await self.confirm(await self.intent(amount=amount), method)

    async def paid(self, method: str = "pm_card_visa", *, amount: int = 5000) -> Intent:
        return await self.confirm(await self.intent(amount=amount, manual=False), method)

    async def reload(self, intent: Intent) -> Intent:
        return await self.stripe.v1.payment_intents.retrieve_async(
            intent.id, {"expand": ["latest_charge"]}
        )

    async def event_types(self) -> list[str]:
        """What happened so far, in order."""
        page = await self.stripe.v1.events.list_async({"limit": 100})
        return [event.type for event in reversed(page.data)]


@contextlib.asynccontextmanager
async def running(
    settings: SandboxSettings, transport: stripe.HTTPXClient, port: int | None = None
) -> AsyncIterator[Sandbox]:
    port = port or free_port()
    serving = asyncio.ensure_future(serve(settings, "127.0.0.1", port))
    try:
        await until_listening(port)
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as http:
            yield Sandbox(f"http://127.0.0.1:{port}", load_keys(settings), http, transport)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


def settings(data_dir: Path, webhook_url: str | None = None) -> SandboxSettings:
    """Nothing settles by itself before a test asks for it; failed webhooks come back quickly."""
    return SandboxSettings(
        data_dir=data_dir,
        webhook_url=webhook_url,
        settlement_delay=3600.0,
        webhook_first_retry=0.02,
        webhook_longest_retry=0.2,
        webhook_concurrency=1,
    )


def charge_of(intent: Intent) -> stripe.Charge:
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    return charge
