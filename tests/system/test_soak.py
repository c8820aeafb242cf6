"""`make soak`, for as long as a test may take: it keeps its promises, and says so."""

import asyncio
import json
import os
import sys
from pathlib import Path

from kit.service import ROOT

PAYMENTS, RACES = 150, 40
SEED = 1  # no webhook is lost: that would take until the deadline
TIMEOUT_S = 400


async def test_a_short_run_loses_no_payment_and_charges_nobody_twice(tmp_path: Path) -> None:
    output = tmp_path / "soak.json"
    own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    counts = ("--payments", str(PAYMENTS), "--races", str(RACES), "--seed", str(SEED))
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "benchmarks.soak", *counts, "--output", str(output)),
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
    faulty, races = found["faulty"], found["races"]
    assert faulty["paid"] + faulty["given_up"] == faulty["payments"] == PAYMENTS
    assert faulty["faults"] > PAYMENTS // 3
    assert races["races"] >= RACES
    assert races["paid"] + races["expired"] + races["cancelled"] == races["races"]
    for proof in (faulty, races):
        assert proof["examined"] > 0
        assert (proof["twice"], proof["healed"], proof["reported"], proof["wrong"]) == (0, 0, 0, {})
