"""Benchmarks as somebody runs them: from the command line, with settings of their own."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from kit.service import ROOT


async def run_benchmark(module: str, *options: str, output: Path, timeout_s: float) -> Any:
    """What a benchmark found, as it wrote that to `output`; it must find nothing wrong."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
    run = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", module, *options, "--output", str(output)),
        cwd=ROOT,
        env={**own, "TESSERA_ENV_FILE": os.devnull},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            printed, _ = await run.communicate()
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
    assert run.returncode == 0, printed.decode()
    return json.loads(await asyncio.to_thread(output.read_text))
