"""What the mesh uses while nobody uses it: memory, and CPU."""

import asyncio

from benchmarks.mesh import Mesh
from benchmarks.pace import Pace
from benchmarks.tables import Row, Table, Target

MEMORY_LIMIT_MB = 400
CPU_LIMIT_PERCENT = 3


async def together(mesh: Mesh, pace: Pace) -> list[Table]:
    """The one-process mesh, as `make run` starts it, against its targets."""
    table = await _measure(mesh, pace, "idle", "Idle, all services in one process")
    whole = table.rows[-1]
    targets = [
        Target("memory, idle", float(whole["memory_mb"] or 0), MEMORY_LIMIT_MB, "MB"),
        Target("CPU, idle", float(whole["cpu_percent"] or 0), CPU_LIMIT_PERCENT, "% of a core"),
    ]
    return [Table(table.name, table.title, table.rows, table.notes, targets)]


async def separate(mesh: Mesh, pace: Pace) -> list[Table]:
    """The mesh as separate processes, for information."""
    title = "Idle, a process for each service"
    return [await _measure(mesh, pace, "idle_separate", title)]


async def _measure(mesh: Mesh, pace: Pace, name: str, title: str) -> Table:
    await asyncio.sleep(pace.settle_s)
    before = mesh.cpu()
    await asyncio.sleep(pace.idle_s)
    after, memory = mesh.cpu(), mesh.memory()
    cpu_s, seconds = after.since(before), after.read_at_s - before.read_at_s
    rows: list[Row] = [
        {
            "part": part,
            "memory_mb": round(memory.mb[part], 1),
            "cpu_percent": round(cpu_s[part] / seconds * 100, 2),
        }
        for part in memory.mb
    ]
    whole: Row = {
        "part": "whole mesh",
        "memory_mb": round(memory.total_mb, 1),
        "cpu_percent": round(sum(cpu_s.values()) / seconds * 100, 2),
    }
    notes = [f"Memory is {memory.kind}; CPU is the share of one core over {seconds:.0f} s."]
    return Table(name, title, [*rows, whole], notes)
