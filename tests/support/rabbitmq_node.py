"""A private RabbitMQ node: its own ports, data and name, on loopback only."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import aio_pika

from deploy.local import die_with_parent
from deploy.local.environment import free_port

START_TIMEOUT_S = 90.0
INSTALL_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
_ATTEMPTS = 3
_POLL_S = 0.05
_DEBIAN_SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class RabbitMQUnavailable(Exception):
    """There is no RabbitMQ for the tests; the message says why."""


class RabbitNode:
    """One node, which ends with this process. Start it again after `stop` or `kill`."""

    def __init__(self, directory: Path, vhosts: Sequence[str] = ("tests",)) -> None:
        self._directory = directory
        self._vhosts = vhosts
        self._ports: tuple[int, int, int] | None = None
        self._processes: list[asyncio.subprocess.Process] = []

    @property
    def url(self) -> str:
        """The address of the first virtual host."""
        return self.url_of(self._vhosts[0])

    def url_of(self, vhost: str) -> str:
        assert self._ports, "the node has not been started"
        assert vhost in self._vhosts, f"{vhost} is none of {self._vhosts}"
        return f"amqp://tessera:tessera@127.0.0.1:{self._ports[0]}/{vhost}"

    async def start(self) -> None:
        """Start the node, again on the same port and data if it has run before.

        Raises:
            RabbitMQUnavailable: no RabbitMQ is installed, or it does not start.
        """
        script = find_script()
        attempts = 1 if self._ports else _ATTEMPTS  # somebody may take a port before the node does
        while True:
            self._ports = self._ports or (free_port(), free_port(), free_port())
            try:
                await self._start(script)
            except RabbitMQUnavailable:
                attempts -= 1
                if not attempts:
                    raise
                self._ports = None
            else:
                return

    async def stop(self) -> None:
        """Let the node write everything down and end."""
        await self._end(signal.SIGTERM)

    async def settle(self) -> None:
        """Wait until queues that were just declared survive `kill`, about a second.

        RabbitMQ 3.10 that is killed before still lists a quorum queue, and never serves it again.
        Their register is an Erlang DETS file, whose third word says whether it was written
        completely.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            while not all(
                file.read_bytes()[8:12] == b"\0\0\0\1"
                for file in self._directory.glob("data/*/quorum/*/names.dets")
            ):
                await asyncio.sleep(_POLL_S)

    async def kill(self) -> None:
        """End the node as a power cut would."""
        await self._end(signal.SIGKILL)

    async def _start(self, script: Path) -> None:
        assert self._ports
        _write_settings(self._directory, script, self._vhosts, self._ports[0])
        try:
            epmd_port = self._ports[2]
            epmd = await self._spawn("epmd", "-port", str(epmd_port), "-address", "127.0.0.1")
            await self._wait_until_listening(epmd, epmd_port)
            node = await self._spawn(str(script))
            await self._wait_until_listening(node, self._ports[0])
            await (await aio_pika.connect(self.url, timeout=START_TIMEOUT_S)).close()
        except BaseException:
            await self.kill()
            raise

    async def _spawn(self, *command: str) -> asyncio.subprocess.Process:
        assert self._ports
        with (self._directory / "node.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *die_with_parent.wrap(command, death_signal=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(self._directory, *self._ports),
                cwd=self._directory,
            )
        self._processes.append(process)
        return process

    async def _wait_until_listening(self, process: asyncio.subprocess.Process, port: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                while process.returncode is None:
                    if _listens(port):
                        return
                    await asyncio.sleep(_POLL_S)
        lines = (self._directory / "node.log").read_text(errors="replace").splitlines()
        reason = next((line for line in lines[::-1] if "error" in line.lower()), "no reason given")
        raise RabbitMQUnavailable(f"a private RabbitMQ node does not start: {reason.strip()[:300]}")

    async def _end(self, number: signal.Signals) -> None:
        """Signal the node, then epmd, which the node needs to the end; wait until both are gone."""
        for process in reversed(self._processes):
            _signal_group(process.pid, number)
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                _signal_group(process.pid, signal.SIGKILL)
                await process.wait()
        self._processes.clear()
        async with asyncio.timeout(STOP_TIMEOUT_S):
            while self._ports and _listens(self._ports[0]):
                await asyncio.sleep(_POLL_S)


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _write_settings(directory: Path, script: Path, vhosts: Sequence[str], port: int) -> None:
    """Write the node's files; `plugins` has only the core, which takes seconds off the start."""
    plugins = directory / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for core in (script.resolve().parent.parent / "plugins").glob("rabbit-*"):
        if not (plugins / core.name).is_symlink():
            (plugins / core.name).symlink_to(core)
    (directory / "enabled_plugins").write_text("[].\n")
    everything = {"user": "tessera", "configure": ".*", "write": ".*", "read": ".*"}
    definitions = {
        "users": [{"name": "tessera", "password": "tessera", "tags": ["administrator"]}],
        "vhosts": [{"name": name} for name in vhosts],
        "permissions": [everything | {"vhost": name} for name in vhosts],
    }
    (directory / "definitions.json").write_text(json.dumps(definitions))
    settings = {
        "listeners.tcp.default": f"127.0.0.1:{port}",
        "load_definitions": str(directory / "definitions.json"),
        "log.console.level": "warning",
        "raft.wal_max_size_bytes": "32000000",
    }
    lines = [f"{name} = {value}\n" for name, value in settings.items()]
    (directory / "rabbitmq.conf").write_text("".join(lines))


def _environment(
    directory: Path, port: int, distribution_port: int, epmd_port: int
) -> dict[str, str]:
    """The variables that keep the node away from any other on this machine.

    RUNNING_UNDER_SYSTEMD makes the script become the node instead of watching over it.
    """
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(directory),  # the cookie's
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_CRASH_DUMP_SECONDS": "0",
        "RUNNING_UNDER_SYSTEMD": "1",
        "RABBITMQ_NODENAME": f"tessera-{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false"
        ),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "no-rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "no-advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_PLUGINS_DIR": str(directory / "plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "node.pid"),
    }


def find_script() -> Path:
    """The script that starts a node, installed first where that is possible.

    Debian's in the path only runs as the user rabbitmq; the one behind it runs as anybody.
    """
    for attempt in (_installed, _install):
        if script := attempt():
            return script
    raise RabbitMQUnavailable(
        "no RabbitMQ: set TESSERA_AMQP_URL or install rabbitmq-server "
        "(as root on Debian and Ubuntu the tests install it themselves)"
    )


def _installed() -> Path | None:
    if _DEBIAN_SCRIPT.exists():
        return _DEBIAN_SCRIPT
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve() if found else None


def _install() -> Path | None:
    if os.geteuid() != 0 or not shutil.which("apt-get") or not shutil.which("dpkg"):
        return None
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "rabbitmq-server"]
    with _no_services():
        for command in (["apt-get", "update", "-q"], install):
            done = subprocess.run(
                [*command, "-o", "DPkg::Lock::Timeout=120"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise RabbitMQUnavailable(f"{' '.join(command[:2])} failed: {' '.join(last)}")
    return _installed()


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep a package from starting its service (invoke-rc.d(8) describes this file)."""
    policy = Path("/usr/sbin/policy-rc.d")
    try:
        with policy.open("x") as file:
            file.write("#!/bin/sh\nexit 101\n")
    except FileExistsError:
        yield
        return
    try:
        policy.chmod(0o755)
        yield
    finally:
        policy.unlink()
