"""`make bench`: measures, prints each figure as a small table, and writes them all as JSON."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

from benchmarks import (
    encoding,
    gateway_requests,
    holds,
    idle,
    machine,
    mesh,
    startup,
)
from benchmarks.mesh import BENCH_DIR, BenchmarkFailed
from benchmarks.pace import QUICK, THOROUGH, Pace
from benchmarks.tables import Table

TOGETHER = {"idle": idle.together}
SEPARATE = {
    "idle": idle.separate,  # first: a mesh that has worked is bigger
    "gateway": gateway_requests.measure,
    "holds": holds.measure,
}
NAMES = ("encoding", "startup", *SEPARATE)


def main() -> None:
    """Exit 0 whatever the figures are, and 1 with one sentence when something broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, for trying: rough figures")
    parser.add_argument("--only", action="append", choices=NAMES, help="this measure; repeatable")
    parser.add_argument(
        "--output", type=Path, default=BENCH_DIR / "bench.json", help="where the JSON goes"
    )
    arguments = parser.parse_args()
    try:
        asyncio.run(_run(arguments.only or NAMES, arguments.output, is_quick=arguments.quick))
    except BenchmarkFailed as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


async def _run(names: Collection[str], output: Path, *, is_quick: bool) -> None:
    mesh.check_embedded()
    async with mesh.folder() as data_dir:
        described = await machine.describe(data_dir)
    print(machine.render(described), flush=True)
    figures: dict[str, Any] = {"machine": described, "is_quick": is_quick, "tables": {}}
    async with aclosing(_tables(names, QUICK if is_quick else THOROUGH)) as tables:
        async for table in tables:
            print(f"\n{table.render()}", flush=True)
            figures["tables"][table.name] = table.json()
    _write(output, figures)
    print(f"\nWritten to {output}.")


def _write(output: Path, figures: Mapping[str, Any]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(figures, indent=2) + "\n")


async def _tables(names: Collection[str], pace: Pace) -> AsyncGenerator[Table, None]:
    if "encoding" in names:
        for table in encoding.measure(pace):
            yield table
    if "startup" in names:
        for table in await startup.measure(pace):
            yield table
    for separate, measures in ((False, TOGETHER), (True, SEPARATE)):
        wanted = [measure for name, measure in measures.items() if name in names]
        if not wanted:
            continue
        async with mesh.folder() as data_dir, mesh.running(data_dir, separate=separate) as running:
            for measure in wanted:
                for table in await measure(running, pace):
                    yield table


if __name__ == "__main__":
    main()
