"""The whole mesh as a person runs it: `python -m deploy.local`, in a folder of its own."""

import asyncio
import json
import mailbox
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from deploy.local.environment import free_port
from kit.service import ROOT

READY = "Tessera is ready"
START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 40
WAIT_S = 60

Found = TypeVar("Found")


class LocalMesh:
    """One mesh with its own data folder and ports; the data outlives `stop` and `kill`."""

    def __init__(
        self, data_dir: Path, *, separate: bool = False, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self._separate = separate
        self._port, self._stripe_port = free_port(), free_port()
        self._settings = {
            "TESSERA_DATA_DIR": str(data_dir),
            "TESSERA_HTTP_PORT": str(self._port),
            "TESSERA_STRIPE_SANDBOX_PORT": str(self._stripe_port),
            "TESSERA_DURABLE": "no",
            "TESSERA_ENV_FILE": os.devnull,  # a developer's own settings are not a test's
            **(settings or {}),
        }
        self._process: asyncio.subprocess.Process | None = None
        self.output = ""
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30)
        self.stripe = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._stripe_port}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Start, and return when everything answers."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("TESSERA_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "deploy.local",
            *(["--separate"] if self._separate else []),
            cwd=ROOT,
            env={**own, **self._settings},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self.output = ""
        async with asyncio.timeout(START_TIMEOUT_S):
            while READY not in self.output or "Log" not in self.output:
                line = await self._stdout().readline()
                assert line, f"the mesh did not start:\n{self.output}"
                self.output += line.decode()
        keys = self.data_dir / "stripe" / "keys.json"
        if keys.exists():
            secret = json.loads(keys.read_text())["secret_key"]
            self.stripe.headers["Authorization"] = f"Bearer {secret}"

    async def stop(self) -> int:
        """Ctrl-C; answers the exit status."""
        return await self.end(signal.SIGINT)

    async def kill(self) -> None:
        """Pull the plug of everything but PostgreSQL's disk."""
        await self.end(signal.SIGKILL)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; answers the exit status once it has ended."""
        self.signal(number)
        return await self.ended()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the launcher alone."""
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait until it ends by itself; answers the exit status."""
        assert self._process is not None
        async with asyncio.timeout(STOP_TIMEOUT_S):
            self.output += (await self._stdout().read()).decode()
            return await self._process.wait()

    async def close(self) -> None:
        """Stop if it runs, and let go of the connections."""
        if self._process is not None and self._process.returncode is None:
            await self.stop()
        await self.http.aclose()
        await self.stripe.aclose()

    @property
    def database_url(self) -> str:
        """The embedded server's `TESSERA_DATABASE_URL`."""
        folder = (self.data_dir / "postgres" / "socket").resolve()
        return f"postgresql+asyncpg://tessera@/tessera?host={folder}&port=5432"

    def processes(self) -> list[psutil.Process]:
        """The launcher and everything it started."""
        assert self._process is not None
        launcher = psutil.Process(self._process.pid)
        return [launcher, *launcher.children(recursive=True)]

    def pid(self, name: str) -> int:
        """The process of one service of a separate mesh."""
        return int((self.data_dir / "run" / f"{name}.pid").read_text())

    async def kill_service(self, name: str) -> None:
        """SIGKILL one service; the mesh starts it again. Returns when it has a new process."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: _done(self.pid(name) != pid))

    async def ready(self) -> None:
        """Return when every part answers."""

        async def answers() -> bool:
            try:
                return (await self.http.get("/readyz")).is_success
            except httpx.TransportError:
                return False

        await until(answers)

    def mails(self) -> list[EmailMessage]:
        """All received mail, oldest first."""
        box = mailbox.Maildir(self.data_dir / "mail", create=False)
        raw = [box.get_bytes(key) for key in sorted(box.keys())]
        return [message_from_bytes(mail, EmailMessage, policy=default) for mail in raw]

    def mails_about(self, text: str) -> list[EmailMessage]:
        """Received mail whose subject has the text, such as an order's code."""
        return [mail for mail in self.mails() if text in str(mail["Subject"])]

    def secrets(self) -> dict[str, Any]:
        """What the mesh made for itself: the superadmin's password among it."""
        found: dict[str, Any] = json.loads((self.data_dir / "secrets.json").read_text())
        return found

    def _stdout(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout


async def until(look: Callable[[], Awaitable[Found]], timeout_s: float = WAIT_S) -> Found:
    """The first true thing that `look` answers."""
    async with asyncio.timeout(timeout_s):
        while not (found := await look()):
            await asyncio.sleep(0.05)
    return found


async def _done(answer: Found) -> Found:
    return answer
