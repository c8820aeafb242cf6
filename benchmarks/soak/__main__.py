"""`make soak`: thousands of payments while everything goes wrong, and the proof that none is lost.

The exit status is 1 when a promise was broken: a payment lost, a customer charged twice or for no
ticket, an invariant, or something that the reconciliation at the end found to heal or to report.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, mesh
from benchmarks.mesh import BENCH_DIR, BenchmarkFailed
from benchmarks.sales import stage
from benchmarks.sales.stage import Stage
from benchmarks.soak import faulty, races
from benchmarks.soak.finding import Finding

PAYMENTS, RACES = 10_000, 2_000
Proof = Callable[[Stage, int, int], Awaitable[Finding]]


def main() -> None:
    """Prove, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--payments", type=int, default=PAYMENTS, help="0: not that proof")
    parser.add_argument("--races", type=int, default=RACES, help="0: not that proof")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what goes wrong when")
    parser.add_argument(
        "--output", type=Path, default=BENCH_DIR / "soak.json", help="where the JSON goes"
    )
    given = parser.parse_args()
    run = Run(given.seed)
    try:
        mesh.check_embedded()
        asyncio.run(run.everything(given.payments, given.races))
    except BenchmarkFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    run.conclude(given.output)
    sys.exit(1 if run.is_wrong else 0)


@dataclass(slots=True)
class Run:
    """One run: the same seed has the same things go wrong, though not in the same moments."""

    seed: int
    machine: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        return any(finding.wrong for finding in self.findings)

    async def everything(self, payments: int, races_: int) -> None:
        """Each proof on a mesh of its own."""
        proofs: tuple[tuple[Proof, int, int], ...] = (
            (faulty.run, payments, faulty.HOLD_S),
            (races.run, races_, races.HOLD_S),
        )
        for prove, count, hold_s in proofs:
            if count:
                await self._prove(prove, count, hold_s)

    async def _prove(self, prove: Proof, count: int, hold_s: int) -> None:
        settings = {"HOLD_SECONDS": str(hold_s)}
        async with mesh.folder() as data_dir, stage.build(data_dir, settings) as set_up:
            if not self.machine:
                self.machine = await machine.describe(data_dir)
                print(f"{machine.render(dict(self.machine))}, seed {self.seed}", flush=True)
            finding = await prove(set_up, count, self.seed)
        self.findings.append(finding)
        print(f"\n{finding.table.render()}", flush=True)
        for what, n in finding.wrong.items():
            print(f"WRONG, {n} times: {what}", flush=True)

    def conclude(self, output: Path) -> None:
        found = {
            "seed": self.seed,
            "machine": self.machine,
            "is_wrong": self.is_wrong,
            **{finding.name: finding.json() for finding in self.findings},
        }
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(found, indent=2) + "\n")
        print(f"\n{'Promises were broken.' if self.is_wrong else 'All promises were kept.'}")
        print(f"Written to {output}.")


if __name__ == "__main__":
    main()
