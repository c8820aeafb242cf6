"""The plain design at work: its ticket_service and gateway, beside the shipped ones of a mesh."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.mesh import BenchmarkFailed, Mesh, ready, start_process
from deploy.local.environment import LOCAL, free_port

POOL_SIZE = 20  # connections; more only wait for the same row
_STOP_TIMEOUT_S = 40


@asynccontextmanager
async def running(mesh: Mesh) -> AsyncIterator[Mesh]:
    """The same mesh through the plain gateway.

    Same machine, database and settings; the shipped two stand idle meanwhile.
    """
    port = free_port()
    changes = {
        "TICKET_SERVICE_ADDRESS": f"{LOCAL}:{free_port()}",
        "HTTP_PORT": str(port),
        "DATABASE_POOL": str(POOL_SIZE),
    }
    async with AsyncExitStack() as stack:
        for part in ("ticket_service", "gateway"):
            process = await stack.enter_async_context(_part(mesh, part, changes))
        url = f"http://{LOCAL}:{port}"
        await ready(process, url, _log(mesh, "gateway"))
        yield replace(mesh, url=url)


@asynccontextmanager
async def _part(
    mesh: Mesh, part: str, changes: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    command = [sys.executable, "-m", "benchmarks.onsale.plain", part]
    settings = {**mesh.settings(part), **changes}
    process = await start_process(command, settings, _log(mesh, part))
    pid_file = mesh.run_dir / f"plain_{part}.pid"  # so that its CPU time is counted
    pid_file.write_text(str(process.pid))
    try:
        yield process
    finally:
        pid_file.unlink()
        await _stop(process)


def _log(mesh: Mesh, part: str) -> Path:
    return mesh.run_dir / f"plain_{part}.log"


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise BenchmarkFailed("The plain design did not stop.") from None
