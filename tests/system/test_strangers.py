"""Whoever is not allowed gets no further: 401 without a good token, 403 in the wrong role, and 404
for everything that is somebody else's.
"""

import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit import auth
from kit.database import Database, service_url
from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, bearer, hamlet, refused, sign_in, ticket_type
from user_service.sealing import Seal
from user_service.signing_keys import store as signing_keys


class Forger:
    """Mints tokens with the mesh's own signing key, taken from its database, or with another."""

    def __init__(self, key: Ed25519PrivateKey, key_id: str, claims: Json) -> None:
        self.key, self._key_id, self._claims = key, key_id, claims

    def mint(
        self,
        *,
        key: Any = None,
        algorithm: str = auth.ALGORITHM,
        headers: Json | None = None,
        **claims: Any,
    ) -> str:
        """The admin's token, as user_service makes it, but for what is changed."""
        header = {"typ": auth.TOKEN_TYPE, "kid": self._key_id, **(headers or {})}
        payload = {n: v for n, v in {**self._claims, **claims}.items() if v is not None}
        return jwt.encode(payload, self.key if key is None else key, algorithm, headers=header)


@pytest.fixture(scope="module")
async def forger(organizer: Shop) -> Forger:
    database = Database(service_url(organizer.mesh.database_url, "user"))
    async with database.begin() as tx:
        current = await signing_keys.read_current(tx)
    await database.close()
    seal = Seal(organizer.mesh.secrets()["secret_key"].encode())
    private = Ed25519PrivateKey.from_private_bytes(
        seal.open(current.sealed_private_key, current.id)
    )
    token = organizer.session["access_token"]
    return Forger(private, current.id, jwt.decode(token, options={"verify_signature": False}))


async def _me(mesh: LocalMesh, token: str) -> httpx.Response:
    return await mesh.http.get("/v1/users/me", headers=bearer(token))


def _altered(token: str, **claims: Any) -> str:
    header, payload, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps({**content, **claims}).encode())
    return f"{header}.{changed.decode().rstrip('=')}.{signature}"


async def test_a_token_like_user_services_own_is_good(mesh: LocalMesh, forger: Forger) -> None:
    """So that the refusals below are for what each changes, and for nothing else."""
    assert (await _me(mesh, forger.mint())).status_code == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": 1}, "TOKEN_EXPIRED"),
        ({"exp": int(time.time()) - 60}, "TOKEN_EXPIRED"),
        ({"exp": None}, "INVALID_TOKEN"),
        ({"aud": "another"}, "INVALID_TOKEN"),
        ({"aud": None}, "INVALID_TOKEN"),
        ({"iss": "another"}, "INVALID_TOKEN"),
        ({"sub": None}, "INVALID_TOKEN"),
        ({"role": "EMPEROR"}, "INVALID_TOKEN"),
        ({"nbf": int(time.time()) + 3600}, "INVALID_TOKEN"),
        ({"headers": {"typ": "JWT"}}, "INVALID_TOKEN"),
        ({"headers": {"kid": "another"}}, "INVALID_TOKEN"),
        ({"key": Ed25519PrivateKey.generate()}, "INVALID_TOKEN"),
        ({"key": "", "algorithm": "none"}, "INVALID_TOKEN"),
        ({"key": "a secret that everybody knows, sadly", "algorithm": "HS256"}, "INVALID_TOKEN"),
    ],
)
async def test_a_token_that_is_wrong_in_one_thing_is_refused(
    mesh: LocalMesh, forger: Forger, changes: Json, reason: str
) -> None:
    answer = await _me(mesh, forger.mint(**changes))
    refused(answer, 401, reason)
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(
    mesh: LocalMesh, forger: Forger
) -> None:
    public = forger.key.public_key().public_bytes_raw()
    refused(await _me(mesh, forger.mint(key=public, algorithm="HS256")), 401, "INVALID_TOKEN")


async def test_an_altered_token_is_refused_everywhere(organizer: Shop) -> None:
    token = _altered(organizer.session["access_token"], role="SUPERADMIN")
    http = organizer.mesh.http
    for method, path in (
        ("GET", "/v1/users"),
        ("GET", "/v1/events"),  # for anyone; but who says who they are must prove it
        ("POST", "/v1/holds"),
        ("POST", "/v1/check_ins"),
        ("GET", "/v1/orders"),
        ("GET", "/v1/notifications"),
    ):
        answer = await http.request(method, path, headers=bearer(token))
        refused(answer, 401, "INVALID_TOKEN")


