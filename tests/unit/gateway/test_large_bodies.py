"""Bodies as large as their route takes them: a hall of 20,000 seats goes in and out."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from starlette.requests import Request
from tessera.ticket.v1 import venue_pb2, venue_service_pb2

from gateway import contract
from gateway.binding import Binding
from gateway.routes import routes
from gateway.settings import Settings
from tests.unit.gateway.support import World, assert_problem, world

PATH = "/v1/venues/ven_1/halls/hall_1/layout"
MOST = 8 * 2**20  # what the proto says of it
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def small() -> AsyncIterator[World]:
    """A gateway that takes bodies of at most 1 KiB, unless their route says otherwise."""
    async with world(Settings(max_body_bytes=1024)) as started:
        yield started


def _hall(sections: int = 10, rows: int = 20, seats: int = 100) -> dict[str, Any]:
    return {
        "zones": [{"name": "A", "color": "#c0392b"}],
        "sections": [
            {
                "name": f"Section {section}",
                "rows": [
                    {
                        "name": str(row),
                        "rank": row,
                        "zone": "A",
                        "seats": [
                            {"number": str(seat), "x": seat * 1.5, "y": row, "aisle": seat == 50}
                            for seat in range(seats)
                        ],
                    }
                    for row in range(rows)
                ],
            }
            for section in range(sections)
        ],
    }


async def _put(gateway: World, content: Any, **headers: str) -> httpx.Response:
    sent = {**JSON, **gateway.signer.bearer(), **headers}
    return await gateway.client.put(PATH, content=content, headers=sent)


async def test_a_hall_goes_in_and_out(small: World) -> None:
    async def imported(request: venue_service_pb2.ImportHallLayoutRequest) -> Message:
        return venue_pb2.HallLayout(zones=request.zones, sections=request.sections, version=2)

    small.services.answers["ImportHallLayout"] = imported
    answer = await _put(small, json.dumps(_hall()))
    assert answer.status_code == 200
    request = small.services.last.request
    assert isinstance(request, venue_service_pb2.ImportHallLayoutRequest)
    assert (request.venue_id, request.hall_id) == ("ven_1", "hall_1")
    seats = [s for section in request.sections for row in section.rows for s in row.seats]
    assert len(seats) == 20_000
    assert (seats[50].number, seats[50].x, seats[50].aisle) == ("50", 75.0, True)
    assert answer.headers["etag"] == '"2"'
    assert len(answer.json()["sections"][9]["rows"][19]["seats"]) == 100


async def test_a_put_is_conditional_and_has_no_mask(gateway: World) -> None:
    answer = await _put(gateway, json.dumps(_hall(1, 1, 1)), **{"If-Match": '"7"'})
    assert answer.status_code == 200
    assert gateway.services.last.request.if_match == '"7"'


async def test_a_page_on_another_origin_may_put(gateway: World) -> None:
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
    answer = await gateway.client.options(PATH, headers=preflight)
    assert "PUT" in answer.headers["access-control-allow-methods"]


async def test_what_is_wrong_in_a_large_body_is_named(gateway: World) -> None:
    hall = _hall()
    hall["sections"][3]["rows"][7]["seats"][41]["x"] = "left"
    hall["sections"][9]["colour"] = "red"
    problem = assert_problem(await _put(gateway, json.dumps(hall)), 400, "INVALID_REQUEST")
    assert problem["errors"] == [
        {"field": "sections[3].rows[7].seats[41].x", "description": "is not a number"},
        {"field": "sections[9].colour", "description": "is unknown"},
    ]
    assert not gateway.services.calls


async def test_a_large_body_that_is_no_json_is_refused(gateway: World) -> None:
    answer = await _put(gateway, json.dumps(_hall())[:-1])
    assert_problem(answer, 400, "MALFORMED_JSON")


async def test_a_row_has_as_many_seats_as_the_proto_says(gateway: World) -> None:
    answer = await _put(gateway, json.dumps(_hall(1, 1, 1001)))
    problem = assert_problem(answer, 400, "INVALID_REQUEST")
    assert problem["errors"][0]["field"] == "sections[0].rows[0].seats"


async def test_other_requests_get_their_turn_while_a_large_body_is_read() -> None:
    route = next(r for r in routes(contract.methods()) if r.rpc.name == "ImportHallLayout")
    body = json.dumps(_hall()).encode()
    scope = {"type": "http", "headers": [(b"content-type", b"application/json")]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    request = Request({**scope, "query_string": b""}, receive)
    reading = asyncio.create_task(Binding(route).read(request, ["ven_1", "hall_1"]))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await reading).sections) == 10  # type: ignore[attr-defined]  # a message, of any type
    assert turns > 20  # a few, if it were read between two turns of the event loop


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 2**16):
        yield b" " * 2**16


async def test_a_body_above_the_routes_limit_is_413_with_that_limit(small: World) -> None:
    for content in (b" " * (MOST + 1), _chunks(MOST + 1)):
        problem = assert_problem(await _put(small, content), 413, "BODY_TOO_LARGE")
        assert str(MOST) in problem["detail"]
    assert not small.services.calls


async def test_a_body_at_the_routes_limit_is_taken(small: World) -> None:
    whole = json.dumps({"zones": []}).encode()
    for content in (whole.ljust(MOST), _chunks_of(whole.ljust(MOST))):
        assert (await _put(small, content)).status_code == 200


async def _chunks_of(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 2**16):
        yield content[start : start + 2**16]


async def test_what_one_route_takes_another_does_not(small: World) -> None:
    body = json.dumps({"name": "x" * 2000})
    for method, path in (
        ("POST", "/v1/venues"),
        ("POST", PATH),
        ("PUT", "/v1/venues/ven_1/halls/hall_1"),
        ("PUT", "/nowhere"),
        ("PUT", "/v1/%FF"),
    ):
        answer = await small.client.request(
            method, path, content=body, headers={**JSON, **small.signer.bearer()}
        )
        problem = assert_problem(answer, 413, "BODY_TOO_LARGE")
        assert "1024" in problem["detail"]


async def test_a_setting_above_the_routes_limit_is_not_lowered_by_it() -> None:
    async with world(Settings(max_body_bytes=MOST + 100)) as gateway:
        content = b"{}".ljust(MOST + 50)
        assert (await _put(gateway, content)).status_code == 200


async def test_who_may_not_import_sends_it_in_vain(small: World) -> None:
    answer = await small.client.put(PATH, content=b" " * 2**20, headers=JSON)
    assert_problem(answer, 401, "TOKEN_MISSING")


async def test_a_body_without_a_length_counts_in_http_2_too(small: World) -> None:
    arriving = [b" " * 1000, b" " * 1000, b""]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        body = arriving.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(arriving)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "2", "method": "GET", "path": "/v1/events"}
    await small.app({**scope, "query_string": b"", "headers": []}, receive, send)
    assert sent[0]["status"] == 413
