"""`make bench-onsale` works, and keeps its promises; how fast it is is not a test's business."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from kit.service import ROOT

KEYS = {
    "holds_per_s",
    "holds_p99_ms",
    "plain_holds_per_s",
    "batch_rpc_holds_per_s",
    "oversold",
    "undersold",
    "seat_pairs_per_s",
    "cached_reads_per_s",
    "ticket_service_rss_mb",
}
TIMEOUT_S = 400


@pytest.mark.skipif(
    shutil.which("wrk") is None and os.geteuid() != 0, reason="wrk is not installed"
)
async def test_a_quick_run_finds_every_figure_and_nothing_wrong(tmp_path: Path) -> None:
    output = tmp_path / "onsale.json"
    own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.onsale", "--quick", "--output", str(output)),
        cwd=ROOT,
        env={**own, "TESSERA_ENV_FILE": os.devnull},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            printed, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    assert run.returncode == 0, printed.decode()
    found = json.loads(output.read_text())
    assert {key for key in KEYS if found[key] is None} == set()
    assert (found["oversold"], found["undersold"], found["wrong"]) == (0, 0, [])
