"""Alive, and ready."""

import asyncio

from tests.unit.gateway.support import World, assert_problem


async def test_the_gateway_is_alive_whatever_its_services_do(gateway: World) -> None:
    gateway.services.serving = False
    answer = await gateway.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_the_gateway_is_ready_when_every_service_is(gateway: World) -> None:
    answer = await gateway.client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["services"] == [
        "notification_service",
        "payment_service",
        "ticket_service",
        "user_service",
    ]


async def test_who_does_not_serve_is_named(gateway: World) -> None:
    gateway.services.serving = False
    answer = await gateway.client.get("/readyz")
    problem = assert_problem(answer, 503, "NOT_READY")
    assert "ticket_service" in problem["detail"]
    assert answer.headers["retry-after"] == "1"


async def test_a_service_that_cannot_be_reached_is_not_ready(gateway: World) -> None:
    gateway.mesh.address = "127.0.0.1:1"  # before the first call: nobody listens there
    assert_problem(await gateway.client.get("/readyz"), 503, "NOT_READY")


async def test_those_who_ask_at_once_share_one_answer(gateway: World) -> None:
    answers = await asyncio.gather(*(gateway.client.get("/readyz") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert gateway.services.health_checks == 4
