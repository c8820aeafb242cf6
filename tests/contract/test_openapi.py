"""`/openapi.json` and `/docs` say what the protos say."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway import contract, docs, openapi
from gateway.routes import routes
from gateway.settings import Settings

ROUTES = routes(contract.methods())


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi.document(ROUTES, Settings().image)


def _operation(document: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"][path][method]
    return operation


def _schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"][name]
    return schema


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_one_operation_with_an_id_of_its_own(document: dict[str, Any]) -> None:
    operations = [o for verbs in document["paths"].values() for o in verbs.values()]
    assert len(operations) == len(ROUTES)
    assert len({operation["operationId"] for operation in operations}) == len(ROUTES)


def test_every_operation_says_what_it_does_and_for_whom(document: dict[str, Any]) -> None:
    for verbs in document["paths"].values():
        for operation in verbs.values():
            assert operation["description"] or operation["x-reasons"], operation["operationId"]
            assert operation["x-access"], operation["operationId"]


def test_validation_rules_are_in_the_schemas(document: dict[str, Any]) -> None:
    item = _schema(document, "CreateHoldItem")
    assert item["properties"]["quantity"] == {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": 100,
        "description": (
            "Of a ticket type with seats, without `seat_ids`: the best ones available that are"
            " together."
        ),
    }
    assert item["required"] == ["ticket_type_id"]
    assert item["additionalProperties"] is False
    items = _schema(document, "CreateHoldRequest")["properties"]["items"]
    assert (items["minItems"], items["maxItems"]) == (1, 20)
    member = _schema(document, "CreateMemberRequest")["properties"]
    assert member["role"]["enum"] == ["ADMIN", "STAFF"]
    assert member["email"]["format"] == "email"
    assert member["password"]["minLength"] == 10
    assert _schema(document, "MoneyInput")["properties"]["currency_code"]["pattern"] == "^[A-Z]{3}$"


def test_a_request_needs_what_its_rules_need_and_an_update_needs_nothing(
    document: dict[str, Any],
) -> None:
    assert _schema(document, "CreateEventRequest")["required"] == [
        "title",
        "starts_at",
        "ends_at",
        "currency_code",
    ]
    assert "required" not in _schema(document, "UpdateEventRequest")


def test_what_headers_and_paths_fill_is_not_in_the_body(document: dict[str, Any]) -> None:
    update = _schema(document, "UpdateTicketTypeRequest")["properties"]
    assert not {"event_id", "ticket_type_id", "update_mask", "if_match"} & set(update)
    operation = _operation(document, "patch", "/v1/events/{event_id}/ticket_types/{ticket_type_id}")
    places = {parameter["name"]: parameter["in"] for parameter in operation["parameters"]}
    assert places == {"event_id": "path", "ticket_type_id": "path", "If-Match": "header"}


def test_an_answer_always_has_what_cannot_be_absent(document: dict[str, Any]) -> None:
    event = _schema(document, "Event")
    assert {"id", "title", "ticket_types", "version"} <= set(event["required"])
    assert not {"starts_at", "state"} & set(event["required"])


def test_what_is_kept_says_by_what_it_is_known(document: dict[str, Any]) -> None:
    event = _operation(document, "get", "/v1/events/{event_id}")
    assert "If-None-Match" in {parameter["name"] for parameter in event["parameters"]}
    assert set(event["responses"]) == {"200", "304", "default"}
    tag = event["responses"]["200"]["headers"]["ETag"]["description"]
    assert "`If-None-Match`" in tag
    assert "`If-Match`" in tag
    assert "1 s old" in event["responses"]["200"]["headers"]["Cache-Control"]["description"]
    hold = _operation(document, "get", "/v1/holds/{hold_id}")
    assert set(hold["responses"]) == {"200", "default"}
    assert "headers" not in hold["responses"]["200"]


def test_a_stream_is_server_sent_events_of_its_messages(document: dict[str, Any]) -> None:
    watch = _operation(document, "get", "/v1/events/{event_id}/availability:watch")
    answer = watch["responses"]["200"]
    assert answer["content"] == {
        "text/event-stream": {"schema": {"$ref": "#/components/schemas/Availability"}}
    }
    assert "`problem`" in answer["description"]
    page = docs.render(document)
    article = page.partition('id="watchAvailability"')[2].partition("</article>")[0]
    assert "text/event-stream" in article
    assert "ticket_types[].remaining" in article
    assert "<code>problem</code>" in article


def test_a_body_that_may_be_large_says_how_large(document: dict[str, Any]) -> None:
    path = "/v1/venues/{venue_id}/halls/{hall_id}/layout"
    assert _operation(document, "put", path)["requestBody"]["description"] == "At most 8 MiB."


def test_who_may_call_is_in_the_security_of_each_operation(document: dict[str, Any]) -> None:
    def security(method: str, path: str) -> list[dict[str, Any]]:
        ways: list[dict[str, Any]] = _operation(document, method, path)["security"]
        return ways

    assert security("get", "/v1/events") == [{}, {"user": []}]
    assert security("post", "/v1/events") == [{"user": []}]
    assert security("get", "/v1/orders/{order_id}") == [{"user": []}, {"order": []}]


def test_the_protos_comments_are_the_descriptions(document: dict[str, Any]) -> None:
    location = _schema(document, "Event")["properties"]["location"]
    assert location["description"] == "Where it takes place, as printed on the tickets."
    hold = _operation(document, "post", "/v1/holds")
    assert hold["description"].startswith("Takes tickets off sale")
    assert "SOLD_OUT" in hold["x-reasons"]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def test_every_schema_is_used_and_every_used_schema_is_there(document: dict[str, Any]) -> None:
    used = {ref.rpartition("/")[2] for ref in _references(document) if "/schemas/" in ref}
    assert used == set(document["components"]["schemas"])


def test_without_the_image_only_the_descriptions_are_missing(
    document: dict[str, Any], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.binpb"
    broken.write_bytes(b"\xff\xff")
    for image in (tmp_path / "absent.binpb", broken):
        bare = openapi.document(ROUTES, image)
        OpenAPIV31SpecValidator(bare).validate()
        assert bare["paths"].keys() == document["paths"].keys()
        assert docs.render(bare)


def test_the_page_shows_every_route_and_explains_every_reason(document: dict[str, Any]) -> None:
    page = docs.render(document)
    for route in ROUTES:
        assert f">{route.template}<" in page
    for verbs in document["paths"].values():
        for operation in verbs.values():
            for reason in operation["x-reasons"]:
                assert f'id="{reason}"' in page


def test_the_page_needs_nothing_from_elsewhere(document: dict[str, Any]) -> None:
    page = docs.render(document)
    for outside in ("<script", "src=", "<link", "@import", "url(", 'href="http'):
        assert outside not in page


def test_what_a_comment_says_cannot_become_markup(document: dict[str, Any]) -> None:
    document = {**document, "info": {**document["info"], "description": "`a` <script>&"}}
    assert "<code>a</code> &lt;script&gt;&amp;" in docs.render(document)
