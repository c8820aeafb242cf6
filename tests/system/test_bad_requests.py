"""Requests that are wrong as requests: no JSON, no such route, too large, lost, or out of turn."""

from collections.abc import AsyncIterator

import pytest

from tests.support import shop
from tests.support.mesh import LocalMesh
from tests.support.shop import Json, Shop, hamlet, refused

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 2**20


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"hold me a ticket",
        b'{"event_id": "x"',
        b'{"event_id": "x"}}',
        b"{'event_id': 'x'}",
        b'{"event_id": "x", "event_id": "y"}',
        b'{"items": NaN}',
        b'{"items": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"event_id": "\xff\xfe"}',
        b'{"event_id": "\x00"}',
        b'{"items": ' + b"9" * 10_000 + b"}",
        '{"event_id": "x"}'.encode("utf-16"),
        b" ",
    ],
)
async def test_a_body_that_is_no_json_is_refused(mesh: LocalMesh, body: bytes) -> None:
    answer = await mesh.http.post("/v1/holds", content=body, headers=JSON)
    refused(answer, 400, "MALFORMED_JSON")


@pytest.mark.parametrize("body", ["[]", "[{}]", "1", '"x"', "null", "false"])
async def test_json_that_is_no_object_is_refused(mesh: LocalMesh, body: str) -> None:
    answer = await mesh.http.post("/v1/holds", content=body, headers=JSON)
    refused(answer, 400, "INVALID_REQUEST")


async def test_an_empty_body_lacks_what_is_required(mesh: LocalMesh) -> None:
    for content in (b"", b"{}"):
        answer = await mesh.http.post("/v1/holds", content=content, headers=JSON)
        refused(answer, 400, "INVALID_REQUEST", "event_id", "items")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_a_body_of_another_type_is_refused(mesh: LocalMesh, media_type: str) -> None:
    answer = await mesh.http.post("/v1/holds", content=b"{}", headers={"Content-Type": media_type})
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("path", ["/v1/holds", "/v1/users", "/v1/webhooks/stripe"])
async def test_a_body_above_one_mebibyte_is_refused(mesh: LocalMesh, path: str) -> None:
    body = b'{"event_id": "' + b"x" * MEBIBYTE + b'"}'
    refused(await mesh.http.post(path, content=body, headers=JSON), 413, "BODY_TOO_LARGE")


