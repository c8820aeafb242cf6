"""A whole mesh to measure: `python -m deploy.local` as a process, with data of its own."""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks import processes
from benchmarks.http_client import Answer, Connection, encode
from benchmarks.processes import CpuClock, Memory
from deploy.local import die_with_parent
from deploy.local.environment import LOCAL, free_port, given
from kit.service import ROOT
from kit.settings import PREFIX

BENCH_DIR = ROOT / "var" / "bench"
# With one of these the figures would be another machine's, and the payments real.
_REPLACED = ("DATABASE_URL", "AMQP_URL", "STRIPE_SECRET_KEY", "SMTP_URL")
_START_TIMEOUT_S = 90
_STOP_TIMEOUT_S = 40
_POLL_S = 0.01
_CALM_CORES = 0.1
_CALM_LOOK_S = 0.2
_CALM_TIMEOUT_S = 10


class BenchmarkFailed(Exception):
    """Something broke, so that there is no figure."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """A running mesh."""

    url: str
    stripe_url: str
    data_dir: Path
    launcher: int  # the pid of the process that started the others
    start_up_s: float  # from starting the process to the first 200 of /readyz

    @property
    def run_dir(self) -> Path:
        """Where the pids and logs of separate parts are."""
        return self.data_dir / "run"

    def settings(self, part: str) -> dict[str, str]:
        """What a separate part was started with; names without their prefix."""
        environment = psutil.Process(int((self.run_dir / f"{part}.pid").read_text())).environ()
        return {
            name.removeprefix(PREFIX): value
            for name, value in environment.items()
            if name.startswith(PREFIX)
        }

    def cpu(self) -> CpuClock:
        return CpuClock.read(self.launcher, self.run_dir)

    async def calm(self) -> None:
        """Wait until what an earlier load left behind is done, or go on after `_CALM_TIMEOUT_S`.

        A change goes on when the client that asked for it is gone, and would slow the next load.
        """
        for _ in range(round(_CALM_TIMEOUT_S / _CALM_LOOK_S)):
            before = self.cpu()
            await asyncio.sleep(_CALM_LOOK_S)
            after = self.cpu()
            cores = sum(after.since(before).values()) / (after.read_at_s - before.read_at_s)
            if cores < _CALM_CORES:
                return

    def memory(self) -> Memory:
        return processes.memory(self.launcher, self.run_dir)

    def mail_count(self) -> int:
        """How many mails have arrived."""
        return sum(1 for _ in (self.data_dir / "mail").glob("new/*"))

    async def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, token: str = ""
    ) -> Any:
        """The JSON that a good answer says. Raises BenchmarkFailed."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        sent = json.dumps(body).encode() if body is not None else b""
        answer = await _ask(self.url, encode(method, path, sent, headers))
        if answer.status >= 300:
            raise BenchmarkFailed(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer.json()


def check_embedded() -> None:
    """Raise BenchmarkFailed when settings put something real in an embedded part's place."""
    real = [PREFIX + name for name in _REPLACED if PREFIX + name in given()]
    if real:
        names = ", ".join(real)
        raise BenchmarkFailed(f"Only embedded parts are measured: unset {names} (see .env, too).")


@asynccontextmanager
async def folder() -> AsyncIterator[Path]:
    """An empty data folder, on the disk that `make run` uses; it goes at the end."""
    BENCH_DIR.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(prefix="data-", dir=BENCH_DIR))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@asynccontextmanager
async def running(
    data_dir: Path, *, separate: bool = False, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Mesh]:
    """A mesh that is ready; it stops at the end, and its data stays.

    `settings` are named without their prefix, and come on top of those of `make run`.

    Raises:
        BenchmarkFailed: it did not become ready, or did not stop.
    """
    port, stripe_port = free_port(), free_port()
    log_file = data_dir / "launcher.log"
    chosen = {
        "DATA_DIR": str(data_dir),
        "HTTP_PORT": str(port),
        "STRIPE_SANDBOX_PORT": str(stripe_port),
        **(settings or {}),
    }
    started = time.perf_counter()
    process = await _start(chosen, log_file, separate=separate)
    try:
        await ready(process, f"http://{LOCAL}:{port}", log_file)
        yield Mesh(
            url=f"http://{LOCAL}:{port}",
            stripe_url=f"http://{LOCAL}:{stripe_port}",
            data_dir=data_dir,
            launcher=process.pid,
            start_up_s=time.perf_counter() - started,
        )
    finally:
        await _stop(process)


async def _start(
    settings: Mapping[str, str], log_file: Path, *, separate: bool
) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "deploy.local", *(["--separate"] if separate else [])]
    return await start_process(command, settings, log_file)


async def start_process(
    command: Sequence[str], settings: Mapping[str, str], log_file: Path
) -> asyncio.subprocess.Process:
    """Start a process of ours that knows these settings only; it ends with us."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *die_with_parent.wrap(command, death_signal=signal.SIGTERM),
            cwd=ROOT,
            env={**inherited, **{PREFIX + name: value for name, value in settings.items()}},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us, who then stop it
        )


async def ready(process: asyncio.subprocess.Process, url: str, log_file: Path) -> None:
    """Return when `/readyz` is good. Raises BenchmarkFailed when that takes too long."""
    request = encode("GET", "/readyz")
    deadline = time.monotonic() + _START_TIMEOUT_S
    while process.returncode is None and time.monotonic() < deadline:
        try:
            if (await _ask(url, request)).status == 200:
                return
        except OSError:
            pass  # nobody listens yet
        await asyncio.sleep(_POLL_S)
    raise BenchmarkFailed(f"The mesh did not become ready: {_read(log_file)}")


def _read(log_file: Path) -> str:
    return log_file.read_text().strip()


async def _ask(url: str, request: bytes) -> Answer:
    connection = await Connection.open(url)
    try:
        return await connection.send(request)
    finally:
        connection.close()


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise BenchmarkFailed(f"The mesh did not stop within {_STOP_TIMEOUT_S} s.") from None
