"""What a request becomes: the RPC's message, its metadata and its deadline."""

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.notification.v1 import notification_pb2
from tessera.payment.v1 import webhook_service_pb2
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_service_pb2

from tests.unit.gateway.support import World, assert_problem


async def test_a_body_becomes_the_request_message(gateway: World) -> None:
    body = {"event_id": "evt_1", "items": [{"ticket_type_id": "tt_1", "quantity": 2}]}
    answer = await gateway.client.post("/v1/holds", json=body, headers={"Idempotency-Key": "key-1"})
    assert answer.status_code == 201
    assert gateway.services.last.request == hold_service_pb2.CreateHoldRequest(
        event_id="evt_1",
        items=[hold_service_pb2.CreateHoldItem(ticket_type_id="tt_1", quantity=2)],
        idempotency_key="key-1",
    )


async def test_a_query_becomes_the_request_message(gateway: World) -> None:
    await gateway.client.get(
        "/v1/events",
        params={
            "query": "Mozart & Söhne",
            "starts_after": "2026-05-01T02:00:00+02:00",
            "state": "PUBLISHED",
            "page_size": "7",
            "page_token": "",
        },
    )
    assert gateway.services.last.request == event_service_pb2.ListEventsRequest(
        query="Mozart & Söhne",
        starts_after=Timestamp(seconds=1777593600),
        state=event_pb2.EVENT_STATE_PUBLISHED,
        page_size=7,
    )


async def test_an_empty_query_parameter_is_the_same_as_none(gateway: World) -> None:
    answer = await gateway.client.get("/v1/events?query=&starts_after=&starts_before=&state=")
    assert answer.status_code == 200
    assert gateway.services.last.request == event_service_pb2.ListEventsRequest()


async def test_a_path_segment_is_percent_decoded_after_the_path_was_split(gateway: World) -> None:
    await gateway.client.get("/v1/events/a%2Fb%3Apublish%20%C3%B6")
    assert gateway.services.last.method == "GetEvent"
    assert gateway.services.last.request == event_service_pb2.GetEventRequest(
        event_id="a/b:publish ö"
    )


async def test_a_path_segment_may_be_one_of_an_enums_names(gateway: World) -> None:
    path = "/v1/events/evt_1/notification_previews"
    admin = gateway.signer.bearer("ADMIN")
    await gateway.client.get(f"{path}/TICKET_TRANSFERRED?plain_text=true", headers=admin)
    request = gateway.services.last.request
    assert request.event_id == "evt_1"
    assert request.kind == notification_pb2.NOTIFICATION_KIND_TICKET_TRANSFERRED
    assert request.plain_text
    for unknown in ("UNSPECIFIED", "receipt", "1", "NOTIFICATION_KIND_RECEIPT"):
        answer = await gateway.client.get(f"{path}/{unknown}", headers=admin)
        problem = assert_problem(answer, 400, "INVALID_REQUEST")
        assert [each["field"] for each in problem["errors"]] == ["kind"]


async def test_a_custom_verb_is_not_part_of_the_id(gateway: World) -> None:
    headers = gateway.signer.bearer()
    answer = await gateway.client.post("/v1/events/evt_1:publish", headers=headers)
    assert answer.status_code == 200
    assert gateway.services.last.method == "PublishEvent"
    assert gateway.services.last.request == event_service_pb2.PublishEventRequest(event_id="evt_1")


async def test_a_literal_segment_wins_over_a_variable_one(gateway: World) -> None:
    await gateway.client.get("/v1/users/me", headers=gateway.signer.bearer())
    assert gateway.services.last.method == "GetMe"
    headers = gateway.signer.bearer("SUPERADMIN")
    await gateway.client.get("/v1/users/usr_1", headers=headers)
    assert gateway.services.last.method == "GetUser"


async def test_a_patch_names_the_fields_it_was_sent_in_its_update_mask(gateway: World) -> None:
    await gateway.client.patch(
        "/v1/events/evt_1/ticket_types/tt_1",
        json={"name": "Balcony", "sales_end": None},
        headers={**gateway.signer.bearer(), "If-Match": '"3"'},
    )
    expected = event_service_pb2.UpdateTicketTypeRequest(
        event_id="evt_1", ticket_type_id="tt_1", name="Balcony", if_match='"3"'
    )
    expected.update_mask.paths.extend(["name", "sales_end"])
    assert gateway.services.last.request == expected


