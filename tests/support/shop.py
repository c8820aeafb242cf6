"""What organizers and customers do, in one call each: for tests that are about something else."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.mesh import LocalMesh, until

Json = dict[str, Any]


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True, slots=True)
class Shop:
    """An organizer with a signed-in admin."""

    mesh: LocalMesh
    email: str
    password: str
    session: Json
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def open(cls, mesh: LocalMesh) -> "Shop":
        """Register an organizer and sign in."""
        email, password = f"{secrets.token_hex(6)}@theatre.example", secrets.token_urlsafe(16)
        person = {"email": email, "password": password, "full_name": "Ada Admin"}
        answer = await mesh.http.post("/v1/users", json={"organizer_name": "Theatre", **person})
        assert answer.status_code == 201, answer.text
        credentials = {"email": email, "password": password}
        session = (await mesh.http.post("/v1/sessions", json=credentials)).json()
        return cls(mesh, email, password, session, bearer(session["access_token"]))

    async def event(
        self, *, price: str = "25.00", stock: int = 100, publish: bool = True, **changes: Any
    ) -> Json:
        """An event with one ticket type, on sale."""
        starts_at = datetime.now(UTC) + timedelta(days=30)
        event = await self.post(
            "/v1/events",
            {
                "title": "Hamlet",
                "location": "Main Street 1",
                "starts_at": starts_at.isoformat(),
                "ends_at": (starts_at + timedelta(hours=3)).isoformat(),
                "time_zone": "Europe/Vienna",
                "currency_code": "EUR",
                **changes,
            },
        )
        money = {"currency_code": event["currency_code"], "amount": price}
        stalls = {"name": "Stalls", "price": money, "total_stock": stock}
        await self.post(f"/v1/events/{event['id']}/ticket_types", stalls)
        path = f"/v1/events/{event['id']}"
        return await self.post(f"{path}:publish", {}) if publish else await self.get(path)

    async def get(self, path: str, **params: Any) -> Json:
        """Read something as the admin."""
        return _read(await self.mesh.http.get(path, headers=self.headers, params=params))

    async def post(self, path: str, body: Json) -> Json:
        """Do something as the admin."""
        return _read(await self.mesh.http.post(path, headers=self.headers, json=body))


async def hold(mesh: LocalMesh, event: Json, quantity: int = 1) -> Json:
    """Take tickets of an event's first type off sale."""
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": quantity}]
    return _read(await mesh.http.post("/v1/holds", json={"event_id": event["id"], "items": items}))


async def order(mesh: LocalMesh, held: Json, email: str = "grace@customer.example") -> Json:
    """Order what is held."""
    customer = {"email": email, "full_name": "Grace Guest"}
    body = {"hold_id": held["id"], "customer": customer}
    return _read(await mesh.http.post("/v1/orders", json=body))


async def pay(mesh: LocalMesh, ordered: Json, card: str = "pm_card_visa") -> httpx.Response:
    """Confirm the payment as the browser does."""
    payment = ordered["payment"]
    intent = payment["client_secret"].partition("_secret_")[0]
    return await mesh.stripe.post(
        f"/v1/payment_intents/{intent}/confirm",
        headers=bearer(payment["publishable_key"]),
        data={"client_secret": payment["client_secret"], "payment_method": card},
    )


async def read_order(mesh: LocalMesh, ordered: Json) -> Json:
    """The order as its customer sees it."""
    path = f"/v1/orders/{ordered['id']}"
    return _read(await mesh.http.get(path, headers=bearer(ordered["access_token"])))


async def order_in_state(mesh: LocalMesh, ordered: Json, *states: str) -> Json:
    """The order, once it is in one of these states."""

    async def look() -> Json | None:
        try:
            found = await read_order(mesh, ordered)
        except (httpx.TransportError, AssertionError):
            return None  # a part is being started again
        return found if found["state"] in states else None

    found = await until(look)
    assert found is not None
    return found


async def buy(mesh: LocalMesh, event: Json, quantity: int = 1) -> Json:
    """A whole purchase; the paid order, with its access token."""
    ordered = await order(mesh, await hold(mesh, event, quantity))
    assert (await pay(mesh, ordered)).status_code == 200
    paid = await order_in_state(mesh, ordered, "PAID")
    return {**paid, "access_token": ordered["access_token"]}


def _read(answer: httpx.Response) -> Json:
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    found: Json = answer.json()
    return found
