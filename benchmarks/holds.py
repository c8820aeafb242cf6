"""Holds a second on one hot ticket type, through HTTP."""

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import Mesh
from benchmarks.pace import Pace
from benchmarks.tables import Row, Table

CONNECTIONS = (1, 16, 64, 256)


async def measure(mesh: Mesh, pace: Pace) -> list[Table]:
    """Everyone wants the same ticket type; each number of buyers gets an event of its own."""
    token = await shop.open_shop(mesh)
    loads, rows = [], []
    for connections in CONNECTIONS:
        event = await shop.publish_event(mesh, token)
        plan = Requests(mesh.url, "POST", "/v1/holds", connections, pace.requests_s, event.hold())
        await load.requests(plan.lasting(pace.warm_up_s))
        await mesh.calm()
        before = mesh.cpu()
        found = await load.requests(plan)
        used = mesh.cpu().since(before)
        loads.append(found)
        rows.append(_row(connections, found, sum(used.values())))
    notes = [f"Sent by {load.generator_name()}.", *load.bottleneck_notes(loads)]
    return [Table("holds", "Holds a second, one hot ticket type, separate processes", rows, notes)]


def _row(connections: int, found: Load, mesh_cpu_s: float) -> Row:
    report = found.report
    held = report["statuses"].get("201", 0)
    others = {status: n for status, n in report["statuses"].items() if status != "201"}
    if report["lost"]:
        others["lost"] = report["lost"]
    return {
        "connections": connections,
        "holds_per_s": round(held / report["duration_s"], 1),
        "p50_ms": report["p50_ms"],
        "p99_ms": report["p99_ms"],
        "mesh_cores": round(mesh_cpu_s / report["duration_s"], 2),
        "generator_percent": found.generator_percent,
        "errors": ", ".join(f"{n} of {status}" for status, n in others.items()) or "none",
    }
