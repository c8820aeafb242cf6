"""An organizer with something to sell."""

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.mesh import Mesh

STOCK = 1_000_000  # the most a ticket type can have: no measure sells out


@dataclass(frozen=True, slots=True)
class Event:
    """A published event with one ticket type."""

    id: str
    ticket_type_id: str

    def request(self, quantity: int = 1) -> dict[str, Any]:
        """What takes so many tickets off sale."""
        items = [{"ticket_type_id": self.ticket_type_id, "quantity": quantity}]
        return {"event_id": self.id, "items": items}

    def hold(self, quantity: int = 1) -> bytes:
        """The same, as it is sent."""
        return json.dumps(self.request(quantity)).encode()


async def open_shop(mesh: Mesh) -> str:
    """Register an organizer; the answer is its admin's access token."""
    credentials = {
        "email": f"{secrets.token_hex(6)}@theatre.example",
        "password": secrets.token_urlsafe(16),
    }
    person = {"organizer_name": "Theatre", "full_name": "Ada Admin", **credentials}
    await mesh.call("POST", "/v1/users", person)
    session = await mesh.call("POST", "/v1/sessions", credentials)
    return str(session["access_token"])


async def publish_event(mesh: Mesh, token: str, stock: int = STOCK) -> Event:
    """An event that nobody has bought anything of."""
    starts_at = datetime.now(UTC) + timedelta(days=30)
    body = {
        "title": "Hamlet",
        "location": "Main Street 1",
        "starts_at": starts_at.isoformat(),
        "ends_at": (starts_at + timedelta(hours=3)).isoformat(),
        "time_zone": "Europe/Vienna",
        "currency_code": "EUR",
    }
    event = await mesh.call("POST", "/v1/events", body, token)
    price = {"currency_code": "EUR", "amount": "25.00"}
    stalls = {"name": "Stalls", "price": price, "total_stock": stock}
    path = f"/v1/events/{event['id']}"
    ticket_type = await mesh.call("POST", f"{path}/ticket_types", stalls, token)
    await mesh.call("POST", f"{path}:publish", {}, token)
    return Event(event["id"], ticket_type["id"])
