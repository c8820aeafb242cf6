"""Load from outside: processes of their own that send requests, and what they used to do so."""

import asyncio
import json
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.mesh import BenchmarkFailed
from kit.service import ROOT

WRK = "wrk"
OURS = "benchmarks.generator"
# Above this share of a core the generator, not the mesh, may be what is measured.
BUSY_SHARE = 0.8
_WRK_SCRIPT = Path(__file__).with_name("wrk.lua")
_GRACE_S = 60


@dataclass(frozen=True, slots=True)
class Requests:
    """The same request, sent again and again by as many connections."""

    url: str
    method: str
    path: str
    connections: int
    duration_s: float  # or until the limit is reached
    body: bytes = b""
    limit: int = 0  # of requests, all of which are answered; 0: none. wrk only
    keep: Path | None = None  # where the bodies of the 201 answers go, a line each. wrk only

    def lasting(self, duration_s: float) -> "Requests":
        """The same for another time: to warm up."""
        return replace(self, duration_s=duration_s)


@dataclass(frozen=True, slots=True)
class Load:
    """What a generator reports: keys as `generator` documents them, and its share of a core."""

    report: Mapping[str, Any]
    generator_cpu_s: float
    generator_share: float

    @property
    def generator_percent(self) -> float:
        return round(self.generator_share * 100, 1)


def generator_name() -> str:
    """Who sends the requests on this machine."""
    return WRK if shutil.which(WRK) else OURS


async def requests(plan: Requests) -> Load:
    """Send requests for a while; by wrk where it is installed.

    The report: `answers` in time, `duration_s`, `statuses` (how many of each), `lost` connections,
    and `p50_ms`, `p99_ms`.
    """
    if generator_name() == WRK:
        return await wrk(plan)
    return await generator("requests", {**asdict(plan), "body": plan.body.decode(), "keep": ""})


def bottleneck_notes(loads: Sequence[Load]) -> list[str]:
    """A warning, if the generator was too busy to be believed."""
    most = max(load.generator_share for load in loads)
    if most <= BUSY_SHARE:
        return []
    return [f"The load generator used {most:.0%} of a core: it may be the limit, not the mesh."]


async def generator(kind: str, plan: Mapping[str, Any], module: str = OURS) -> Load:
    """What a process of ours reports that sends what `plan` says for its `duration_s`."""
    command = [sys.executable, "-m", module, kind]
    report = json.loads(await _output(command, json.dumps(plan).encode(), plan["duration_s"]))
    return _load(report, report["cpu_s"])


async def wrk(plan: Requests) -> Load:
    """Send requests by wrk.

    The report is that of `requests`, and has besides: the `reasons` of refusals (how many of each),
    and, in seconds since 1970, the `moments` of `first_sold_out_s` and, with a limit, of
    `first_sent_s` and `last_created_s`, as far as there were such.
    """
    command = [
        WRK,
        "--threads=1",
        f"--connections={plan.connections}",
        f"--duration={max(1, round(plan.duration_s))}s",
        "--timeout=30s",
        f"--script={_WRK_SCRIPT}",
        plan.url + plan.path,
        "--",
        plan.method,
        plan.body.decode(),
        str(plan.limit),
        str(plan.keep or ""),
    ]
    used_before_s = _children_cpu_s()
    output = await _output(command, b"", plan.duration_s)
    return _load(json.loads(output.splitlines()[-1]), _children_cpu_s() - used_before_s)


def _load(report: dict[str, Any], cpu_s: float) -> Load:
    return Load(report, cpu_s, cpu_s / report["duration_s"])


async def _output(command: Sequence[str], given: bytes, duration_s: float) -> bytes:
    """What a process prints that is to work for `duration_s`. Raises BenchmarkFailed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(duration_s + _GRACE_S):
            output, complaint = await process.communicate(given)
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if process.returncode != 0:
        raise BenchmarkFailed(f"{command[0]} failed: {complaint.decode().strip()}")
    return output


def _children_cpu_s() -> float:
    """CPU seconds of this process's ended children; wrk is the only one that ends now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
