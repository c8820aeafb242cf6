"""`make bench-onsale` works, and keeps its promises; how fast it is is not a test's business."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.benchmarks import run_benchmark

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
    found = await run_benchmark("benchmarks.onsale", "--quick", output=output, timeout_s=TIMEOUT_S)
    assert {key for key in KEYS if found[key] is None} == set()
    assert (found["oversold"], found["undersold"], found["wrong"]) == (0, 0, [])
