"""What one request through the gateway costs in CPU, in each part."""

import json

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.pace import Pace
from benchmarks.processes import LAUNCHER, POSTGRES
from benchmarks.tables import Row, Table

CONNECTIONS = 8


async def measure(mesh: Mesh, pace: Pace) -> list[Table]:
    """One that calls nothing, one that a cache answers, a cheap read, and a hold."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token)
    hold = await mesh.call("POST", "/v1/holds", json.loads(event.hold()))
    cases = {
        "GET /healthz": ("GET", "/healthz", b""),
        "GET /v1/events/{event_id}": ("GET", f"/v1/events/{event.id}", b""),
        "GET /v1/holds/{hold_id}": ("GET", f"/v1/holds/{hold['id']}", b""),
        "POST /v1/holds": ("POST", "/v1/holds", event.hold()),
    }
    loads, rows = [], []
    for name, (method, path, body) in cases.items():
        plan = Requests(mesh.url, method, path, CONNECTIONS, pace.requests_s, body)
        await load.requests(plan.lasting(pace.warm_up_s))
        await mesh.calm()
        before = mesh.cpu()
        found = await load.requests(plan)
        loads.append(found)
        rows.append(_row(name, found, mesh.cpu().since(before)))
    notes = [
        f"CPU milliseconds for each request; {CONNECTIONS} connections, separate processes.",
        *load.bottleneck_notes(loads),
    ]
    return [Table("gateway", "CPU for each gateway request", rows, notes)]


def _row(name: str, found: Load, cpu_s: dict[str, float]) -> Row:
    answers = found.report["answers"]
    if set(found.report["statuses"]) - {"200", "201"} or not answers:
        raise BenchmarkFailed(f"{name} was answered {found.report['statuses']}.")
    ms = {part: round(used / answers * 1000, 3) for part, used in cpu_s.items()}
    return {
        "request": name,
        "requests_per_s": round(answers / found.report["duration_s"], 1),
        "p50_ms": found.report["p50_ms"],
        "p99_ms": found.report["p99_ms"],
        "gateway_ms": ms["gateway"],
        "ticket_service_ms": ms["ticket_service"],
        "postgres_ms": ms[POSTGRES],
        "launcher_ms": ms[LAUNCHER],
        "generator_percent": found.generator_percent,
    }
