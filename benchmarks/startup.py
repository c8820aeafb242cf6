"""How long it takes until everything answers."""

import asyncio
import statistics
import sys
import time

from benchmarks import mesh
from benchmarks.mesh import BenchmarkFailed
from benchmarks.pace import Pace
from benchmarks.tables import Row, Table
from kit.service import ROOT


async def measure(pace: Pace) -> list[Table]:
    """Start a mesh without data, then again with what it has by then."""
    async with mesh.folder() as data_dir:
        async with mesh.running(data_dir) as first:
            first_s = first.start_up_s
        again_s = []
        for _ in range(pace.starts):
            async with mesh.running(data_dir) as again:
                again_s.append(again.start_up_s)
    rows = [
        _row("stubs, when no proto changed", [await _stubs_s()]),
        _row("first start, no data", [first_s]),
        _row("start, data present", again_s),
    ]
    notes = [
        "`make run` makes sure of the stubs, then starts: from there to the first 200 of /readyz."
    ]
    return [Table("startup", "Start-up", rows, notes)]


def _row(what: str, took_s: list[float]) -> Row:
    return {
        "what": what,
        "median_s": round(statistics.median(took_s), 2),
        "slowest_s": round(max(took_s), 2),
        "starts": len(took_s),
    }


async def _stubs_s() -> float:
    """How long the generator takes to see that there is nothing to generate."""
    started = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "protos" / "generate.py"), cwd=ROOT
    )
    if await process.wait():
        raise BenchmarkFailed("The stubs cannot be generated.")
    return time.perf_counter() - started
