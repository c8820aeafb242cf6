"""Sends signed webhooks until they are accepted: https://docs.stripe.com/webhooks."""

import asyncio
import hashlib
import hmac
import time
from typing import Literal

import orjson

from deploy.local.stripe_sandbox import deliveries
from deploy.local.stripe_sandbox.alarm import Alarm
from deploy.local.stripe_sandbox.deliveries import Delivery, Endpoint
from deploy.local.stripe_sandbox.errors import JsonObject
from deploy.local.stripe_sandbox.poster import FAILURES, Poster
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
        self._poster = Poster(settings.webhook_timeout)
        self._was_unreachable = False
        self.alarm = Alarm()

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        with self._store.transaction() as tx:
            deliveries.forget_delivered(tx)
            deliveries.release(tx)
            deliveries.retry_all_now(tx)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    self._start_due(group)
                    await self.alarm.wait(self._seconds_to_next())
        finally:
            self._sending.clear()
            self._poster.close()

    def _start_due(self, group: asyncio.TaskGroup) -> None:
        free = self._settings.webhook_concurrency - len(self._sending)
        if free <= 0:
            return
        for delivery in deliveries.due(self._store.reading(), self._sending, free):
            self._sending[delivery.id] = group.create_task(self._send_one(delivery))

    def _seconds_to_next(self) -> float | None:
        """Those due now and not yet being sent wait for a free place, whose end rings the alarm."""
        due = deliveries.next_due(self._store.reading())
        return None if due is None else due - self._store.now()

    async def _send_one(self, delivery: Delivery) -> None:
        try:
            await self._send(delivery)
        finally:
            self._sending.pop(delivery.id, None)
            self.alarm.ring()

    async def deliver_held(self, order: Order) -> list[JsonObject]:
        """Send what is held now, one after the other, once; what fails is retried later."""
        held = deliveries.held(self._store.reading())
        held = held[::-1] if order == "reverse" else held
        outcomes: list[JsonObject] = [
            {"event": delivery.event, "error": await self._send(delivery)} for delivery in held
        ]
        self.alarm.ring()
        return outcomes

    async def _send(self, delivery: Delivery) -> str | None:
        """Try once and record what came of it; answers the error, if any."""
        endpoint = deliveries.endpoint(self._store.reading())
        error = await self._post(endpoint, delivery)
        with self._store.transaction() as tx:
            if error is None:
                deliveries.record_success(tx, delivery)
                if self._was_unreachable:
                    deliveries.hurry(tx)
                self._was_unreachable = False
            else:
                deliveries.record_failure(tx, delivery, error, self._retry_at(delivery))
                self._was_unreachable |= error.startswith(deliveries.UNREACHABLE)
        return error

    async def _post(self, endpoint: Endpoint, delivery: Delivery) -> str | None:
        if endpoint.url is None:
            return f"{deliveries.UNREACHABLE}: no endpoint is set"
        body = orjson.dumps(orjson.loads(delivery.body), option=orjson.OPT_INDENT_2)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(body, endpoint.secret, int(time.time())),
        }
        try:
            status = await self._poster.post(endpoint.url, body, headers)
        except FAILURES as error:
            return f"{deliveries.UNREACHABLE}: {type(error).__name__}"
        return None if 200 <= status < 300 else f"answered {status}"

    def _retry_at(self, delivery: Delivery) -> float | None:
        if delivery.attempts + 1 >= self._settings.webhook_max_attempts:
            return None
        # 2**30 first retries are longer than any longest one; more would only overflow.
        delay = self._settings.webhook_first_retry * 2.0 ** min(delivery.attempts, 30)
        return self._store.now() + min(delay, self._settings.webhook_longest_retry)
