"""`make bench-sales`: sales from the hold to the mail, measured, with the invariants at the end.

The exit status is 0 whatever the speed is, and 1 when something broke or a promise was not kept: a
purchase that failed, a paid order without its tickets, a mail too many, money in the wrong place.
"""

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import machine, mesh, shop
from benchmarks.mesh import BENCH_DIR, BenchmarkFailed
from benchmarks.sales import mails, paid, selling, stage, steady
from benchmarks.sales.finding import OTHERS, PARTS, Finding
from benchmarks.sales.pace import QUICK, THOROUGH, Pace
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event
from benchmarks.tables import Row, Table, Target
from tests.support.invariants import broken_invariants, broken_money, undelivered, unsettled

Measure = Callable[[Stage, Event, Pace], Awaitable[Finding]]

MEASURES: Mapping[str, Measure] = {
    "paid": paid.measure,
    "steady": steady.measure,
    "mails": mails.measure,
}
# What `sales.json` always has; null when it was not measured.
KEYS = (
    "paid_per_s",
    "mails_per_s",
    "payment_to_mail_p99_s",
    "errors",
    *(f"{part}_cpu_ms" for part in (*PARTS, *OTHERS, "generator")),
)
_AREAS = ("ticket", "payment")  # those with an outbox
_WARM_UP_CUSTOMERS = 4
_SETTLE_WITHIN_S = 120
_SHOWN = 10


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sales", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, for trying: rough figures")
    parser.add_argument(
        "--only", action="append", choices=MEASURES, help="this measure; repeatable"
    )
    parser.add_argument(
        "--output", type=Path, default=BENCH_DIR / "sales.json", help="where the JSON goes"
    )
    arguments = parser.parse_args()
    run = Run(QUICK if arguments.quick else THOROUGH)
    try:
        mesh.check_embedded()
        asyncio.run(run.everything(arguments.only or list(MEASURES)))
    except BenchmarkFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    run.conclude(arguments.output)
    sys.exit(1 if run.wrong else 0)


@dataclass(slots=True)
class Run:
    """One run: what was found so far, and what was wrong."""

    pace: Pace
    machine: Mapping[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)  # and how often each was

    async def everything(self, names: Collection[str]) -> None:
        """Measure what is named, one after the other."""
        async with mesh.folder() as data_dir, stage.build(data_dir) as set_up:
            self.machine = await machine.describe(data_dir)
            print(machine.render(self.machine), flush=True)
            token = await shop.open_shop(set_up.mesh)
            event = await shop.publish_event(set_up.mesh, token)
            await _warm_up(set_up, event, self.pace)
            for name, measure in MEASURES.items():
                if name in names:
                    await self._measure(name, measure(set_up, event, self.pace))
            await self._check(set_up)

    async def _measure(self, name: str, measuring: Awaitable[Finding]) -> None:
        try:
            finding = await measuring
        except BenchmarkFailed as error:
            self.wrong[f"{name}: {error}"] += 1
            return
        self.findings.append(finding)
        self.wrong.update(finding.wrong)
        print(f"\n{finding.table.render()}", flush=True)

    async def _check(self, set_up: Stage) -> None:
        """What must hold once everything has come to rest."""
        url = set_up.database_url
        left: list[str] = []
        for _ in range(_SETTLE_WITHIN_S):
            left = await unsettled(url)
            for area in _AREAS:
                left += await undelivered(url, area)
            if not left:
                break
            await asyncio.sleep(1)
        broken = left + await broken_invariants(url)
        broken += await broken_money(url, set_up.mesh.stripe_url, set_up.keys.secret_key)
        self.wrong.update(broken[:_SHOWN])
        if len(broken) > _SHOWN:
            self.wrong["more rows that break an invariant"] += len(broken) - _SHOWN
        print(f"\nInvariants: they {'are broken' if broken else 'hold'}.", flush=True)

    def conclude(self, output: Path) -> None:
        """Print what everything used, the targets, and what was wrong; write the JSON."""
        uses = [use.row() for finding in self.findings for use in finding.uses]
        targets = [target for finding in self.findings for target in finding.targets]
        if self.findings:
            notes = [
                "count: of sales with their mails, or of mails; ms: CPU milliseconds for each.",
                "mesh: the services and PostgreSQL; cores: busy on average, by all.",
            ]
            used = Table("cpu", "What it costs", uses, notes)
            goals = Table("targets", "Targets, on two cores", [each.row() for each in targets])
            print(f"\n{used.render()}\n\n{goals.render()}")
        if self.wrong:
            print("\nWrong\n\n" + "\n".join(f"{n} times: {what}" for what, n in self.wrong.items()))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(self._json(uses, targets), indent=2) + "\n")
        print(f"\nWritten to {output}.")

    def _json(self, uses: Sequence[Row], targets: Sequence[Target]) -> dict[str, Any]:
        figures = {key: value for each in self.findings for key, value in each.figures.items()}
        return {
            **dict.fromkeys(KEYS),
            **figures,
            "errors": self.wrong.total(),
            "is_quick": self.pace is QUICK,
            "wrong": self.wrong,
            "machine": self.machine,
            "targets": [target.json() for target in targets],
            "cpu": uses,
            "tables": {each.table.name: each.table.json() for each in self.findings},
        }


async def _warm_up(set_up: Stage, event: Event, pace: Pace) -> None:
    sale = await selling.in_turn(set_up, event, _WARM_UP_CUSTOMERS, pace.warm_up_s)
    await set_up.mails_are(sale.prefix, sale.paid, _SETTLE_WITHIN_S)


if __name__ == "__main__":
    main()
