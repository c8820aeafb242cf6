"""What a customer or an admin may get wrong in a value: refused, and the field is named."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import shop
from tests.support.mesh import LocalMesh
from tests.support.shop import Json, Shop, hamlet, refused, ticket_type

ABSENT = object()
NOW = datetime.now(UTC)


def _without_absent(body: Json) -> Json:
    return {name: value for name, value in body.items() if value is not ABSENT}


@pytest.mark.parametrize(
    ("quantity", "reason"),
    [
        (0, "INVALID_QUANTITY"),
        (-1, "INVALID_REQUEST"),
        (11, "TOO_MANY_TICKETS"),  # above max_per_order
        (101, "INVALID_REQUEST"),
        (2**31 - 1, "INVALID_REQUEST"),
        (2**31, "INVALID_REQUEST"),
        (-(2**31) - 1, "INVALID_REQUEST"),
        (10**30, "INVALID_REQUEST"),
        (1.5, "INVALID_REQUEST"),
        ("1", "INVALID_REQUEST"),
        (True, "INVALID_REQUEST"),
        ([1], "INVALID_REQUEST"),
        ({}, "INVALID_REQUEST"),
        (None, "INVALID_QUANTITY"),
        (ABSENT, "INVALID_QUANTITY"),
    ],
)
async def test_a_hold_of_no_sensible_quantity_is_refused(
    organizer: Shop, event: Json, quantity: object, reason: str
) -> None:
    item = {"ticket_type_id": event["ticket_types"][0]["id"], "quantity": quantity}
    body = {"event_id": event["id"], "items": [_without_absent(item)]}
    answer = await organizer.mesh.http.post("/v1/holds", json=body)
    refused(answer, 400, reason, "items[0].quantity")
    assert await organizer.remaining(event) == 100


@pytest.mark.parametrize(
    ("changes", "status", "reason", "fields"),
    [
        ({"items": []}, 400, "INVALID_REQUEST", ["items"]),
        ({"items": ABSENT}, 400, "INVALID_REQUEST", ["items"]),
        ({"items": [{}] * 21}, 400, "INVALID_REQUEST", []),
        ({"items": "all"}, 400, "INVALID_REQUEST", ["items"]),
        ({"event_id": ABSENT}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": ""}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": 1}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": "x" * 65}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": "evt_\0"}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": "evt_\ud800"}, 400, "INVALID_REQUEST", ["event_id"]),
        ({"event_id": "evt_00000000000000000000000000"}, 404, "EVENT_NOT_FOUND", []),
        ({"event_id": "💥' OR 1=1 --"}, 404, "EVENT_NOT_FOUND", []),
        ({"seat": "A1"}, 400, "INVALID_REQUEST", ["seat"]),
        ({"quantity": 1, "row": 2}, 400, "INVALID_REQUEST", ["quantity", "row"]),
    ],
)
async def test_a_hold_of_nothing_that_is_there_is_refused(
    mesh: LocalMesh, event: Json, changes: Json, status: int, reason: str, fields: list[str]
) -> None:
    item = {"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 1}
    body = _without_absent({"event_id": event["id"], "items": [item], **changes})
    answer = await mesh.http.post(
        "/v1/holds", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    refused(answer, status, reason, *fields)


async def test_a_ticket_type_of_another_event_or_named_twice_is_refused(
    mesh: LocalMesh, organizer: Shop, event: Json
) -> None:
    other = await organizer.event()
    for items, status, reason in (
        ([other["ticket_types"][0]["id"]], 404, "TICKET_TYPE_NOT_FOUND"),
        (["tt_unknown"], 404, "TICKET_TYPE_NOT_FOUND"),
        ([event["ticket_types"][0]["id"]] * 2, 400, "DUPLICATE_TICKET_TYPE"),
    ):
        asked = [{"ticket_type_id": each, "quantity": 1} for each in items]
        body = {"event_id": event["id"], "items": asked}
        refused(await mesh.http.post("/v1/holds", json=body), status, reason)


@pytest.mark.parametrize(
    ("currency_code", "price", "reason", "field"),
    [
        ("EUR", {"amount": "-1.00"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "1.000"}, "INVALID_AMOUNT", "price.amount"),
        ("EUR", {"amount": "1.0"}, "INVALID_AMOUNT", "price.amount"),
        ("EUR", {"amount": "1"}, "INVALID_AMOUNT", "price.amount"),
        ("JPY", {"amount": "500.0"}, "INVALID_AMOUNT", "price.amount"),
        ("KWD", {"amount": "1.00"}, "INVALID_AMOUNT", "price.amount"),
        ("EUR", {"amount": "1e3"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "\u0661\u0662.00"}, "INVALID_REQUEST", "price.amount"),  # 12 in Arabic
        ("EUR", {"amount": "1,00"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": " 1.00"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "1.00\n"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "01.00"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "+1.00"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": ".50"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "1."}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "NaN"}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": ""}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": ABSENT}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": None}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": 10}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": -1}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"amount": "99999999999999.00"}, "INVALID_AMOUNT", "price.amount"),
        ("EUR", {"amount": "9" * 400}, "INVALID_REQUEST", "price.amount"),
        ("EUR", {"currency_code": "USD"}, "CURRENCY_MISMATCH", "price.currency_code"),
        ("EUR", {"currency_code": "XXX"}, "UNKNOWN_CURRENCY", "price.currency_code"),
        ("EUR", {"currency_code": "eur"}, "INVALID_REQUEST", "price.currency_code"),
        ("EUR", {"currency_code": "€"}, "INVALID_REQUEST", "price.currency_code"),
        ("EUR", {"currency_code": ABSENT}, "INVALID_REQUEST", "price.currency_code"),
        ("EUR", {"minor": 100}, "INVALID_REQUEST", "price.minor"),
    ],
)
async def test_a_price_that_is_no_amount_of_the_currency_is_refused(
    drafts: dict[str, str],
    organizer: Shop,
    currency_code: str,
    price: Json,
    reason: str,
    field: str,
) -> None:
    money = {"currency_code": currency_code, "amount": "10.00", **price}
    body = ticket_type(price=_without_absent(money))
    path = f"/v1/events/{drafts[currency_code]}/ticket_types"
    answer = await organizer.mesh.http.post(path, json=body, headers=organizer.headers)
    refused(answer, 400, reason, field)


@pytest.fixture(scope="module")
async def drafts(organizer: Shop) -> dict[str, str]:
    """A draft in each currency, by its code."""
    codes = ("EUR", "JPY", "KWD")
    made = [await organizer.post("/v1/events", hamlet(currency_code=code)) for code in codes]
    return {event["currency_code"]: event["id"] for event in made}


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"price": ABSENT}, "INVALID_REQUEST", "price"),
        ({"price": "10.00"}, "INVALID_REQUEST", "price"),
        ({"name": ""}, "INVALID_REQUEST", "name"),
        ({"name": "  \n"}, "INVALID_REQUEST", "name"),
        ({"name": "x" * 201}, "INVALID_REQUEST", "name"),
        ({"name": "a\0b"}, "INVALID_REQUEST", "name"),
        ({"total_stock": -1}, "INVALID_REQUEST", "total_stock"),
        ({"total_stock": 1_000_001}, "INVALID_REQUEST", "total_stock"),
        ({"total_stock": "100"}, "INVALID_REQUEST", "total_stock"),
        ({"max_per_order": 0}, "INVALID_REQUEST", "max_per_order"),
        ({"max_per_order": 101}, "INVALID_REQUEST", "max_per_order"),
        ({"sales_start": "tomorrow"}, "INVALID_REQUEST", "sales_start"),
        ({"sales_start": "2030-02-30T00:00:00Z"}, "INVALID_REQUEST", "sales_start"),
        ({"sales_start": "2030-01-01"}, "INVALID_REQUEST", "sales_start"),
        ({"sales_start": "2030-01-01T00:00:00"}, "INVALID_REQUEST", "sales_start"),
        ({"sales_start": 1893456000}, "INVALID_REQUEST", "sales_start"),
        (
            {"sales_start": "2030-01-02T00:00:00Z", "sales_end": "2030-01-01T00:00:00Z"},
            "INVALID_SALES_WINDOW",
            "sales_end",
        ),
        ({"id": "tt_mine"}, "INVALID_REQUEST", "id"),
        ({"remaining": 5}, "INVALID_REQUEST", "remaining"),
    ],
)
async def test_a_ticket_type_that_makes_no_sense_is_refused(
    drafts: dict[str, str], organizer: Shop, changes: Json, reason: str, field: str
) -> None:
    body = _without_absent(ticket_type(**changes))
    path = f"/v1/events/{drafts['EUR']}/ticket_types"
    answer = await organizer.mesh.http.post(path, json=body, headers=organizer.headers)
    refused(answer, 400, reason, field)


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"title": ABSENT}, "INVALID_REQUEST", "title"),
        ({"title": " "}, "INVALID_REQUEST", "title"),
        ({"title": "x" * 201}, "INVALID_REQUEST", "title"),
        ({"description": "x" * 20_001}, "INVALID_REQUEST", "description"),
        ({"starts_at": ABSENT}, "INVALID_REQUEST", "starts_at"),
        ({"ends_at": None}, "INVALID_REQUEST", "ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "INVALID_EVENT_TIMES", "ends_at"),
        ({"starts_at": "0000-01-01T00:00:00Z"}, "INVALID_REQUEST", "starts_at"),
        ({"ends_at": "10000-01-01T00:00:00Z"}, "INVALID_REQUEST", "ends_at"),
        ({"currency_code": "XXX"}, "UNKNOWN_CURRENCY", "currency_code"),
        ({"currency_code": ABSENT}, "INVALID_REQUEST", "currency_code"),
        ({"time_zone": "Mars/Olympus"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"time_zone": "../../etc/passwd"}, "UNKNOWN_TIME_ZONE", "time_zone"),
        ({"organizer_id": "org_other"}, "INVALID_REQUEST", "organizer_id"),
        ({"state": "PUBLISHED"}, "INVALID_REQUEST", "state"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused(
    organizer: Shop, changes: Json, reason: str, field: str
) -> None:
    body = _without_absent(hamlet(**changes))
    answer = await organizer.mesh.http.post("/v1/events", json=body, headers=organizer.headers)
    refused(answer, 400, reason, field)


@pytest.mark.parametrize(
    ("customer", "field"),
    [
        (ABSENT, "customer"),
        ({"full_name": "Grace"}, "customer.email"),
        ({"email": "grace", "full_name": "Grace"}, "customer.email"),
        ({"email": "a@b@c", "full_name": "Grace"}, "customer.email"),
        ({"email": "a@b.c\r\nBcc: all@x.y", "full_name": "Grace"}, "customer.email"),
        ({"email": f"{'x' * 250}@b.example", "full_name": "Grace"}, "customer.email"),
        ({"email": "a@b.example", "full_name": ""}, "customer.full_name"),
        ({"email": "a@b.example", "full_name": "G", "phone_number": "call me"},
         "customer.phone_number"),
        ({"email": "a@b.example", "full_name": "G", "card": "4242"}, "customer.card"),
    ],
)  # fmt: skip
async def test_an_order_for_nobody_is_refused(
    mesh: LocalMesh, event: Json, customer: object, field: str
) -> None:
    held = await shop.hold(mesh, event)
    body = _without_absent({"hold_id": held["id"], "customer": customer})
    refused(await mesh.http.post("/v1/orders", json=body), 400, "INVALID_REQUEST", field)
    assert (await mesh.http.delete(f"/v1/holds/{held['id']}")).json()["state"] == "RELEASED"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"email": ABSENT}, "email"),
        ({"password": "too short"}, "password"),
        ({"password": "x" * 201}, "password"),
        ({"password": 1234567890}, "password"),
        ({"full_name": "\t"}, "full_name"),
        ({"organizer_name": ABSENT}, "organizer_name"),
        ({"role": "SUPERADMIN"}, "role"),
    ],
)
async def test_a_registration_that_lacks_something_is_refused(
    mesh: LocalMesh, changes: Json, field: str
) -> None:
    person = {"email": "a@b.example", "password": "long enough", "full_name": "Ada"}
    body = _without_absent({"organizer_name": "Theatre", **person, **changes})
    answer = await mesh.http.post("/v1/users", json=body)
    problem = refused(answer, 400, "INVALID_REQUEST", field)
    assert "long enough" not in str(problem)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sales_start": NOW + timedelta(days=1)}, "SALES_NOT_STARTED"),
        ({"sales_end": NOW - timedelta(days=1)}, "SALES_ENDED"),
        ({"total_stock": 0}, "SOLD_OUT"),
    ],
)
async def test_nothing_is_held_outside_the_sales_window_or_without_stock(
    organizer: Shop, changes: dict[str, Any], reason: str
) -> None:
    event = await organizer.post("/v1/events", hamlet())
    path = f"/v1/events/{event['id']}"
    body = json.loads(json.dumps(ticket_type(**changes), default=datetime.isoformat))
    await organizer.post(f"{path}/ticket_types", body)
    event = await organizer.post(f"{path}:publish", {})
    refused(await _try_to_hold(organizer.mesh, event), 409, reason)


async def test_only_a_published_event_is_on_sale(organizer: Shop) -> None:
    mesh = organizer.mesh
    draft = await organizer.event(publish=False)
    refused(await _try_to_hold(mesh, draft), 409, "EVENT_NOT_ON_SALE")
    path = f"/v1/events/{draft['id']}"
    refused(await mesh.http.get(path), 404, "EVENT_NOT_FOUND")
    await organizer.post(f"{path}:publish", {})
    assert (await _try_to_hold(mesh, draft)).status_code == 201
    await organizer.post(f"{path}:cancel", {})
    refused(await _try_to_hold(mesh, draft), 409, "EVENT_NOT_ON_SALE")


async def _try_to_hold(mesh: LocalMesh, event: Json) -> Any:
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 1}]
    return await mesh.http.post("/v1/holds", json={"event_id": event["id"], "items": items})