@pytest.mark.parametrize("value", ["Bearer", "Bearer a b", "Basic YTpi", "Bearer ..", "token"])
async def test_an_authorization_that_is_no_bearer_token_is_refused(
    mesh: LocalMesh, value: str
) -> None:
    answer = await mesh.http.get("/v1/users/me", headers={"Authorization": value})
    refused(answer, 401, "INVALID_TOKEN")


async def test_without_a_token_nothing_of_an_organizers_is_shown(mesh: LocalMesh) -> None:
    for method, path in (
        ("GET", "/v1/users/me"),
        ("GET", "/v1/users"),
        ("GET", "/v1/members"),
        ("POST", "/v1/events"),
        ("PATCH", "/v1/events/evt_1"),
        ("GET", "/v1/orders"),
        ("GET", "/v1/orders/ord_1"),
        ("POST", "/v1/check_ins"),
        ("GET", "/v1/events/evt_1/insights"),
        ("GET", "/v1/notifications"),
        ("POST", "/v1/tokens:introspect"),
        ("DELETE", "/v1/sessions/current"),
    ):
        refused(await mesh.http.request(method, path), 401, "TOKEN_MISSING")


async def test_a_session_that_was_signed_out_refreshes_no_more(mesh: LocalMesh) -> None:
    left = await Shop.open(mesh)
    gone = await mesh.http.delete("/v1/sessions/current", headers=left.headers)
    assert gone.status_code == 204
    body = {"refresh_token": left.session["refresh_token"]}
    refused(await mesh.http.post("/v1/sessions:refresh", json=body), 401, "INVALID_REFRESH_TOKEN")


async def test_a_refresh_token_used_twice_ends_the_session(mesh: LocalMesh) -> None:
    robbed = await Shop.open(mesh)
    old = {"refresh_token": robbed.session["refresh_token"]}
    new = shop.read(await mesh.http.post("/v1/sessions:refresh", json=old))
    for stale in (old, {"refresh_token": new["refresh_token"]}):
        answer = await mesh.http.post("/v1/sessions:refresh", json=stale)
        refused(answer, 401, "INVALID_REFRESH_TOKEN")


async def test_wrong_credentials_do_not_tell_whether_the_user_exists(organizer: Shop) -> None:
    answers = []
    for email in (organizer.email, "nobody@theatre.example"):
        body = {"email": email, "password": "a wrong password"}
        answer = await organizer.mesh.http.post("/v1/sessions", json=body)
        problem = refused(answer, 401, "WRONG_CREDENTIALS")
        answers.append({n: v for n, v in problem.items() if n != "instance"})
    assert answers[0] == answers[1]


