"""What organizers and customers do, in one call each: for tests that are about something else."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from tests.support.invariants import assert_invariants, broken_money, undelivered, unsettled
from tests.support.mesh import LocalMesh, until

Json = dict[str, Any]


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


async def sign_in(mesh: LocalMesh, email: str, password: str) -> dict[str, str]:
    """Sign in: the headers that this user sends."""
    credentials = {"email": email, "password": password}
    return bearer(read(await mesh.http.post("/v1/sessions", json=credentials))["access_token"])


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
        session = read(await mesh.http.post("/v1/sessions", json=credentials))
        return cls(mesh, email, password, session, bearer(session["access_token"]))

    async def staff(self) -> dict[str, str]:
        """A member of staff, signed in: the headers that they send."""
        email, password = f"{secrets.token_hex(6)}@theatre.example", secrets.token_urlsafe(16)
        person = {"email": email, "password": password, "full_name": "Sam Staff", "role": "STAFF"}
        await self.post("/v1/members", person)
        return await sign_in(self.mesh, email, password)

    async def event(
        self, *, price: str = "25.00", stock: int = 100, publish: bool = True, **changes: Any
    ) -> Json:
        """An event with one ticket type, on sale."""
        event = await self.post("/v1/events", hamlet(**changes))
        stalls = ticket_type(price, event["currency_code"], total_stock=stock)
        await self.post(f"/v1/events/{event['id']}/ticket_types", stalls)
        path = f"/v1/events/{event['id']}"
        return await self.post(f"{path}:publish", {}) if publish else await self.get(path)

    async def get(self, path: str, **params: Any) -> Json:
        """Read something as the admin."""
        return read(await self.mesh.http.get(path, headers=self.headers, params=params))

    async def remaining(self, event: Json) -> int:
        """How many tickets of an event's first type are left: now, not a moment ago.

        What everybody sees is kept for a second; an admin always sees what is so.
        """
        shown = await self.get(f"/v1/events/{event['id']}")
        return int(shown["ticket_types"][0]["remaining"])

    async def post(self, path: str, body: Json) -> Json:
        """Do something as the admin."""
        return read(await self.mesh.http.post(path, headers=self.headers, json=body))


def hamlet(**changes: Any) -> Json:
    """What creates an event, in thirty days."""
    starts_at = datetime.now(UTC) + timedelta(days=30)
    return {
        "title": "Hamlet",
        "location": "Main Street 1",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=3)).isoformat(),
        "time_zone": "Europe/Vienna",
        "currency_code": "EUR",
        **changes,
    }


def ticket_type(amount: str = "25.00", currency_code: str = "EUR", **changes: Any) -> Json:
    """What creates a ticket type."""
    price = {"currency_code": currency_code, "amount": amount}
    return {"name": "Stalls", "price": price, "total_stock": 100, **changes}


async def hold(mesh: LocalMesh, event: Json, quantity: int = 1) -> Json:
    """Take tickets of an event's first type off sale."""
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": quantity}]
    return read(await mesh.http.post("/v1/holds", json={"event_id": event["id"], "items": items}))


async def order(mesh: LocalMesh, held: Json, email: str = "grace@customer.example") -> Json:
    """Order what is held."""
    customer = {"email": email, "full_name": "Grace Guest"}
    body = {"hold_id": held["id"], "customer": customer}
    return read(await mesh.http.post("/v1/orders", json=body))


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
    return read(await mesh.http.get(path, headers=bearer(ordered["access_token"])))


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


def read(answer: httpx.Response) -> Json:
    """The content of a successful answer."""
    assert answer.is_success, f"{answer.status_code} {answer.text}"
    found: Json = answer.json()
    return found


async def patiently(
    mesh: LocalMesh, path: str, body: Json, headers: dict[str, str] | None = None
) -> Json:
    """Post again and again, as a client does that reads `Retry-After`, until it is done."""

    async def attempt() -> httpx.Response | None:
        try:
            answer = await mesh.http.post(path, json=body, headers=headers)
        except httpx.TransportError:
            return None
        return None if answer.status_code in {502, 503, 504} else answer

    answer = await until(attempt)
    assert answer is not None
    return read(answer)


async def assert_all_is_well(mesh: LocalMesh) -> None:
    """Once nothing is left to do, all that must always hold holds; Stripe is asked too."""

    async def left() -> bool:
        url = mesh.database_url
        late = [await undelivered(url, area) for area in ("payment", "ticket")]
        return not await unsettled(url) and not any(late)

    await until(left, timeout_s=90)
    secret_key = mesh.stripe.headers["Authorization"].removeprefix("Bearer ")
    assert await broken_money(mesh.database_url, str(mesh.stripe.base_url), secret_key) == []
    await assert_invariants(mesh.database_url)


def refused(answer: httpx.Response, status: int, reason: str, *fields: str) -> Json:
    """The problem (RFC 9457) of a refusal that blames these fields, once sure that it is one."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem: Json = answer.json()
    assert (answer.status_code, problem["reason"]) == (status, reason), problem
    assert problem["status"] == status
    assert problem["type"] == f"/docs#{reason}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.headers["x-request-id"]
    if fields:
        assert {error["field"] for error in problem["errors"]} == set(fields), problem
    return problem
