"""A service's life: its settings, database, server and background work, from start to stop."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit import open_files, telemetry, worker
from kit.database import Database, ensure_database, service_url
from kit.memory import collect_less
from kit.migrations import upgrade
from kit.rpc_client import Mesh
from kit.rpc_server import Guard, Server
from kit.settings import Environment, InvalidSetting
from kit.tls import Identity

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Host:
    """What a service finds when it is built: its name, database and certificate, and the mesh."""

    name: str  # `ticket_service`
    environment: Environment
    database: Database
    mesh: Mesh
    identity: Identity


@dataclass(frozen=True, slots=True)
class Service:
    """What an `app.py` builds out of a Host."""

    servicers: Sequence[tuple[Any, Callable[[Any, Any], None]]]
    guard: Guard
    workers: Mapping[str, worker.Work] = field(default_factory=dict)
    on_start: Callable[[], Awaitable[None]] | None = None
    on_stop: Callable[[], Awaitable[None]] | None = None


Build = Callable[[Host], Awaitable[Service]]


@asynccontextmanager
async def running(name: str, build: Build, environment: Environment) -> AsyncIterator[None]:
    """Migrate, start and, at the end, stop a service in this event loop."""
    url = service_url(environment.text("DATABASE_URL"), name.removesuffix("_service"))
    await ensure_database(url)
    await upgrade(ROOT / name, url)
    identity = Identity.load(environment.path("TLS_DIR"), name)
    async with AsyncExitStack() as stack:
        database = Database(url, pool_size=environment.integer("DATABASE_POOL", 10, low=2))
        stack.push_async_callback(database.close)
        mesh = Mesh(environment, identity)
        stack.push_async_callback(mesh.close)
        service = await build(Host(name, environment, database, mesh, identity))
        if service.on_stop:
            stack.push_async_callback(service.on_stop)
        server = Server(identity, service.guard, service.servicers)
        await server.start(environment.text(f"{name.upper()}_ADDRESS"))
        stack.push_async_callback(server.stop)
        if service.on_start:
            await service.on_start()
        tasks = [
            asyncio.create_task(worker.repeat(f"{name}.{work}", run), name=f"{name}.{work}")
            for work, run in service.workers.items()
        ]
        stack.push_async_callback(_cancel, tasks)
        collect_less()
        yield


def main(name: str, build: Build) -> None:
    """What a service's `__main__` does: run it as a process of its own until it is told to stop."""

    async def life() -> None:
        async with running(name, build, Environment()):
            telemetry.log.info("started", service=name)
            await stop_requested()

    run(life())


def run(life: Coroutine[Any, Any, None]) -> None:
    """Run a process; what it cannot start with is one sentence, not a trace."""
    telemetry.configure_logging()
    open_files.allow_many()
    try:
        asyncio.run(life)
    except InvalidSetting as error:
        sys.exit(str(error))


async def stop_requested() -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop.set)
    await stop.wait()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
