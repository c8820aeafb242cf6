"""Sends signed webhooks until they are accepted: https://docs.stripe.com/webhooks."""

import asyncio
import hashlib
import hmac
import json
import time
from typing import Literal

import httpx

from deploy.local.stripe_sandbox import deliveries
from deploy.local.stripe_sandbox.alarm import Alarm
from deploy.local.stripe_sandbox.deliveries import Delivery, Endpoint
from deploy.local.stripe_sandbox.errors import JsonObject
from deploy.local.stripe_sandbox.rendering import public
from deploy.local.stripe_sandbox.settings import SandboxSettings
from deploy.local.stripe_sandbox.store import Store

Order = Literal["forward", "reverse"]


def signature(body: bytes, secret: str, timestamp: int) -> str:
    """The `Stripe-Signature` header: https://docs.stripe.com/webhooks#verify-manually."""
    signed = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


class WebhookSender:
    """Several at a time and in no promised order, like Stripe; idle while nothing is due.

    A delivery under way when the process dies is sent again: webhooks come at least once.
    """

    def __init__(self, store: Store, settings: SandboxSettings) -> None:
        self._store = store
        self._settings = settings
        self._sending: dict[int, asyncio.Task[None]] = {}
        self.alarm = Alarm()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        with self._store.transaction() as tx:
            deliveries.forget_delivered(tx)
            deliveries.release(tx)
            deliveries.retry_all_now(tx)
        try:
            async with self._client() as client, asyncio.TaskGroup() as group:
                while True:
                    self._start_due(client, group)
                    await self.alarm.wait(self._seconds_to_next())
        finally:
            self._sending.clear()

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=self._settings.webhook_timeout, trust_env=False)

    def _start_due(self, client: httpx.AsyncClient, group: asyncio.TaskGroup) -> None:
        free = self._settings.webhook_concurrency - len(self._sending)
        if free <= 0:
            return
        with self._store.transaction() as tx:
            found = deliveries.due(tx, self._sending, free)
        for delivery in found:
            self._sending[delivery.id] = group.create_task(self._send_one(client, delivery))

    def _seconds_to_next(self) -> float | None:
        """Those due now and not yet being sent wait for a free place, whose end rings the alarm."""
        with self._store.transaction() as tx:
            due = deliveries.next_due(tx)
        return None if due is None else due - self._store.now()

    async def _send_one(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        try:
            await self._send(client, delivery)
        finally:
            self._sending.pop(delivery.id, None)
            self.alarm.ring()

    async def deliver_held(self, order: Order) -> list[JsonObject]:
        """Send what is held now, one after the other, once; what fails is retried later."""
        with self._store.transaction() as tx:
            held = deliveries.held(tx)
        held = held[::-1] if order == "reverse" else held
        async with self._client() as client:
            outcomes = [
                {"event": delivery.event, "error": await self._send(client, delivery)}
                for delivery in held
            ]
        self.alarm.ring()
        return outcomes

    async def _send(self, client: httpx.AsyncClient, delivery: Delivery) -> str | None:
        """Try once and record what came of it; answers the error, if any."""
        with self._store.transaction() as tx:
            endpoint = deliveries.endpoint(tx)
            event = tx.get("event", delivery.event)
        assert event is not None
        error = await self._post(client, endpoint, event)
        with self._store.transaction() as tx:
            if error is None:
                deliveries.record_success(tx, delivery)
            else:
                deliveries.record_failure(tx, delivery, error, self._retry_at(delivery))
        return error

    async def _post(
        self, client: httpx.AsyncClient, endpoint: Endpoint, event: JsonObject
    ) -> str | None:
        if endpoint.url is None:
            return "unreachable: no endpoint is set"
        body = json.dumps(public(event), indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint.secret, int(time.time())),
        }
        try:
            async with client.stream(
                "POST", endpoint.url, content=body, headers=headers
            ) as response:
                status = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"unreachable: {type(error).__name__}"
        return None if 200 <= status < 300 else f"answered {status}"

    def _retry_at(self, delivery: Delivery) -> float | None:
        if delivery.attempts + 1 >= self._settings.webhook_max_attempts:
            return None
        # 2**30 first retries are longer than any longest one; more would only overflow.
        delay = self._settings.webhook_first_retry * 2.0 ** min(delivery.attempts, 30)
        return self._store.now() + min(delay, self._settings.webhook_longest_retry)
