"""The second hop alone: BatchCreateHolds, called directly."""

from benchmarks import load, shop
from benchmarks.load import Load
from benchmarks.mesh import Mesh
from benchmarks.onsale.finding import Finding, per_s, watched
from benchmarks.onsale.pace import Pace
from benchmarks.shop import Event
from benchmarks.tables import Bound, Table, Target

SIZE = 500  # the most that one call takes
IN_FLIGHT = 4
TARGET_PER_S = 20_000
_CLIENT = "benchmarks.onsale.batch_client"
_FILL_WITHIN_S = 120


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """As many holds as it takes, by calls that a gateway would make."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token)
    await _call(mesh, event, pace.warm_up_s)
    await mesh.calm()
    found, use = await watched(mesh, "batch", _call(mesh, event, pace.batch_s))
    report = found.report
    speed = per_s(report["holds"], report["duration_s"])
    refused = sum(report["refused"].values())
    table = Table(
        "batch",
        "BatchCreateHolds, called directly",
        [
            {
                "in_flight": IN_FLIGHT,
                "holds_per_call": SIZE,
                "holds_per_s": speed,
                "call_p50_ms": report["p50_ms"],
                "call_p99_ms": report["p99_ms"],
                "refused": refused,
                "client_percent": found.generator_percent,
            }
        ],
        load.bottleneck_notes([found]),
    )
    target = Target(
        "BatchCreateHolds, called directly", speed, TARGET_PER_S, "holds/s", Bound.AT_LEAST
    )
    wrong = [f"batch: {n} of {reason}" for reason, n in report["refused"].items()]
    return Finding({"batch_rpc_holds_per_s": speed}, table, [target], [use], wrong)


async def fill(mesh: Mesh, event: Event, holds: int) -> Load:
    """Make so many holds at once, a multiple of the size of a call where they are more."""
    size = min(SIZE, holds)
    return await _call(mesh, event, _FILL_WITHIN_S, calls=-(-holds // size), size=size)


async def _call(
    mesh: Mesh, event: Event, duration_s: float, *, calls: int = 0, size: int = SIZE
) -> Load:
    settings = mesh.settings("ticket_service")
    plan = {
        "address": settings["TICKET_SERVICE_ADDRESS"],
        "tls_dir": settings["TLS_DIR"],
        "event_id": event.id,
        "ticket_type_id": event.ticket_type_id,
        "size": size,
        "in_flight": IN_FLIGHT,
        "calls": calls,
        "duration_s": duration_s,
    }
    return await load.generator("holds", plan, _CLIENT)
