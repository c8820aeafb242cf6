"""What an RPC's answer becomes, and what its refusal becomes."""

import asyncio
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.ticket.v1 import event_pb2, hold_pb2, ticket_type_pb2

from kit import errors
from kit.auth import RoleNotAllowed
from kit.idempotency import IdempotencyKeyInUse, IdempotencyKeyReused
from kit.rpc_errors import RemoteError
from tests.unit.gateway.support import World, assert_problem


class SoldOut(errors.FailedPrecondition):
    """Fewer tickets remain than were asked for."""


async def test_an_answer_is_json_with_its_zeroes_and_empty_lists(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = event_pb2.Event(
        id="evt_1",
        state=event_pb2.EVENT_STATE_PUBLISHED,
        starts_at=Timestamp(seconds=1777662000),
        ticket_types=[ticket_type_pb2.TicketType(id="tt_1")],
        version=4,
    )
    answer = await gateway.client.get("/v1/events/evt_1")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "id": "evt_1",
        "organizer_id": "",
        "state": "PUBLISHED",
        "title": "",
        "description": "",
        "location": "",
        "starts_at": "2026-05-01T19:00:00Z",
        "time_zone": "",
        "currency_code": "",
        "ticket_types": [
            {
                "id": "tt_1",
                "event_id": "",
                "name": "",
                "total_stock": 0,
                "remaining": 0,
                "max_per_order": 0,
                "version": 0,
                "is_seated": False,
                "tax_rate": "",
                "tax_included": False,
                "is_hidden": False,
            }
        ],
        "version": 4,
    }


