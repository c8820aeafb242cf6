"""What ticket_service takes with many live holds, and many who watch."""

import asyncio
import json
import time

from benchmarks import shop
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.onsale import batch
from benchmarks.onsale.finding import Finding, Use
from benchmarks.onsale.pace import Pace
from benchmarks.onsale.watchers import Crowd, over_grpc, through_the_gateway
from benchmarks.processes import MEGABYTE, parts
from benchmarks.shop import Event
from benchmarks.tables import Bound, Row, Table, Target

TARGET_MB = 250
_HOLD_EVERY_S = 0.1  # while they watch

Memory = dict[str, float]


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Hold, then have a crowd watch a slow sale: through the gateway, then directly."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token)
    rows: list[Row] = [_row("started", _memory(mesh))]
    filled = await batch.fill(mesh, event, pace.live_holds)
    if filled.report["holds"] != pace.live_holds:
        raise BenchmarkFailed(f"Not every hold was made: {dict(filled.report)}")
    rows.append(_row(f"{pace.live_holds} live holds", _memory(mesh)))
    async with through_the_gateway(mesh, event.id, pace.watchers) as crowd:
        watched, watched_use = await _sell(mesh, event, crowd, pace, "watchers")
    rows.append(_row(f"and {pace.watchers} watchers through the gateway", watched))
    async with over_grpc(mesh, event.id, pace.watchers) as crowd:
        direct, direct_use = await _sell(mesh, event, crowd, pace, "grpc_watchers")
    rows.append(_row(f"or {pace.watchers} watchers over gRPC", direct))
    figures = {
        "ticket_service_rss_mb": watched["ticket_service_rss_mb"],
        "ticket_service_rss_mb_grpc_watchers": direct["ticket_service_rss_mb"],
        "gateway_rss_mb_watchers": watched["gateway_rss_mb"],
    }
    target = Target(
        "memory of ticket_service", figures["ticket_service_rss_mb"], TARGET_MB, "MB", Bound.AT_MOST
    )
    most = f"the most that was seen in {pace.watched_s} s, with {1 / _HOLD_EVERY_S:.0f} holds a s"
    notes = [
        "MB are 10⁶ bytes. RSS counts shared pages in full, PSS in part.",
        f"With watchers: {most}.",
    ]
    table = Table("memory", "Memory of ticket_service", rows, notes)
    return Finding(figures, table, [target], [watched_use, direct_use])


async def _sell(
    mesh: Mesh, event: Event, crowd: Crowd, pace: Pace, name: str
) -> tuple[Memory, Use]:
    """Make changes for the crowd to see; answers the most memory, and what telling them took."""
    before, own_before_s, most = mesh.cpu(), time.process_time(), _memory(mesh)
    end = time.monotonic() + pace.watched_s
    while time.monotonic() < end:
        await mesh.call("POST", "/v1/holds", json.loads(event.hold()))
        await asyncio.sleep(_HOLD_EVERY_S)
        now = _memory(mesh)
        most = {key: max(most[key], now[key]) for key in most}
    await crowd.all_told(2)
    after = mesh.cpu()
    seconds = after.read_at_s - before.read_at_s
    return most, Use(name, seconds, time.process_time() - own_before_s, after.since(before))


def _memory(mesh: Mesh) -> Memory:
    by_part = parts(mesh.launcher, mesh.run_dir)
    used: Memory = {}
    for part in ("ticket_service", "gateway"):
        info = [process.memory_full_info() for process in by_part[part]]
        used[f"{part}_rss_mb"] = round(sum(each.rss for each in info) / MEGABYTE, 1)
        # only Linux knows it
        used[f"{part}_pss_mb"] = round(sum(getattr(each, "pss", 0) for each in info) / MEGABYTE, 1)
    return used


def _row(what: str, memory: Memory) -> Row:
    return {"with": what, **memory}
