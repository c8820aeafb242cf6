"""Gives tests a real RabbitMQ: the one at TESSERA_AMQP_URL, or a private node that ends with them.

All workers of a run share one node and each has a virtual host of its own in it. A supervisor (this
file, run as a program) starts the node and ends it when the last worker is gone. Every worker holds
a shared lock on a file while it uses the node; the supervisor waits to hold that lock alone. So a
worker that is killed counts as gone too.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.support.rabbitmq_node import (
    INSTALL_TIMEOUT_S,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    RabbitMQUnavailable,
    RabbitNode,
)

__all__ = [
    "RabbitMQUnavailable",
    "RabbitNode",
    "shared_url",
    "skip_without_rabbitmq",
    "url_for_tests",
]

_POLL_S = 0.05
_SPARE_WORKERS = 2  # pytest-xdist replaces a worker that crashed by one with a new name
_ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def url_for_tests(temporary: Path, worker: str) -> Iterator[str]:
    """What a session fixture needs: `shared_url`, or else the tests are skipped, in CI failed.

    `temporary` is `tmp_path_factory.getbasetemp()`, `worker` pytest-xdist's `worker_id`.
    """
    run_directory = (temporary if worker == "master" else temporary.parent) / "rabbitmq"
    with contextlib.ExitStack() as stack:
        with skip_without_rabbitmq():
            url = stack.enter_context(shared_url(run_directory, worker))
        yield url


@contextlib.contextmanager
def skip_without_rabbitmq() -> Iterator[None]:
    try:
        yield
    except RabbitMQUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@contextlib.contextmanager
def shared_url(run_directory: Path, worker: str) -> Iterator[str]:
    """The AMQP address of one worker's own virtual host, for as long as the block runs.

    `run_directory` is the same for all workers of a run and no other; `worker` is pytest-xdist's
    `worker_id`.

    Raises:
        RabbitMQUnavailable: there is none.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if url := os.environ.get("TESSERA_AMQP_URL"):
        if workers > 1:
            raise RabbitMQUnavailable(
                f"TESSERA_AMQP_URL is one virtual host and these are {workers} test workers: "
                "run with `-n 0`, or unset it to give each a virtual host in a private node"
            )
        yield url
        return
    vhosts = [worker] if worker == "master" else [f"gw{i}" for i in range(workers + _SPARE_WORKERS)]
    run_directory.mkdir(parents=True, exist_ok=True)
    with (run_directory / "users.lock").open("w") as users:
        with (run_directory / "start.lock").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            urls = _running_or_started(run_directory, vhosts)
        try:
            yield urls[worker]
        finally:
            fcntl.flock(users, fcntl.LOCK_UN)
            _see_off(run_directory, users)


def _running_or_started(run_directory: Path, vhosts: Sequence[str]) -> dict[str, str]:
    """Read where the node is, started first if it is not there; the caller holds the locks."""
    state = run_directory / "state.json"
    supervisor = None
    if not _supervised(run_directory) and not (state.exists() and "error" in state.read_text()):
        state.unlink(missing_ok=True)
        supervisor = _start_supervisor(run_directory, vhosts)
    deadline = time.monotonic() + INSTALL_TIMEOUT_S + 3 * START_TIMEOUT_S
    while not state.exists():
        if supervisor:
            ended = os.waitpid(supervisor, os.WNOHANG) != (0, 0)
        else:
            ended = not _supervised(run_directory)
        if (ended and not state.exists()) or time.monotonic() > deadline:
            raise RabbitMQUnavailable(f"its supervisor failed, see {run_directory}/supervisor.log")
        time.sleep(_POLL_S)
    answer: dict[str, str] = json.loads(state.read_text())
    if "error" in answer:
        raise RabbitMQUnavailable(answer["error"])
    return answer


def _supervised(run_directory: Path) -> bool:
    with (run_directory / "supervisor.lock").open("w") as lock:
        return not _try_lock(lock, fcntl.LOCK_EX)


def _see_off(run_directory: Path, users: IO[str]) -> None:
    """If nobody uses the node any more, wait until it has ended: nothing outlives the tests."""
    if not _try_lock(users, fcntl.LOCK_EX) and _try_lock(users, fcntl.LOCK_SH):
        return  # others use it
    fcntl.flock(users, fcntl.LOCK_UN)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while _supervised(run_directory) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _start_supervisor(run_directory: Path, vhosts: Sequence[str]) -> int:
    """Start the supervisor, out of reach of the terminal's Ctrl-C; the answer is its process.

    Not through `subprocess`, which warns of a process that outlives the worker that started it.
    """
    log = str(run_directory / "supervisor.log")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "tests.support.rabbitmq", str(run_directory), *vhosts],
        os.environ | {"PYTHONPATH": str(_ROOT)},
        setpgroup=0,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
    )


async def _supervise(run_directory: Path, vhosts: Sequence[str], users: IO[str]) -> None:
    node = RabbitNode(run_directory / "node", vhosts)
    try:
        await node.start()
        answer = {vhost: node.url_of(vhost) for vhost in vhosts}
    except RabbitMQUnavailable as error:
        answer = {"error": str(error)}
    unfinished = run_directory / "state.new"
    unfinished.write_text(json.dumps(answer))
    unfinished.rename(run_directory / "state.json")
    await asyncio.to_thread(fcntl.flock, users, fcntl.LOCK_EX)
    await node.kill()


def main() -> None:
    run_directory = Path(sys.argv[1])
    # Letting go of `users` last: whoever then comes finds no supervisor, and starts one.
    with (
        (run_directory / "users.lock").open("w") as users,
        (run_directory / "supervisor.lock").open("w") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        asyncio.run(_supervise(run_directory, sys.argv[2:], users))


if __name__ == "__main__":
    main()
