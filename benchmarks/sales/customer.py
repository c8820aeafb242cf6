"""A customer who buys a ticket: hold, order, pay. Whether it is paid is for others to see."""

import json
from typing import Any, Self
from urllib.parse import urlencode

from benchmarks.http_client import Connection, encode

CARD = "pm_card_visa"


class SaleFailed(Exception):
    """What went wrong with a purchase, in a word or two, to be counted."""


class Customer:
    """Two connections, one to the gateway and one to the Stripe sandbox, as a browser has."""

    def __init__(self, gateway: Connection, stripe: Connection, hold: bytes) -> None:
        self._gateway = gateway
        self._stripe = stripe
        self._hold = encode("POST", "/v1/holds", hold)

    @classmethod
    async def open(cls, url: str, stripe_url: str, hold: bytes) -> Self:
        """Connect; `hold` is the body that takes a ticket off sale. Raises OSError."""
        return cls(await Connection.open(url), await Connection.open(stripe_url), hold)

    @property
    def is_connected(self) -> bool:
        return self._gateway.is_open and self._stripe.is_open

    def close(self) -> None:
        self._gateway.close()
        self._stripe.close()

    async def buy(self, email: str) -> str:
        """Buy a ticket, and answer the order's id once Stripe has the money reserved.

        Raises:
            SaleFailed: a step was refused, or took too long.
        """
        held = await self._do(self._gateway, "hold", self._hold)
        person = {"email": email, "full_name": "Grace Guest"}
        body = json.dumps({"hold_id": held["id"], "customer": person}).encode()
        order = await self._do(self._gateway, "order", encode("POST", "/v1/orders", body))
        await self._confirm(order["payment"])
        return str(order["id"])

    async def _confirm(self, payment: dict[str, str]) -> None:
        """Pay with a test card, as Stripe.js does in the browser."""
        secret = payment["client_secret"]
        path = f"/v1/payment_intents/{secret.partition('_secret_')[0]}/confirm"
        form = urlencode({"client_secret": secret, "payment_method": CARD}).encode()
        headers = {
            "Authorization": f"Bearer {payment['publishable_key']}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        await self._do(self._stripe, "confirm", encode("POST", path, form, headers))

    async def _do(self, connection: Connection, step: str, request: bytes) -> dict[str, Any]:
        try:
            answer = await connection.send(request)
        except OSError as error:
            raise SaleFailed(f"{step}: {type(error).__name__}") from error
        if answer.status >= 300:
            raise SaleFailed(f"{step}: {answer.status}")
        found: dict[str, Any] = answer.json()
        return found
