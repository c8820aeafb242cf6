"""Every kind of bad input is a problem that names what is wrong, and reaches no service."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.settings import Settings
from tests.unit.gateway.support import World, assert_problem, world

_ITEM = {"ticket_type_id": "tt_1", "quantity": 1}


async def _refusal(gateway: World, **changes: Any) -> list[dict[str, str]]:
    body = {"event_id": "evt_1", "items": [_ITEM], **changes}
    answer = await gateway.client.post(
        "/v1/holds", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    errors: list[dict[str, str]] = assert_problem(answer, 400, "INVALID_REQUEST")["errors"]
    assert not gateway.services.calls
    return errors


@pytest.mark.parametrize(
    ("quantity", "description"),
    [
        ("1", "is not an integer"),
        (1.5, "is not an integer"),
        (True, "is not an integer"),
        ([1], "is not an integer"),
        ({}, "is not an integer"),
        (2**31, "is not between -2147483648 and 2147483647"),
        (-(2**31) - 1, "is not between -2147483648 and 2147483647"),
        (1e10, "is not between -2147483648 and 2147483647"),
        (10**400, "is not between -2147483648 and 2147483647"),
    ],
)
async def test_what_is_no_int32_is_refused(
    gateway: World, quantity: object, description: str
) -> None:
    errors = await _refusal(gateway, items=[{**_ITEM, "quantity": quantity}])
    assert errors == [{"field": "items[0].quantity", "description": description}]


async def test_json_knows_no_integers_so_2_0_is_2(gateway: World) -> None:
    body = {"event_id": "evt_1", "items": [{"ticket_type_id": "tt_1", "quantity": 2.0}]}
    answer = await gateway.client.post("/v1/holds", json=body)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("changes", "field", "description"),
    [
        ({"event_id": 7}, "event_id", "is not a string"),
        ({"event_id": "a\0b"}, "event_id", "contains a NUL character"),
        ({"event_id": "\ud800"}, "event_id", "contains half of a surrogate pair"),
        ({"items": {}}, "items", "is not a list"),
        ({"items": "x"}, "items", "is not a list"),
        ({"items": [None]}, "items[0]", "is not an object"),
        ({"items": [[]]}, "items[0]", "is not an object"),
        ({"colour": "red"}, "colour", "is unknown"),
        ({"eventId": "evt_1"}, "eventId", "is unknown"),
        ({"items": [{**_ITEM, "row": 1}]}, "items[0].row", "is unknown"),
        # These are the headers' to fill.
        ({"idempotency_key": "k"}, "idempotency_key", "is unknown"),
        ({"\ud800": 1}, "?", "is unknown"),
    ],
)
async def test_a_wrong_field_is_named(
    gateway: World, changes: dict[str, Any], field: str, description: str
) -> None:
    assert await _refusal(gateway, **changes) == [{"field": field, "description": description}]


async def test_everything_that_is_wrong_is_said_at_once(gateway: World) -> None:
    errors = await _refusal(gateway, event_id=1, colour=2, items=[{"quantity": "3"}, 4])
    assert [error["field"] for error in errors] == [
        "event_id",
        "items[0].quantity",
        "items[1]",
        "colour",
    ]


async def test_a_hopeless_request_is_not_listed_to_its_end(gateway: World) -> None:
    errors = await _refusal(gateway, **{f"field_{n}": n for n in range(1000)})
    assert len(errors) == 100


async def test_null_is_the_same_as_absent(gateway: World) -> None:
    body = {"hold_id": "hold_1", "customer": None}
    answer = await gateway.client.post("/v1/orders", json=body)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "Expecting property name"),
        (b"nonsense", "Expecting value"),
        (b"{'event_id': 'x'}", "Expecting property name"),
        (b'{"a": 1,}', ""),
        (b'{"a": 1} 2', "Extra data"),
        (b'{"items": NaN}', "NaN is not JSON"),
        (b'{"items": -Infinity}', "-Infinity is not JSON"),
        (b'\xef\xbb\xbf{"event_id": "x"}', "BOM"),
        (b'{"event_id": "\xff"}', "byte 14 is not UTF-8"),
        ('{"event_id": "x"}'.encode("utf-16"), "is not UTF-8"),
        (b'{"event_id": "\x01"}', "Invalid control character"),
        (b'{"event_id": "x", "event_id": "y"}', "the same name twice"),
        (b'{"items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"items": ' + b"9" * 5000 + b"}", "a number is too long"),
    ],
)
async def test_what_is_not_json_is_refused(gateway: World, body: bytes, detail: str) -> None:
    answer = await gateway.client.post(
        "/v1/holds", content=body, headers={"Content-Type": "application/json"}
    )
    assert detail in assert_problem(answer, 400, "MALFORMED_JSON")["detail"]
    assert not gateway.services.calls


@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "true", "[{}]"])
async def test_json_that_is_not_an_object_is_refused(gateway: World, body: str) -> None:
    for method, path in (("POST", "/v1/holds"), ("PATCH", "/v1/events/evt_1")):
        answer = await gateway.client.request(
            method,
            path,
            content=body,
            headers={**gateway.signer.bearer(), "Content-Type": "application/json"},
        )
        assert_problem(answer, 400, "INVALID_REQUEST")


async def test_an_empty_body_is_an_empty_object(gateway: World) -> None:
    assert (await gateway.client.post("/v1/orders")).status_code == 201


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_does_not_claim_to_be_json_is_415(
    gateway: World, media_type: str
) -> None:
    answer = await gateway.client.post(
        "/v1/holds", content=b"{}", headers={"Content-Type": media_type}
    )
    assert_problem(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_content_type_may_have_parameters(gateway: World) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    answer = await gateway.client.post("/v1/orders", content=b"{}", headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("query", "field", "description"),
    [
        ("colour=red", "colour", "is unknown"),
        ("page_size=many", "page_size", "is not an integer"),
        ("page_size=1.0", "page_size", "is not an integer"),
        ("page_size=1&page_size=2", "page_size", "is given more than once"),
        ("page_size=4294967296", "page_size", "is not between -2147483648 and 2147483647"),
        ("page_size=%D9%A1", "page_size", "is not an integer"),
        ("state=published", "state", "is not one of DRAFT, PUBLISHED, CANCELLED, ENDED"),
        ("state=EVENT_STATE_DRAFT", "state", "is not one of DRAFT, PUBLISHED, CANCELLED, ENDED"),
        ("state=1", "state", "is not one of DRAFT, PUBLISHED, CANCELLED, ENDED"),
        ("query=%00", "query", "contains a NUL character"),
        ("query=%FF", "query", "is not percent-encoded UTF-8, or has too many parameters"),
        (
            "&".join(f"a{n}=1" for n in range(200)),
            "query",
            "is not percent-encoded UTF-8, or has too many parameters",
        ),
        (
            "starts_after=yesterday",
            "starts_after",
            "is not an RFC 3339 time such as 2026-05-01T19:00:00Z",
        ),
    ],
)
async def test_a_wrong_query_parameter_is_named(
    gateway: World, query: str, field: str, description: str
) -> None:
    problem = assert_problem(
        await gateway.client.get(f"/v1/events?{query}"), 400, "INVALID_REQUEST"
    )
    assert problem["errors"] == [{"field": field, "description": description}]


async def test_a_query_where_none_is_taken_is_refused(gateway: World) -> None:
    answer = await gateway.client.post("/v1/holds?event_id=evt_1", json={})
    assert_problem(answer, 400, "INVALID_REQUEST")


async def test_what_the_path_says_cannot_be_said_again_in_the_body(gateway: World) -> None:
    headers = gateway.signer.bearer()
    for body in ({"event_id": "evt_2"}, {"update_mask": "title"}, {"if_match": "*"}):
        answer = await gateway.client.patch("/v1/events/evt_1", json=body, headers=headers)
        assert_problem(answer, 400, "INVALID_REQUEST")
    assert not gateway.services.calls


async def test_null_does_not_empty_a_list(gateway: World) -> None:
    path, headers = "/v1/events/evt_1/quotas/quo_1", gateway.signer.bearer()
    answer = await gateway.client.patch(path, json={"ticket_type_ids": None}, headers=headers)
    assert_problem(answer, 400, "INVALID_REQUEST")
    assert [each["field"] for each in answer.json()["errors"]] == ["ticket_type_ids"]
    assert not gateway.services.calls


@pytest.mark.parametrize("path", ["/v1/events/%00", "/v1/events/%FF", "/v1/events/a%00b"])
async def test_a_path_that_is_not_text_is_refused(gateway: World, path: str) -> None:
    assert_problem(await gateway.client.get(path), 400, "INVALID_REQUEST")


async def test_an_address_that_is_too_long_is_414(gateway: World) -> None:
    answer = await gateway.client.get("/v1/events?query=" + "x" * 9000)
    assert_problem(answer, 414, "URI_TOO_LONG")
    assert_problem(await gateway.client.get("/v1/events/" + "x" * 9000), 414, "URI_TOO_LONG")


async def test_a_header_that_is_sent_twice_or_is_not_text_is_named(gateway: World) -> None:
    for headers in (
        [(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")],
        [(b"Idempotency-Key", "é".encode("latin-1"))],
    ):
        answer = await gateway.client.post("/v1/holds", headers=headers)
        errors = assert_problem(answer, 400, "INVALID_REQUEST")["errors"]
        assert errors[0]["field"] == "Idempotency-Key"


@pytest.fixture
async def small() -> AsyncIterator[World]:
    """A gateway that takes bodies of at most 1 KiB."""
    async with world(Settings(max_body_bytes=1024)) as started:
        yield started


async def test_a_body_that_announces_its_excess_is_413(small: World) -> None:
    answer = await small.client.post("/v1/holds", json={"event_id": "x" * 2000})
    assert_problem(answer, 413, "BODY_TOO_LARGE")


async def test_a_body_whose_excess_only_shows_as_it_arrives_is_413(small: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    for method, path in (
        ("POST", "/v1/holds"),
        ("POST", "/v1/webhooks/stripe"),
        ("GET", "/v1/events"),
    ):
        answer = await small.client.request(
            method, path, content=chunks(), headers={"Content-Type": "application/json"}
        )
        assert_problem(answer, 413, "BODY_TOO_LARGE")
    assert not small.services.calls


async def test_a_body_at_the_limit_is_taken(small: World) -> None:
    answer = await small.client.post("/v1/webhooks/stripe", content=b"x" * 1024)
    assert answer.status_code == 200
