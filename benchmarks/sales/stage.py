"""What a sale is played on: a mesh, and beside it the Stripe sandbox and a mail server.

Each is a process of its own, so that its CPU time can be told from that of the others.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from benchmarks import mesh
from benchmarks.mesh import BenchmarkFailed, Mesh, start_process
from benchmarks.sales.arrivals import Arrival, Arrivals
from deploy.local.environment import LOCAL, free_port
from deploy.local.stripe_sandbox.settings import Keys, SandboxSettings, load_keys
from kit.service import ROOT
from kit.settings import PREFIX
from payment_service.payments.stripe_events import ENABLED_EVENTS

SANDBOX = "stripe_sandbox"
SINK = "smtp_sink"
# Live accounts that sell so much have more than the default: https://docs.stripe.com/rate-limits.
STRIPE_CALLS_PER_S = 1000
_START_WITHIN_S = 30
_LOOK_S = 0.2
_STOP_WITHIN_S = 20


@dataclass(slots=True)
class Part:
    """A process of ours beside the mesh, whose CPU time counts under its name."""

    name: str
    command: Sequence[str]
    port: int
    log_file: Path
    pid_file: Path  # in the mesh's folder of such
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def start(self) -> None:
        """Start, and return when it listens. Raises BenchmarkFailed."""
        self._process = await start_process(self.command, {}, self.log_file)
        deadline = time.monotonic() + _START_WITHIN_S
        while not await _listens(self.port):
            if self._process.returncode is not None or time.monotonic() > deadline:
                said = self.log_file.read_text().strip()
                raise BenchmarkFailed(f"{self.name} does not start: {said}")
            await asyncio.sleep(0.01)
        self.pid_file.parent.mkdir(exist_ok=True)
        self.pid_file.write_text(str(self._process.pid))

    async def stop(self) -> None:
        """Stop, if it runs; it may be started again."""
        self.pid_file.unlink(missing_ok=True)
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise BenchmarkFailed(f"{self.name} did not stop.") from None


@dataclass(frozen=True, slots=True)
class Stage:
    """A mesh, the sandbox's keys, and the mail server, which may go away and come back."""

    mesh: Mesh
    keys: Keys
    sink: Part
    arrivals: Arrivals

    @property
    def database_url(self) -> str:
        return self.mesh.settings("payment_service")["DATABASE_URL"]

    def mails(self, prefix: str) -> list[Arrival]:
        """What has come for addresses that begin so, the first ones first."""
        return self.arrivals.to(prefix)

    async def mails_are(self, prefix: str, count: int, within_s: float) -> None:
        """Return when so many have come. Raises BenchmarkFailed."""
        await until(lambda: len(self.mails(prefix)) >= count, within_s, "Mails are missing")


async def until(holds: Callable[[], bool], within_s: float, failure: str) -> None:
    """Return when something holds. Raises BenchmarkFailed."""
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"{failure} after {within_s:.0f} s.")
        await asyncio.sleep(_LOOK_S)


@asynccontextmanager
async def build(data_dir: Path, settings: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Start everything, ready to sell; all of it stops at the end.

    `settings` are named without their prefix, and come on top of those of the benchmarks.

    Raises:
        BenchmarkFailed: a part did not start, or did not stop.
    """
    run_dir, mail_file = data_dir / "run", data_dir / "mails.txt"
    keys = load_keys(SandboxSettings(data_dir / "stripe"))
    port = free_port()
    options = {
        "--port": str(port),
        "--data-dir": str(data_dir / "stripe"),
        "--webhook-events": ",".join(ENABLED_EVENTS),
    }
    arguments = [each for option in options.items() for each in option]
    sandbox = _part(run_dir, SANDBOX, port, "deploy.local.stripe_sandbox", *arguments)
    port = free_port()
    sink = _part(run_dir, SINK, port, "benchmarks.sales.sink", str(port), str(mail_file))
    stripe_url = f"http://{LOCAL}:{sandbox.port}"
    try:
        await sandbox.start()
        await sink.start()
        ours = _settings(keys, stripe_url, f"smtp://{LOCAL}:{sink.port}")
        whole = {**ours, **(settings or {})}
        async with mesh.running(data_dir, separate=True, settings=whole) as running:
            await _send_webhooks(stripe_url, f"{running.url}/v1/webhooks/stripe", keys)
            yield Stage(replace(running, stripe_url=stripe_url), keys, sink, Arrivals(mail_file))
    finally:
        await sink.stop()
        await sandbox.stop()


def _part(run_dir: Path, name: str, port: int, module: str, *arguments: str) -> Part:
    command = [sys.executable, "-m", module, *arguments]
    log_file = run_dir.parent / f"{name}.log"
    return Part(name, command, port, log_file, run_dir / f"{name}.pid")


def _settings(keys: Keys, stripe_url: str, smtp_url: str) -> Mapping[str, str]:
    """What leads to our parts, and nothing of a developer's own."""
    settings = {
        "ENV_FILE": os.devnull,
        "STRIPE_SECRET_KEY": keys.secret_key,
        "STRIPE_PUBLISHABLE_KEY": keys.publishable_key,
        "STRIPE_WEBHOOK_SECRET": keys.webhook_secret,
        "STRIPE_API_BASE": stripe_url,
        "STRIPE_CALLS_PER_SECOND": str(STRIPE_CALLS_PER_S),
        "SMTP_URL": smtp_url,
    }
    known = (ROOT / ".env.example").read_text()
    return {name: value for name, value in settings.items() if PREFIX + name in known}


async def _send_webhooks(stripe_url: str, url: str, keys: Keys) -> None:
    async with httpx.AsyncClient(base_url=stripe_url, trust_env=False) as http:
        endpoint = {"url": url, "secret": keys.webhook_secret}
        answer = await http.post("/_sandbox/webhooks/endpoint", json=endpoint)
        answer.raise_for_status()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOCAL, port)
    except OSError:
        return False
    writer.close()
    return True