async def test_a_resource_with_a_version_has_it_as_its_etag(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = event_pb2.Event(version=4)
    answer = await gateway.client.get("/v1/events/evt_1", headers=gateway.signer.bearer())
    assert answer.headers["etag"] == '"4"'
    gateway.services.answers["GetHold"] = hold_pb2.Hold()
    assert "etag" not in (await gateway.client.get("/v1/holds/hold_1")).headers


async def test_what_is_created_is_201_what_is_done_200_and_what_is_empty_204(
    gateway: World,
) -> None:
    headers = gateway.signer.bearer()
    for method, path, status in (
        ("POST", "/v1/events", 201),
        ("POST", "/v1/holds", 201),
        ("POST", "/v1/events/evt_1:publish", 200),
        ("POST", "/v1/sessions:refresh", 200),
        ("POST", "/v1/webhooks/stripe", 200),
        ("DELETE", "/v1/holds/hold_1", 200),
        ("DELETE", "/v1/events/evt_1", 204),
        ("DELETE", "/v1/sessions/current", 204),
    ):
        answer = await gateway.client.request(method, path, headers=headers)
        assert answer.status_code == status, path
    assert not answer.content


async def test_a_file_is_sent_as_it_is(gateway: World) -> None:
    gateway.services.answers["GetOrderTicketsPdf"] = HttpBody(
        content_type="application/pdf", data=b"%PDF-1.7 \xff\x00"
    )
    headers = {"Authorization": "Bearer ordtok_1"}
    answer = await gateway.client.get("/v1/orders/ord_1/tickets.pdf", headers=headers)
    assert answer.content == b"%PDF-1.7 \xff\x00"
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == 'inline; filename="tickets.pdf"'


async def test_a_page_of_a_services_own_does_nothing_but_show(gateway: World) -> None:
    gateway.services.answers["PreviewNotification"] = HttpBody(
        content_type="text/html; charset=utf-8", data=b"<p>Hello</p>"
    )
    answer = await gateway.client.get(
        "/v1/events/evt_1/notification_previews/RECEIPT", headers=gateway.signer.bearer()
    )
    assert answer.text == "<p>Hello</p>"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == "inline"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'")


async def test_head_is_get_without_the_body(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = event_pb2.Event(id="evt_1", version=4)
    for path in ("/v1/events/evt_1", "/healthz", "/openapi.json", "/docs"):
        got, headed = await gateway.client.get(path), await gateway.client.head(path)
        assert headed.status_code == 200
        assert not headed.content
        for name in ("content-length", "content-type", "etag"):
            assert headed.headers.get(name) == got.headers.get(name)


async def test_head_leaves_no_body_for_the_server_to_drop(gateway: World) -> None:
    bodies: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        bodies.append(message.get("body", b""))

    scope = {"type": "http", "http_version": "1.1", "method": "HEAD", "query_string": b""}
    for path in ("/v1/events/evt_1", "/v1/events/evt_1", "/healthz", "/nowhere"):
        await gateway.app({**scope, "path": path, "headers": []}, receive, send)
    assert bodies == [b""] * 8


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (errors.InvalidArgument(), 400, "INVALID_ARGUMENT"),
        (errors.Unauthenticated(), 401, "UNAUTHENTICATED"),
        (RoleNotAllowed(), 403, "ROLE_NOT_ALLOWED"),
        (errors.NotFound(), 404, "NOT_FOUND"),
        (errors.AlreadyExists(), 409, "ALREADY_EXISTS"),
        (errors.Aborted(), 409, "ABORTED"),
        (SoldOut(), 409, "SOLD_OUT"),
        (IdempotencyKeyInUse(), 409, "IDEMPOTENCY_KEY_IN_USE"),
        (errors.VersionMismatch(), 412, "VERSION_MISMATCH"),
        (IdempotencyKeyReused(), 422, "IDEMPOTENCY_KEY_REUSED"),
        (errors.ResourceExhausted(), 429, "RESOURCE_EXHAUSTED"),
        (errors.Unavailable(), 503, "UNAVAILABLE"),
        (errors.DeadlineExceeded(), 504, "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_refusal_is_a_problem_with_its_status(
    gateway: World, error: errors.TesseraError, status: int, reason: str
) -> None:
    gateway.services.answers["GetEvent"] = error
    answer = await gateway.client.get("/v1/events/evt_1")
    assert_problem(answer, status, reason)
    assert ("retry-after" in answer.headers) == (status in {429, 503})
    assert ("www-authenticate" in answer.headers) == (status == 401)


async def test_a_problem_says_what_the_service_said(gateway: World) -> None:
    gateway.services.answers["CreateHold"] = SoldOut(
        "Only 1 is left.",
        metadata={"ticket_type_id": "tt_1"},
        violations=(errors.FieldViolation("items[0].quantity", "is too many"),),
    )
    answer = await gateway.client.post(
        "/v1/holds",
        json={"event_id": "evt_1", "items": [{"ticket_type_id": "tt_1", "quantity": 2}]},
        headers={"X-Request-Id": "my-request-1"},
    )
    assert answer.json() == {
        "type": "/docs#SOLD_OUT",
        "title": "Sold out",
        "status": 409,
        "detail": "Only 1 is left.",
        "instance": "my-request-1",
        "reason": "SOLD_OUT",
        "errors": [{"field": "items[0].quantity", "description": "is too many"}],
        "metadata": {"ticket_type_id": "tt_1"},
    }


async def test_a_service_may_say_when_to_come_back(gateway: World) -> None:
    gateway.services.answers["CreateSession"] = errors.ResourceExhausted(
        metadata={"retry_after_s": "30"}
    )
    answer = await gateway.client.post("/v1/sessions", json={})
    assert answer.headers["retry-after"] == "30"


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "UNIMPLEMENTED", "DATA_LOSS"])
async def test_what_went_wrong_inside_stays_inside(gateway: World, code: str) -> None:
    gateway.services.answers["GetEvent"] = RemoteError(code, "A_REASON", "a password: hunter2")
    answer = await gateway.client.get("/v1/events/evt_1")
    assert_problem(answer, 500, "INTERNAL")
    assert "hunter2" not in answer.text
    assert "A_REASON" not in answer.text


async def test_a_service_that_breaks_does_not_show_how(gateway: World) -> None:
    async def broken(_request: Message) -> Message:
        raise ZeroDivisionError("hunter2")

    gateway.services.answers["GetEvent"] = broken
    answer = await gateway.client.get("/v1/events/evt_1")
    assert_problem(answer, 500, "INTERNAL")
    assert "hunter2" not in answer.text


async def test_a_fault_of_the_gateway_itself_is_a_bare_problem(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = event_pb2.Event(
        starts_at=Timestamp(seconds=2**60)  # beyond what any calendar says
    )
    assert_problem(await gateway.client.get("/v1/events/evt_1"), 500, "INTERNAL")


async def test_a_service_that_cannot_be_reached_is_503(gateway: World) -> None:
    gateway.mesh.address = "127.0.0.1:1"  # before the first call: nobody listens there
    answer = await gateway.client.get("/v1/events")
    problem = assert_problem(answer, 503, "UNAVAILABLE")
    assert "127.0.0.1" not in problem["detail"]
