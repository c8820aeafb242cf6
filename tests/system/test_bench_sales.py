"""`make bench-sales` works, and keeps its promises; how fast it is is not a test's business."""

import asyncio
import json
import os
import sys
from pathlib import Path

from kit.service import ROOT

KEYS = {
    "paid_per_s",
    "mails_per_s",
    "payment_to_mail_p99_s",
    "errors",
    "gateway_cpu_ms",
    "ticket_service_cpu_ms",
    "payment_service_cpu_ms",
    "notification_service_cpu_ms",
    "user_service_cpu_ms",
    "postgres_cpu_ms",
    "sandbox_cpu_ms",
    "generator_cpu_ms",
}
TIMEOUT_S = 300


async def test_a_quick_run_finds_every_figure_and_nothing_wrong(tmp_path: Path) -> None:
    output = tmp_path / "sales.json"
    own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.sales", "--quick", "--output", str(output)),
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
    assert (found["errors"], found["wrong"]) == (0, {})
