"""`make bench-onsale`: the minute an event goes on sale, measured, with the invariants at the end.

The exit status is 0 whatever the speed is, and 1 when something broke or a promise was not kept: a
ticket or a seat given twice, "sold out" said too soon, an answer that no client should get.
"""

import argparse
import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, mesh
from benchmarks.mesh import BENCH_DIR, BenchmarkFailed, Mesh
from benchmarks.onsale import batch, expiry, holds, memory, needs, reads, rush, seats
from benchmarks.onsale.finding import Finding
from benchmarks.onsale.pace import QUICK, THOROUGH, Pace
from benchmarks.onsale.stock import StockBook
from benchmarks.tables import Row, Table, Target
from tests.support.invariants import broken_invariants

Measure = Callable[[Mesh, Pace], Awaitable[Finding]]

# What `onsale.json` always has; null when it was not measured.
KEYS = (
    "holds_per_s",
    "holds_p99_ms",
    "plain_holds_per_s",
    "batch_rpc_holds_per_s",
    "oversold",
    "undersold",
    "seat_pairs_per_s",
    "cached_reads_per_s",
    "ticket_service_rss_mb",
)
NAMES = ("memory", "holds", "batch", "reads", "seats", "rush", "expiry")
_HOLD_S = 900  # a quarter of an hour, as shipped
_SHOWN = 5  # of the rows that break an invariant


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.onsale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, for trying: rough figures")
    parser.add_argument("--only", action="append", choices=NAMES, help="this measure; repeatable")
    parser.add_argument(
        "--output", type=Path, default=BENCH_DIR / "onsale.json", help="where the JSON goes"
    )
    arguments = parser.parse_args()
    try:
        mesh.check_embedded()
        needs.wrk()
        needs.open_files()
        run = Run(QUICK if arguments.quick else THOROUGH)
        asyncio.run(run.everything(arguments.only or NAMES))
    except BenchmarkFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    run.conclude(arguments.output)
    sys.exit(1 if run.wrong else 0)


def _meshes(pace: Pace) -> dict[int, dict[str, Measure]]:
    """The meshes to start, by how long their holds live, in seconds, and what each is to do."""
    meshes: defaultdict[int, dict[str, Measure]] = defaultdict(dict)
    meshes[_HOLD_S] = {
        "memory": memory.measure,  # first: a mesh that has worked is bigger
        "holds": holds.measure,
        "batch": batch.measure,
        "reads": reads.measure,
        "seats": seats.measure,
    }
    meshes[pace.rush_hold_s]["rush"] = rush.measure
    meshes[pace.expiry_hold_s]["expiry"] = expiry.measure
    return meshes


@dataclass(slots=True)
class Run:
    """One run: what was found so far, and what was wrong."""

    pace: Pace
    machine: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def everything(self, names: Collection[str]) -> None:
        """Measure what is named."""
        async with mesh.folder() as data_dir:
            described = await machine.describe(data_dir)
        self.machine = described
        print(machine.render(described), flush=True)
        for hold_s, measures in _meshes(self.pace).items():
            wanted = {name: measure for name, measure in measures.items() if name in names}
            if wanted:
                # A developer's own settings are not a benchmark's.
                settings = {"ENV_FILE": os.devnull, "HOLD_SECONDS": str(hold_s)}
                async with (
                    mesh.folder() as data_dir,
                    mesh.running(data_dir, separate=True, settings=settings) as running,
                ):
                    await self._measure(running, wanted)

    async def _measure(self, running: Mesh, measures: Mapping[str, Measure]) -> None:
        """Measure one by one; the invariants come last, whatever happened before."""
        for name, measure in measures.items():
            try:
                finding = await measure(running, self.pace)
            except BenchmarkFailed as error:
                self.wrong.append(f"{name}: {error}")
                continue
            self.findings.append(finding)
            self.wrong += finding.wrong
            print(f"\n{finding.table.render()}", flush=True)
        broken = await broken_invariants(running.settings("ticket_service")["DATABASE_URL"])
        async with StockBook.open(running) as book:
            if oversold := await book.oversold():
                broken.append(f"I1: {oversold} tickets were given out that do not exist")
        self.wrong += broken[:_SHOWN]
        if len(broken) > _SHOWN:
            self.wrong.append(f"… and {len(broken) - _SHOWN} more rows that break an invariant")
        verdict = "broken" if broken else "hold"
        print(f"\nInvariants after {', '.join(measures)}: they {verdict}.", flush=True)

    def conclude(self, output: Path) -> None:
        """Print what everything used, the targets, and what was wrong; write the JSON."""
        uses = [use.row() for finding in self.findings for use in finding.uses]
        targets = [target for finding in self.findings for target in finding.targets]
        if self.findings:
            used = Table("cpu", "CPU seconds that each load took, its generator included", uses)
            goals = Table("targets", "Targets, on two cores", [each.row() for each in targets])
            print(f"\n{used.render()}\n\n{goals.render()}")
        if self.wrong:
            print("\nWrong\n\n" + "\n".join(self.wrong))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(self._json(uses, targets), indent=2) + "\n")
        print(f"\nWritten to {output}.")

    def _json(self, uses: Sequence[Row], targets: Sequence[Target]) -> dict[str, Any]:
        figures = {key: value for each in self.findings for key, value in each.figures.items()}
        return {
            **dict.fromkeys(KEYS),
            **figures,
            "is_quick": self.pace is QUICK,
            "wrong": self.wrong,
            "machine": self.machine,
            "targets": [target.json() for target in targets],
            "cpu": uses,
            "tables": {each.table.name: each.table.json() for each in self.findings},
        }


if __name__ == "__main__":
    main()