async def test_an_empty_patch_has_an_empty_update_mask(gateway: World) -> None:
    headers = gateway.signer.bearer()
    await gateway.client.patch("/v1/events/evt_1", json={}, headers=headers)
    request = gateway.services.last.request
    assert isinstance(request, event_service_pb2.UpdateEventRequest)
    assert request.HasField("update_mask")
    assert not request.update_mask.paths


async def test_a_webhooks_body_is_handed_on_byte_for_byte(gateway: World) -> None:
    raw = b'{"a":  1,\xff\x00 "not": even JSON'
    answer = await gateway.client.post(
        "/v1/webhooks/stripe",
        content=raw,
        headers={"Stripe-Signature": "t=1,v1=ab", "Content-Type": "application/json"},
    )
    assert answer.status_code == 200
    request = gateway.services.last.request
    assert isinstance(request, webhook_service_pb2.ReceiveStripeWebhookRequest)
    assert request.payload.data == raw
    assert request.payload.content_type == "application/json"
    assert request.signature == "t=1,v1=ab"


async def test_a_call_carries_the_requests_id_trace_token_and_deadline(gateway: World) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    authorization = gateway.signer.bearer()
    await gateway.client.get(
        "/v1/users/me",
        headers={**authorization, "X-Request-Id": "my-request-1", "traceparent": trace},
    )
    metadata = gateway.services.last.metadata
    assert metadata["x-request-id"] == "my-request-1"
    assert metadata["traceparent"] == trace
    assert metadata["authorization"] == authorization["Authorization"]
    assert 0 < gateway.services.last.time_remaining_s < 11


async def test_a_request_id_that_is_not_sane_is_replaced(gateway: World) -> None:
    for sent in ("short", "x" * 65, "new\tline-and-more", "$(reboot)-now"):
        answer = await gateway.client.get("/healthz", headers={"X-Request-Id": sent})
        assert answer.headers["x-request-id"].startswith("req_")


async def test_a_malformed_trace_is_replaced(gateway: World) -> None:
    for sent in ("nonsense", f"00-{'0' * 32}-b7ad6b7169203331-01", ""):
        await gateway.client.get("/v1/events", headers={"traceparent": sent})
        assert gateway.services.last.metadata["traceparent"].startswith("00-")
        assert gateway.services.last.metadata["traceparent"] != sent


async def test_an_rpc_that_has_no_route_cannot_be_reached(gateway: World) -> None:
    for path in (
        "/tessera.ticket.v1.HoldService/ConvertHold",
        "/v1/holds/hold_1:convert",
        "/v1/tickets",
    ):
        assert_problem(await gateway.client.post(path, json={}), 404, "ROUTE_NOT_FOUND")
    assert not gateway.services.calls


async def test_the_front_door_leads_to_the_reference(gateway: World) -> None:
    answer = await gateway.client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_an_address_that_leads_nowhere_is_404(gateway: World) -> None:
    for path in (
        "/v1",
        "/v1/",
        "/v1/events/",
        "/v1//events",
        "/v1/events/evt_1/",
        "/v1/events/evt_1:fly",
        "/v1/events:publish",
        "/v1/events/evt_1:publish/x",
        "/v1/orders/ord_1/tickets.png",
        "/docs/",
    ):
        assert_problem(await gateway.client.get(path), 404, "ROUTE_NOT_FOUND")


async def test_a_method_that_an_address_does_not_take_is_405_and_says_which_it_takes(
    gateway: World,
) -> None:
    for method, path, allowed in (
        ("PUT", "/v1/events/evt_1", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/v1/users/me", "GET, HEAD"),
        ("PATCH", "/v1/users/me", "GET, HEAD"),
        ("GET", "/v1/events/evt_1:publish", "POST"),
        ("DELETE", "/v1/holds", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/v1/holds", "POST"),
        ("TRACE", "/v1/holds", "POST"),
    ):
        answer = await gateway.client.request(method, path)
        assert_problem(answer, 405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == allowed
