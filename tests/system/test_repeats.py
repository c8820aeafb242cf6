"""The same thing sent again has one effect, and another thing under the same name is refused."""

import asyncio
import json
import secrets
import time
from typing import Any

import httpx
import pytest

from deploy.local.stripe_sandbox.webhooks import signature
from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, bearer, hamlet, refused, ticket_type

AT_ONCE = 10


def _key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


def _hold_body(event: Json, quantity: int = 1) -> Json:
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": quantity}]
    return {"event_id": event["id"], "items": items}


def _order_body(held: Json, name: str = "Grace Guest") -> Json:
    return {"hold_id": held["id"], "customer": {"email": "g@customer.example", "full_name": name}}


async def _assert_replayed(
    http: httpx.AsyncClient, path: str, body: Json, other: Json, **headers: str
) -> Json:
    """Send twice with one key, then something else with the same key; answers the first answer."""
    sent = {**headers, **_key()}
    first, again = [await http.post(path, json=body, headers=sent) for _ in range(2)]
    assert first.is_success, first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    refused(await http.post(path, json=other, headers=sent), 422, "IDEMPOTENCY_KEY_REUSED")
    third = await http.post(path, json=body, headers=sent)
    assert third.content == first.content
    found: Json = first.json()
    return found


async def test_a_hold_sent_again_is_the_same_hold(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event(stock=10)
    body, other = _hold_body(event, 2), _hold_body(event, 3)
    await _assert_replayed(mesh.http, "/v1/holds", body, other)
    assert await organizer.remaining(event) == 8


async def test_an_order_sent_again_is_the_same_order(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event()
    held = await shop.hold(mesh, event)
    body, other = _order_body(held), _order_body(held, "Eve Else")
    ordered = await _assert_replayed(mesh.http, "/v1/orders", body, other)
    listed = await organizer.get("/v1/orders", event_id=event["id"])
    assert [order["id"] for order in listed["orders"]] == [ordered["id"]]


async def test_what_an_admin_sends_again_is_done_once(organizer: Shop) -> None:
    http, headers = organizer.mesh.http, organizer.headers
    created = await _assert_replayed(
        http, "/v1/events", hamlet(title="Once"), hamlet(title="Twice"), **headers
    )
    listed = await organizer.get("/v1/events", query="Once", organizer_id=created["organizer_id"])
    assert len(listed["events"]) == 1
    path = f"/v1/events/{created['id']}/ticket_types"
    await _assert_replayed(http, path, ticket_type(), ticket_type("30.00"), **headers)
    assert len((await organizer.get(path))["ticket_types"]) == 1


async def test_a_registration_sent_again_is_the_same_user(mesh: LocalMesh) -> None:
    email = f"{secrets.token_hex(6)}@theatre.example"
    body = {"organizer_name": "T", "email": email, "password": "long enough", "full_name": "A"}
    await _assert_replayed(mesh.http, "/v1/users", body, {**body, "password": "another one"})
    refused(await mesh.http.post("/v1/users", json=body), 409, "EMAIL_TAKEN")


async def test_a_key_is_its_callers_own(mesh: LocalMesh, organizer: Shop) -> None:
    other, key = await Shop.open(mesh), _key()
    made = [
        shop.read(await mesh.http.post("/v1/events", json=hamlet(), headers={**who.headers, **key}))
        for who in (organizer, other)
    ]
    assert made[0]["id"] != made[1]["id"]
    assert made[0]["organizer_id"] != made[1]["organizer_id"]


async def test_a_refused_request_leaves_its_key_unused(organizer: Shop) -> None:
    mesh, event, key = organizer.mesh, await organizer.event(stock=1), _key()
    held = await shop.hold(mesh, event)
    body = _hold_body(event)
    refused(await mesh.http.post("/v1/holds", json=body, headers=key), 409, "SOLD_OUT")
    await mesh.http.delete(f"/v1/holds/{held['id']}")
    assert (await mesh.http.post("/v1/holds", json=body, headers=key)).status_code == 201


@pytest.mark.parametrize("value", [b"x" * 256, "clé".encode()])
async def test_a_key_that_is_too_long_or_no_text_is_refused(
    mesh: LocalMesh, event: Json, value: bytes
) -> None:
    headers = {b"Idempotency-Key": value}
    answer = await mesh.http.post("/v1/holds", json=_hold_body(event), headers=headers)
    refused(answer, 400, "INVALID_REQUEST")


async def test_one_key_in_ten_requests_at_once_has_one_effect(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event(stock=10)
    held = await shop.hold(mesh, await organizer.event())
    for path, body, headers in (
        ("/v1/holds", _hold_body(event), {}),
        ("/v1/orders", _order_body(held), {}),
        ("/v1/events", hamlet(title="At once"), organizer.headers),
    ):
        sent: Any = {**headers, **_key()}
        answers = await asyncio.gather(
            *(mesh.http.post(path, json=body, headers=sent) for _ in range(AT_ONCE))
        )
        made = {answer.json()["id"] for answer in answers if answer.is_success}
        assert len(made) == 1, [answer.text for answer in answers]
        for answer in answers:
            if not answer.is_success:
                refused(answer, 409, "IDEMPOTENCY_KEY_IN_USE")
    assert await organizer.remaining(event) == 9


async def test_a_hold_is_ordered_once(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event()
    held = await shop.hold(mesh, event)
    ordered = await shop.order(mesh, held)
    again = await shop.order(mesh, held)  # the hold is the natural idempotency key
    assert again == ordered
    answer = await mesh.http.post("/v1/orders", json=_order_body(held, "Eve Else"))
    refused(answer, 409, "HOLD_ALREADY_ORDERED")
    await shop.pay(mesh, ordered)
    await shop.order_in_state(mesh, ordered, "PAID")
    answer = await mesh.http.post("/v1/orders", json=_order_body(held, "Eve Else"))
    refused(answer, 409, "HOLD_ALREADY_ORDERED")
    refused(await mesh.http.delete(f"/v1/holds/{held['id']}"), 409, "HOLD_CONVERTED")
    cancel = f"/v1/orders/{ordered['id']}:cancel"
    answer = await mesh.http.post(cancel, headers=bearer(ordered["access_token"]))
    refused(answer, 409, "ORDER_NOT_CANCELLABLE")


async def test_a_released_hold_is_not_ordered(mesh: LocalMesh, event: Json) -> None:
    held = await shop.hold(mesh, event)
    for _ in range(2):
        released = await mesh.http.delete(f"/v1/holds/{held['id']}")
        assert released.json()["state"] == "RELEASED"
    refused(await mesh.http.post("/v1/orders", json=_order_body(held)), 409, "HOLD_GONE")
    unknown = {"id": "hold_unknown"}
    refused(await mesh.http.post("/v1/orders", json=_order_body(unknown)), 404, "HOLD_NOT_FOUND")


async def test_tickets_of_an_unpaid_order_are_not_drawn(mesh: LocalMesh, event: Json) -> None:
    ordered = await shop.order(mesh, await shop.hold(mesh, event))
    path, token = f"/v1/orders/{ordered['id']}/tickets", bearer(ordered["access_token"])
    assert (await mesh.http.get(path, headers=token)).json() == {"tickets": []}
    refused(await mesh.http.get(f"{path}.pdf", headers=token), 409, "ORDER_NOT_PAID")


@pytest.mark.parametrize(
    "sign",
    [
        lambda body, secret: None,
        lambda body, secret: "",
        lambda body, secret: "nonsense",
        lambda body, secret: "t=1,v1=",
        lambda body, secret: f"t={int(time.time())},v1={'0' * 64}",
        lambda body, secret: signature(body, "whsec_another", int(time.time())),
        lambda body, secret: signature(body + b" ", secret, int(time.time())),
        lambda body, secret: signature(body, secret, int(time.time()) - 3600),
        lambda body, secret: signature(body, secret, int(time.time())).replace("v1=", "v0="),
    ],
    ids=["absent", "empty", "no signature", "half", "zeroes", "wrong", "other body", "old", "v0"],
)  # fmt: skip
async def test_a_webhook_that_stripe_did_not_sign_just_now_is_refused(
    mesh: LocalMesh, sign: Any
) -> None:
    body = json.dumps({"id": "evt_forged", "type": "payment_intent.succeeded"}).encode()
    signed = sign(body, _webhook_secret(mesh))
    headers = {} if signed is None else {"Stripe-Signature": signed}
    answer = await mesh.http.post("/v1/webhooks/stripe", content=body, headers=headers)
    refused(answer, 400, "INVALID_SIGNATURE")


def _webhook_secret(mesh: LocalMesh) -> str:
    keys = json.loads((mesh.data_dir / "stripe" / "keys.json").read_text())
    return str(keys["webhook_secret"])


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"{}", b'{"id": 1}', b"\xff\xfe", b'{"id": "evt_\\u0000"}']
)
async def test_nonsense_that_stripe_signed_is_no_fault_of_ours(
    mesh: LocalMesh, body: bytes
) -> None:
    headers = {"Stripe-Signature": signature(body, _webhook_secret(mesh), int(time.time()))}
    answer = await mesh.http.post("/v1/webhooks/stripe", content=body, headers=headers)
    assert answer.status_code in {200, 400}, answer.text


async def test_a_webhook_that_comes_ten_times_at_once_counts_once(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event(stock=10)
    ordered = await shop.order(mesh, await shop.hold(mesh, event, quantity=2))
    await mesh.stripe.post("/_sandbox/webhooks/faults", json={"types": ["*"], "action": "hold"})
    assert (await shop.pay(mesh, ordered)).status_code == 200
    intent = ordered["payment"]["client_secret"].partition("_secret_")[0]
    events = (await mesh.stripe.get("/v1/events", params={"limit": 100})).json()["data"]
    report = next(
        each
        for each in events
        if each["type"] == "payment_intent.amount_capturable_updated"
        and each["data"]["object"]["id"] == intent
    )
    body = json.dumps(report).encode()
    headers = {"Stripe-Signature": signature(body, _webhook_secret(mesh), int(time.time()))}
    answers = await asyncio.gather(
        *(
            mesh.http.post("/v1/webhooks/stripe", content=body, headers=headers)
            for _ in range(AT_ONCE)
        )
    )
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    paid = await shop.order_in_state(mesh, ordered, "PAID")
    released = await mesh.stripe.post("/_sandbox/webhooks/release", json={"order": "reverse"})
    assert released.is_success

    async def mailed() -> list[Any]:
        return mesh.mails_about(paid["code"])

    assert len(await until(mailed)) == 1
    assert await organizer.remaining(event) == 8
    path = f"/v1/orders/{paid['id']}/tickets"
    answer = await mesh.http.get(path, headers=bearer(ordered["access_token"]))
    assert len(answer.json()["tickets"]) == 2
    log = await organizer.get("/v1/notifications", order_id=paid["id"])
    assert len(log["notifications"]) == 1
