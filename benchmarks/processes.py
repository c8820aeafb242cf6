"""What the mesh's processes use: CPU time and memory, part by part."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

LAUNCHER = "launcher"
POSTGRES = "postgres"
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in megabytes (10^6 bytes) of each part, and how it was counted.

    `PSS` shares each page among those who map it, so that a sum counts it once. `RSS` counts it
    again in each of them: PostgreSQL's processes then look bigger than they are.
    """

    mb: Mapping[str, float]
    kind: str

    @property
    def total_mb(self) -> float:
        return sum(self.mb.values())


@dataclass(frozen=True, slots=True)
class CpuClock:
    """The CPU time each part has used when the clock was read."""

    cpu_s: Mapping[str, float]
    read_at_s: float  # time.monotonic()

    @classmethod
    def read(cls, launcher: int, run_dir: Path) -> Self:
        cpu_s = {
            name: sum(_cpu_s(process) for process in processes)
            for name, processes in parts(launcher, run_dir).items()
        }
        return cls(cpu_s, time.monotonic())

    def since(self, earlier: Self) -> dict[str, float]:
        """CPU seconds of each part since then."""
        return {name: self.cpu_s[name] - earlier.cpu_s.get(name, 0.0) for name in self.cpu_s}


def parts(launcher: int, run_dir: Path) -> dict[str, list[psutil.Process]]:
    """The mesh's processes: the launcher, PostgreSQL with its backends, and separate services.

    `run_dir` has the pids of what runs separately, whoever started it. Whatever else the launcher
    started is its own.
    """
    root = psutil.Process(launcher)
    names = {int(path.read_text()): path.stem for path in run_dir.glob("*.pid")}
    found: dict[str, list[psutil.Process]] = {LAUNCHER: [root]}
    children = root.children()
    others = names.keys() - {child.pid for child in children}
    for child in [*children, *(psutil.Process(pid) for pid in others if psutil.pid_exists(pid))]:
        name = names.get(child.pid) or (POSTGRES if child.name() == POSTGRES else LAUNCHER)
        found.setdefault(name, []).extend([child, *child.children(recursive=True)])
    return found


def memory(launcher: int, run_dir: Path) -> Memory:
    """The memory in use now."""
    by_part = parts(launcher, run_dir)
    for kind in ("pss", "rss"):
        try:
            mb = {
                name: sum(getattr(each.memory_full_info(), kind) for each in processes) / MEGABYTE
                for name, processes in by_part.items()
            }
        except (AttributeError, psutil.AccessDenied):
            continue  # only Linux knows it, and not of everybody's processes
        return Memory(mb, kind.upper())
    raise RuntimeError("this system does not tell the memory of our own processes")


def _cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and of those children that it has seen end."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0  # its parent has counted it by now
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)
