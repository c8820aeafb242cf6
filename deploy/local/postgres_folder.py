"""The data folder of the embedded PostgreSQL: its lock, its socket, what a killed run left there.

`cluster/` is the database, `socket/` the only way in (there is no TCP), `postgres.log` what the
server said, `lock` what keeps a second Tessera out.
"""

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO

_MAX_SOCKET_DIR_BYTES = 103 - len("/.s.PGSQL.5432")  # sockaddr_un holds 103 on macOS, 107 on Linux
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")  # means the same in a URL and to PostgreSQL
_STOP_TIMEOUT_S = 30.0
_ABORT_TIMEOUT_S = 5.0
_POLL_S = 0.02

# A fast but clean stop, which writes everything down; then one that leaves that to the next start.
STOP_SIGNALS = ((signal.SIGINT, _STOP_TIMEOUT_S), (signal.SIGQUIT, _ABORT_TIMEOUT_S))


class PostgresFailed(Exception):
    """The embedded PostgreSQL cannot run; the message says why and what to do."""


def lock(data_dir: Path) -> IO[str]:
    """Keep other Tesseras out of the folder.

    The kernel lets go of it when this process ends, however it ends.
    """
    file = (data_dir / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise PostgresFailed(
            f"Another Tessera (process {holder}) is using {data_dir}: "
            "stop it, or set TESSERA_DATA_DIR to another folder."
        ) from None
    except BaseException:
        file.close()
        raise
    return file


def make_socket_dir(data_dir: Path) -> Path:
    """Make the folder of the socket: whoever enters it may do everything, so only we can.

    A socket's path must be short, and plain because drivers split it at commas. Where the data
    folder's is not, the folder is elsewhere and `socket` a link to it.
    """
    remove_socket_dir(data_dir)
    folder = data_dir / "socket"
    if len(str(folder)) > _MAX_SOCKET_DIR_BYTES or not _PLAIN_PATH.fullmatch(str(folder)):
        # Not below TMPDIR, which may itself be too long or odd.
        short = Path(tempfile.mkdtemp(prefix="tessera-", dir="/tmp"))
        folder.symlink_to(short)
        return short
    folder.mkdir(mode=0o700)
    return folder


def remove_socket_dir(data_dir: Path) -> None:
    folder = data_dir / "socket"
    if folder.is_symlink():
        shutil.rmtree(folder.readlink(), ignore_errors=True)
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


async def stop_leftover(cluster: Path) -> None:
    """Stop the server that a killed Tessera left in this folder: whoever holds the lock may.

    A process number that meanwhile means another program is forgotten, because PostgreSQL would
    refuse to start for it.
    """
    pid_file = cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:  # killed while writing it
        pid_file.unlink()
        return
    for number, timeout_s in STOP_SIGNALS:
        if not _serves(pid, cluster):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        await _gone(pid, cluster, timeout_s)
    if _serves(pid, cluster):
        raise PostgresFailed(f"A PostgreSQL left in {cluster} does not stop: end process {pid}.")
    if _exists(pid):
        pid_file.unlink(missing_ok=True)


async def _gone(pid: int, cluster: Path, timeout_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while _serves(pid, cluster):
                await asyncio.sleep(_POLL_S)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _serves(pid: int, cluster: Path) -> bool:
    """Whether process `pid` is the PostgreSQL of `cluster`."""
    if Path("/proc/self").exists():
        try:
            command_line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except (FileNotFoundError, ProcessLookupError):
            return False
    else:
        command_line = subprocess.run(
            ["ps", "-ww", "-o", "command=", "-p", str(pid)], stdout=subprocess.PIPE, check=False
        ).stdout
    return b"postgres -D " + os.fsencode(cluster) + b" " in command_line
