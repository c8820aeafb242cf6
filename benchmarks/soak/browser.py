"""A customer's browser: it talks to the gateway and to Stripe, and asks again what got lost."""

import asyncio
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from benchmarks.http_client import Answer, Connection, encode
from benchmarks.mesh import BenchmarkFailed

BUSY = frozenset({502, 503, 504})
OVER = 400  # Stripe's answer about a payment that is over, or confirmed already
_PATIENCE_S = 120
_PAUSE_S = 0.2
_FORM = "application/x-www-form-urlencoded"
Json = dict[str, Any]


class Refused(Exception):
    """What was asked for is not to be had: the reason, in the gateway's words."""


@dataclass(slots=True)
class Browser:
    """For all customers; connections are kept for whoever comes next."""

    url: str
    stripe_url: str
    _idle: defaultdict[str, list[Connection]] = field(default_factory=lambda: defaultdict(list))

    async def post(self, path: str, body: Mapping[str, Any], token: str = "") -> Json:
        """What the gateway answers, asked again with the same key while it is busy.

        Raises:
            Refused: it will not do that.
        """
        headers = {"Idempotency-Key": secrets.token_hex(12)}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = encode("POST", path, json.dumps(body).encode(), headers)
        return _read(await self._patiently(self.url, request))

    async def payable(self, ordered: Mapping[str, Any]) -> Json:
        """The order's payment, once Stripe knows of it: in a rush, or trouble, that takes a while.

        Raises:
            Refused: it needs none any more.
        """
        payment: Json = ordered["payment"]
        deadline = time.monotonic() + _PATIENCE_S
        headers = {"Authorization": f"Bearer {ordered['access_token']}"}
        request = encode("GET", f"/v1/orders/{ordered['id']}", b"", headers)
        while not payment.get("client_secret"):
            if time.monotonic() > deadline:
                raise Refused("NOT_PREPARED")
            await asyncio.sleep(_PAUSE_S)
            found = _read(await self._patiently(self.url, request))
            if found["state"] != "PENDING":
                raise Refused(found["state"])
            payment = found["payment"]
        return payment

    async def confirm(self, payment: Mapping[str, str], method: str, **params: str) -> int:
        """Pay, as Stripe.js does; answers the status: `OVER` after an answer that was lost."""
        given = {"client_secret": payment["client_secret"], "payment_method": method, **params}
        headers = {
            "Authorization": f"Bearer {payment['publishable_key']}",
            "Content-Type": _FORM,
        }
        path = f"/v1/payment_intents/{intent_of(payment)}/confirm"
        request = encode("POST", path, urlencode(given).encode(), headers)
        return (await self._patiently(self.stripe_url, request)).status

    async def authenticate(self, payment: Mapping[str, str]) -> int:
        """Agree to the payment at the bank."""
        return await self.sandbox(f"/payment_intents/{intent_of(payment)}/authentication")

    async def sandbox(self, path: str, /, **given: Any) -> int:
        """Tell the sandbox what is to happen."""
        request = encode("POST", f"/_sandbox{path}", json.dumps(given).encode())
        return (await self._patiently(self.stripe_url, request)).status

    async def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        await self._patiently(self.stripe_url, encode("DELETE", "/_sandbox/faults"))

    def close(self) -> None:
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    async def _patiently(self, base: str, request: bytes) -> Answer:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                answer = await self._ask(base, request)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BenchmarkFailed(f"No answer from {base}: {error!r}") from error
            else:
                if answer.status not in BUSY or time.monotonic() > deadline:
                    return answer
            await asyncio.sleep(_PAUSE_S)

    async def _ask(self, base: str, request: bytes) -> Answer:
        idle = self._idle[base]
        connection = idle.pop() if idle else await Connection.open(base)
        try:
            answer = await connection.send(request)
        except BaseException:
            connection.close()
            raise
        idle.append(connection)
        return answer


def _read(answer: Answer) -> Json:
    found: Json = answer.json()
    if answer.status >= 300:
        raise Refused(found.get("reason", str(answer.status)))
    return found


def intent_of(payment: Mapping[str, str]) -> str:
    return payment["client_secret"].partition("_secret_")[0]


async def order(browser: Browser, hold: Mapping[str, Any], email: str) -> Json:
    """Order what is held. Raises Refused."""
    customer = {"email": email, "full_name": "Grace Guest"}
    return await browser.post("/v1/orders", {"hold_id": hold["id"], "customer": customer})
