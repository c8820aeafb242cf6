"""What everyone reloads: the public page of an event."""

from benchmarks import load, shop
from benchmarks.load import Requests
from benchmarks.mesh import Mesh
from benchmarks.onsale.finding import Finding, per_s, watched, wrong_answers
from benchmarks.onsale.pace import Pace
from benchmarks.tables import Bound, Table, Target

CLIENTS = 64
TARGET_PER_S = 6000
TARGET_P99_MS = 20


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Reads of one event without credentials, of one gateway process."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token)
    plan = Requests(mesh.url, "GET", f"/v1/events/{event.id}", CLIENTS, pace.reads_s)
    await load.wrk(plan.lasting(pace.warm_up_s))
    await mesh.calm()
    found, use = await watched(mesh, "reads", load.wrk(plan))
    read = found.report["statuses"].get("200", 0)
    speed, of_a_core = per_s(read, found.report["duration_s"]), per_s(read, use.of("gateway"))
    p99_ms = found.report["p99_ms"]
    figures = {
        "cached_reads_per_s": speed,
        "cached_reads_per_gateway_cpu_s": of_a_core,
        "cached_reads_p99_ms": p99_ms,
    }
    row = {
        "connections": CLIENTS,
        "reads_per_s": speed,
        "reads_per_gateway_cpu_s": of_a_core,
        "p50_ms": found.report["p50_ms"],
        "p99_ms": p99_ms,
        "wrk_percent": found.generator_percent,
    }
    targets = [
        Target("cached reads", speed, TARGET_PER_S, "reads/s", Bound.AT_LEAST),
        Target("the same, a gateway core", of_a_core, TARGET_PER_S, "reads/CPU s", Bound.AT_LEAST),
        Target("cached reads, p99", p99_ms, TARGET_P99_MS, "ms", Bound.AT_MOST),
    ]
    title = "Public reads of an event, one gateway process"
    table = Table("reads", title, [row], load.bottleneck_notes([found]))
    return Finding(figures, table, targets, [use], wrong_answers("reads", found, {"200"}))