async def test_a_body_that_does_not_announce_its_size_is_refused_as_it_grows(
    mesh: LocalMesh,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * (MEBIBYTE // 32)

    answer = await mesh.http.post("/v1/holds", content=endless(), headers=JSON)
    refused(answer, 413, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "path", ["/v1", "/v1/nothing", "/v1/events/", "/v1//events", "/v2/events", "/v1/holds/a/b"]
)
async def test_an_unknown_route_is_not_found(mesh: LocalMesh, path: str) -> None:
    refused(await mesh.http.get(path), 404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/holds", "POST"),
        ("PUT", "/v1/events", "GET, HEAD, POST"),
        ("POST", "/v1/events/evt_1", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/v1/sessions", "POST"),
        ("GET", "/v1/webhooks/stripe", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("TRACE", "/v1/holds", "POST"),
    ],
)
async def test_another_method_is_refused_and_the_right_ones_are_named(
    mesh: LocalMesh, method: str, path: str, allowed: str
) -> None:
    answer = await mesh.http.request(method, path)
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v1/events/evt_unknown", "EVENT_NOT_FOUND"),
        ("/v1/events/7", "EVENT_NOT_FOUND"),
        ("/v1/events/%F0%9F%92%A5", "EVENT_NOT_FOUND"),
        ("/v1/events/evt_1%2F..%2Fevt_2", "EVENT_NOT_FOUND"),
        ("/v1/events/evt_unknown/ticket_types", "EVENT_NOT_FOUND"),
        ("/v1/events/evt_unknown/ticket_types/tt_unknown", "EVENT_NOT_FOUND"),
        ("/v1/holds/hold_unknown", "HOLD_NOT_FOUND"),
        ("/v1/holds/'%3B%20DROP%20TABLE%20holds", "HOLD_NOT_FOUND"),
    ],
)
async def test_what_is_not_there_is_not_found(mesh: LocalMesh, path: str, reason: str) -> None:
    refused(await mesh.http.get(path), 404, reason)


@pytest.mark.parametrize(
    "path", ["/v1/events/%00", "/v1/events/%FF", "/v1/holds/a%00b", f"/v1/holds/{'x' * 65}"]
)
async def test_what_is_no_id_at_all_is_refused(mesh: LocalMesh, path: str) -> None:
    refused(await mesh.http.get(path), 400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("query", "reason", "field"),
    [
        ("page_size=-1", "INVALID_REQUEST", "page_size"),
        ("page_size=201", "INVALID_REQUEST", "page_size"),
        ("page_size=2147483648", "INVALID_REQUEST", "page_size"),
        ("page_size=ten", "INVALID_REQUEST", "page_size"),
        ("page_token=nonsense", "INVALID_PAGE_TOKEN", "page_token"),
        ("page_token=%F0%9F%92%A5", "INVALID_PAGE_TOKEN", "page_token"),
        ("page_token=W10=", "INVALID_PAGE_TOKEN", "page_token"),  # []
        ("page_token=bnVsbA==", "INVALID_PAGE_TOKEN", "page_token"),  # null
        (f"page_token={'x' * 513}", "INVALID_REQUEST", "page_token"),
        ("state=SOLD_OUT", "INVALID_REQUEST", "state"),
        ("starts_after=today", "INVALID_REQUEST", "starts_after"),
        (f"query={'x' * 201}", "INVALID_REQUEST", "query"),
        ("query=%00", "INVALID_REQUEST", "query"),
        ("colour=red", "INVALID_REQUEST", "colour"),
    ],
)
async def test_a_list_asked_for_wrongly_is_refused(
    mesh: LocalMesh, query: str, reason: str, field: str
) -> None:
    refused(await mesh.http.get(f"/v1/events?{query}"), 400, reason, field)


async def test_the_page_token_of_one_list_does_not_open_another(organizer: Shop) -> None:
    for _ in range(2):
        await organizer.event(title="Paged")
    mine = {"organizer_id": organizer.session["user"]["organizer_id"]}
    page = await organizer.get("/v1/events", query="Paged", page_size=1, **mine)
    token = page["next_page_token"]
    rest = await organizer.get("/v1/events", query="Paged", page_token=token, **mine)
    assert {event["id"] for event in page["events"]}.isdisjoint(e["id"] for e in rest["events"])
    for path, params in (("/v1/events", {"query": "Other"}), ("/v1/orders", {})):
        answer = await organizer.mesh.http.get(
            path, headers=organizer.headers, params={**params, "page_token": token}
        )
        refused(answer, 400, "INVALID_PAGE_TOKEN", "page_token")


async def test_a_change_that_lost_against_another_is_refused(organizer: Shop) -> None:
    http, event = organizer.mesh.http, await organizer.post("/v1/events", hamlet())
    path, version = f"/v1/events/{event['id']}", event["version"]
    first = await http.patch(
        path, json={"title": "A"}, headers={**organizer.headers, "If-Match": f'"{version}"'}
    )
    assert first.json()["version"] == version + 1
    for method, body in (("PATCH", {"title": "B"}), ("DELETE", None)):
        lost = await http.request(
            method, path, json=body, headers={**organizer.headers, "If-Match": f'"{version}"'}
        )
        refused(lost, 412, "VERSION_MISMATCH")
    assert (await organizer.get(path))["title"] == "A"


@pytest.mark.parametrize("value", ["1", 'W/"1"', '"one"', '"1", "2"', '"99999999999"'])
async def test_an_if_match_that_is_no_version_is_refused(
    organizer: Shop, event: Json, value: str
) -> None:
    answer = await organizer.mesh.http.patch(
        f"/v1/events/{event['id']}",
        json={"title": "B"},
        headers={**organizer.headers, "If-Match": value},
    )
    refused(answer, 400, "INVALID_REQUEST", "If-Match")


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"title": None}, "FIELD_NOT_NULLABLE", "title"),
        ({"title": ""}, "INVALID_REQUEST", "title"),
        ({"starts_at": None}, "FIELD_NOT_NULLABLE", "starts_at"),
        ({"version": 7}, "INVALID_REQUEST", "version"),
        ({"event_id": "evt_2"}, "INVALID_REQUEST", "event_id"),
        ({"update_mask": "title"}, "INVALID_REQUEST", "update_mask"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "INVALID_EVENT_TIMES", "ends_at"),
    ],
)
async def test_a_change_to_nonsense_is_refused(
    organizer: Shop, event: Json, changes: Json, reason: str, field: str
) -> None:
    path = f"/v1/events/{event['id']}"
    answer = await organizer.mesh.http.patch(path, json=changes, headers=organizer.headers)
    refused(answer, 400, reason, field)


async def test_what_would_break_a_sale_is_refused(organizer: Shop) -> None:
    mesh, event = organizer.mesh, await organizer.event(stock=5)
    held = await shop.hold(mesh, event, quantity=3)
    path = f"/v1/events/{event['id']}"
    kind = f"{path}/ticket_types/{event['ticket_types'][0]['id']}"
    for method, where, body, reason in (
        ("PATCH", kind, {"total_stock": 2}, "STOCK_BELOW_SOLD"),
        ("DELETE", kind, None, "TICKET_TYPE_IN_USE"),
        ("PATCH", path, {"currency_code": "USD"}, "CURRENCY_IS_FIXED"),
        ("POST", f"{path}:unpublish", {}, "EVENT_IN_USE"),
        ("DELETE", path, None, "EVENT_NOT_DRAFT"),
    ):
        answer = await mesh.http.request(method, where, json=body, headers=organizer.headers)
        refused(answer, 409, reason)
    price = {"currency_code": "EUR", "amount": "99.00"}
    await mesh.http.patch(kind, json={"price": price}, headers=organizer.headers)
    assert (await mesh.http.get(f"/v1/holds/{held['id']}")).json()["total"]["amount"] == "75.00"
