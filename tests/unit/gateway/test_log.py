"""One line for each request, and none of its secrets."""

from structlog.testing import capture_logs

from kit.rpc_errors import RemoteError
from tests.unit.gateway.support import World


async def test_a_request_leaves_one_line_without_its_query(gateway: World) -> None:
    with capture_logs() as lines:
        await gateway.client.get(
            "/v1/orders?email=ann@example.org", headers=gateway.signer.bearer()
        )
    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/v1/orders",
        "status": 200,
    }


async def test_what_a_problem_hides_is_in_the_log(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = RemoteError("UNKNOWN", "UNKNOWN", "division by zero")
    with capture_logs() as lines:
        await gateway.client.get("/v1/events/evt_1")
    assert [line["detail"] for line in lines if line["log_level"] == "error"] == [
        "division by zero"
    ]