async def test_staff_work_at_the_door_and_nowhere_else(organizer: Shop, event: Json) -> None:
    http, staff = organizer.mesh.http, await organizer.staff()
    answer = await http.post("/v1/check_ins", json={"ticket_code": "nothing"}, headers=staff)
    assert answer.json()["reason"] == "UNKNOWN_TICKET"
    path = f"/v1/events/{event['id']}"
    for method, where, body in (
        ("POST", "/v1/events", hamlet()),
        ("PATCH", path, {"title": "Mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}:cancel", {}),
        ("POST", f"{path}/ticket_types", ticket_type()),
        ("GET", f"{path}/insights", None),
        ("GET", "/v1/orders", None),
        ("GET", "/v1/notifications", None),
        ("GET", "/v1/members", None),
        ("POST", "/v1/members", {"role": "ADMIN"}),
        ("GET", "/v1/users", None),
    ):
        refused(
            await http.request(method, where, json=body, headers=staff), 403, "ROLE_NOT_ALLOWED"
        )


async def test_an_admin_does_not_run_the_installation(organizer: Shop) -> None:
    for path in ("/v1/users", f"/v1/users/{organizer.session['user']['id']}"):
        answer = await organizer.mesh.http.get(path, headers=organizer.headers)
        refused(answer, 403, "ROLE_NOT_ALLOWED")


async def test_the_superadmin_sees_every_user_and_owns_no_event(
    mesh: LocalMesh, organizer: Shop
) -> None:
    password = mesh.secrets()["superadmin_password"]
    headers = await sign_in(mesh, "admin@tessera.example", password)
    user = f"/v1/users/{organizer.session['user']['id']}"
    assert (await mesh.http.get(user, headers=headers)).json()["email"] == organizer.email
    missing = await mesh.http.get("/v1/users/usr_unknown", headers=headers)
    refused(missing, 404, "USER_NOT_FOUND")
    answer = await mesh.http.post("/v1/events", json=hamlet(), headers=headers)
    refused(answer, 403, "ROLE_NOT_ALLOWED")


async def test_what_is_someone_elses_is_not_found(organizer: Shop) -> None:
    mesh, other = organizer.mesh, await Shop.open(organizer.mesh)
    event = await organizer.event(publish=False)
    path = f"/v1/events/{event['id']}"
    kind = f"{path}/ticket_types/{event['ticket_types'][0]['id']}"
    for method, where, body in (
        ("GET", path, None),
        ("GET", f"{path}/ticket_types", None),
        ("GET", kind, None),
        ("PATCH", path, {"title": "Mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}:publish", {}),
        ("POST", f"{path}:unpublish", {}),
        ("POST", f"{path}:cancel", {}),
        ("POST", f"{path}/ticket_types", ticket_type()),
        ("PATCH", kind, {"name": "Mine"}),
        ("DELETE", kind, None),
        ("GET", f"{path}/insights", None),
    ):
        answer = await mesh.http.request(method, where, json=body, headers=other.headers)
        refused(answer, 404, "EVENT_NOT_FOUND")
    assert (await organizer.get(path))["version"] == event["version"]


async def test_what_someone_else_sold_is_not_found(organizer: Shop, event: Json) -> None:
    mesh, other = organizer.mesh, await Shop.open(organizer.mesh)
    paid = await shop.buy(mesh, event)
    path = f"/v1/orders/{paid['id']}"
    for method, where in (
        ("GET", path),
        ("POST", f"{path}:cancel"),
        ("GET", f"{path}/payments"),
        ("GET", f"{path}/tickets"),
        ("GET", f"{path}/tickets.pdf"),
    ):
        answer = await mesh.http.request(method, where, headers=other.headers)
        refused(answer, 404, "ORDER_NOT_FOUND")
    assert (await other.get("/v1/orders", event_id=event["id"]))["orders"] == []

    async def logged() -> list[Json]:
        found = await organizer.get("/v1/notifications", order_id=paid["id"])
        return list(found["notifications"])

    mail = (await until(logged))[0]
    assert (await other.get("/v1/notifications", order_id=paid["id"]))["notifications"] == []
    resend = f"/v1/notifications/{mail['id']}:resend"
    refused(await mesh.http.post(resend, headers=other.headers), 404, "NOTIFICATION_NOT_FOUND")
    ticket = (await organizer.get(f"{path}/tickets"))["tickets"][0]
    scanned = await other.post("/v1/check_ins", {"ticket_code": ticket["code"]})
    assert (scanned["result"], scanned["reason"]) == ("REJECTED", "UNKNOWN_TICKET")
    assert "ticket" not in scanned


async def test_an_orders_token_opens_that_order_only(mesh: LocalMesh, event: Json) -> None:
    mine = await shop.order(mesh, await shop.hold(mesh, event))
    other = await shop.order(mesh, await shop.hold(mesh, event))
    path, token = f"/v1/orders/{mine['id']}", other["access_token"]
    for method, where in (
        ("GET", path),
        ("POST", f"{path}:cancel"),
        ("GET", f"{path}/payments"),
        ("POST", f"{path}/payments"),
        ("GET", f"{path}/tickets"),
        ("GET", f"{path}/tickets.pdf"),
        ("POST", f"{path}/tickets/tkt_1:rename"),
        ("POST", f"{path}/tickets/tkt_1:transfer"),
    ):
        answer = await mesh.http.request(method, where, headers=bearer(token))
        refused(answer, 404, "ORDER_NOT_FOUND")
    for forged in (
        mine["access_token"][:-1] + ("A" if mine["access_token"][-1] != "A" else "B"),
        token.replace(other["id"], mine["id"]),
        f"ordtok_{mine['id']}.",
        f"ordtok_{mine['id']}",
        "ordtok_",
    ):
        refused(await mesh.http.get(path, headers=bearer(forged)), 401, "INVALID_TOKEN")
    for where in ("/v1/users/me", "/v1/orders", "/v1/notifications"):
        answer = await mesh.http.get(where, headers=bearer(mine["access_token"]))
        refused(answer, 401, "INVALID_TOKEN")
    assert (await shop.read_order(mesh, mine))["state"] == "PENDING"
