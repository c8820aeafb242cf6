"""The whole mesh on one machine: embedded servers where none are given, then everything of ours.

Together, all services and the gateway share one process and event loop. Separate, each is a process
of its own, as in production, which is started again when it dies.
"""

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from deploy.local import die_with_parent, postgres, smtp_sink
from deploy.local.environment import LOCAL, SERVICES, check_port
from kit import brokers
from kit.auth import GATEWAY
from kit.database import service_url
from kit.rpc_client import Mesh
from kit.service import ROOT, running
from kit.settings import PREFIX, Environment, InvalidSetting
from kit.telemetry import log
from kit.tls import Identity
from kit.user_keys import verifier

RESTART_PAUSE_S = 0.2
STOP_TIMEOUT_S = 20
_BACKLOG = 4096
# Granian counts connections, not requests: idle ones would keep others waiting for half a minute.
_MAX_CONNECTIONS = 16_384


class PartEnded(Exception):
    """Something that the others cannot do without has ended; the message says what."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs here because no real one is set."""

    postgres: bool
    stripe: bool
    smtp: bool


# What a setting is checked with while the server that it leads to is not started yet.
_STAND_INS = {
    "DATABASE_URL": "postgresql:///tessera",
    "SMTP_URL": "smtp://127.0.0.1",
    "STRIPE_SECRET_KEY": "sandbox",
    "STRIPE_PUBLISHABLE_KEY": "sandbox",
    "STRIPE_WEBHOOK_SECRET": "sandbox",
}

Broken = asyncio.Future[None]
"""Ends with the exception of the first part that cannot go on."""


def check(variables: Mapping[str, str]) -> None:
    """Read the settings of every part before any is started, so that a mistake is told at once.

    Raises:
        InvalidSetting: one of them cannot be used.
    """
    environment = Environment(variables)
    missing = _missing(environment)
    http_port, stripe_port = (
        environment.integer(name, 0, low=1, high=65_535)
        for name in ("HTTP_PORT", "STRIPE_SANDBOX_PORT")
    )
    if missing.stripe and http_port == stripe_port:
        raise InvalidSetting(
            f"{PREFIX}STRIPE_SANDBOX_PORT is {PREFIX}HTTP_PORT: each needs its own."
        )
    absent = [
        *(["DATABASE_URL"] if missing.postgres else []),
        *(["SMTP_URL"] if missing.smtp else []),
        *(name for name in _STAND_INS if missing.stripe and name.startswith("STRIPE_")),
    ]
    whole = Environment({**variables, **{PREFIX + name: _STAND_INS[name] for name in absent}})
    for name in SERVICES:
        importlib.import_module(f"{name}.settings").Settings.read(whole)
    importlib.import_module("gateway.settings").Settings.load(whole)
    for name in (*SERVICES, GATEWAY):
        Identity.load(whole.path("TLS_DIR"), name)
    service_url(whole.text("DATABASE_URL"), "user")
    brokers.connect(whole.text("AMQP_URL", ""), whole.text("DATABASE_URL"))


def _missing(environment: Environment) -> Embedded:
    return Embedded(
        postgres=not environment.text("DATABASE_URL", ""),
        stripe=not environment.text("STRIPE_SECRET_KEY", ""),
        smtp=not environment.text("SMTP_URL", ""),
    )


async def start_embedded(
    stack: AsyncExitStack, variables: Mapping[str, str], broken: Broken
) -> tuple[dict[str, str], Embedded]:
    """Start the servers that are not given; answers the settings that lead to them."""
    environment, complete = Environment(variables), dict(variables)
    data_dir, port = environment.path("DATA_DIR"), environment.integer("HTTP_PORT", 0)
    missing = _missing(environment)
    check_port("HTTP_PORT", environment.text("HTTP_HOST"), port)
    if missing.stripe:
        stripe_port = environment.integer("STRIPE_SANDBOX_PORT", 0)
        check_port("STRIPE_SANDBOX_PORT", LOCAL, stripe_port)
        complete.update(await _start_stripe(stack, data_dir, stripe_port, port, broken))
    if missing.postgres:
        durable = environment.text("DURABLE", "yes") == "yes"
        complete[f"{PREFIX}DATABASE_URL"] = await _start_postgres(
            stack, data_dir / "postgres", broken, durable=durable
        )
    if missing.smtp:
        sink = await smtp_sink.start(data_dir / "mail")
        stack.push_async_callback(sink.stop)
        complete[f"{PREFIX}SMTP_URL"] = sink.url
    return complete, missing


async def start_together(
    stack: AsyncExitStack, variables: Mapping[str, str], broken: Broken
) -> None:
    """Run all services and the gateway in this process."""
    environment = Environment(variables)
    starting = [_start_service(stack, name, environment) for name in SERVICES]
    for failed in await asyncio.gather(*starting, return_exceptions=True):
        if failed:
            raise failed
    from gateway.app import build_app  # builds its routes from the protos: not needed elsewhere
    from gateway.settings import Settings

    mesh = Mesh(environment, Identity.load(environment.path("TLS_DIR"), GATEWAY))
    stack.push_async_callback(mesh.close)
    settings = Settings.load(environment)
    app = build_app(settings, mesh, verifier(mesh))
    await _serve(stack, app, settings.host, settings.port, broken)
    stack.callback(app.end_streams)  # Granian waits for the last connection


async def start_separate(
    stack: AsyncExitStack, variables: Mapping[str, str], broken: Broken
) -> None:
    """Run every service and the gateway as a process of its own."""
    run_dir = Environment(variables).path("DATA_DIR") / "run"
    run_dir.mkdir(exist_ok=True)
    for name in (*SERVICES, GATEWAY):
        keeper = asyncio.create_task(_keep_running(name, variables, run_dir))
        keeper.add_done_callback(partial(_pass_on, broken))
        stack.push_async_callback(_end_task, keeper)


async def _start_service(stack: AsyncExitStack, name: str, environment: Environment) -> None:
    build = importlib.import_module(f"{name}.app").build
    await stack.enter_async_context(running(name, build, environment))


async def _start_postgres(
    stack: AsyncExitStack, data_dir: Path, broken: Broken, *, durable: bool
) -> str:
    try:
        server = await postgres.start(data_dir, durable=durable)
    except postgres.PostgresFailed as error:
        raise InvalidSetting(str(error)) from error
    stack.push_async_callback(server.stop)

    async def watch() -> None:
        await server.wait()
        raise PartEnded(f"PostgreSQL has ended; {data_dir / 'postgres.log'} may say why.")

    watching = asyncio.create_task(watch())
    watching.add_done_callback(partial(_pass_on, broken))
    stack.push_async_callback(_end_task, watching)
    return server.url


async def _start_stripe(
    stack: AsyncExitStack, data_dir: Path, port: int, http_port: int, broken: Broken
) -> dict[str, str]:
    from deploy.local.stripe_sandbox.app import build_app
    from deploy.local.stripe_sandbox.settings import SandboxSettings, load_keys
    from payment_service.payments.stripe_events import ENABLED_EVENTS

    settings = SandboxSettings(
        data_dir / "stripe",
        webhook_url=f"http://{LOCAL}:{http_port}/v1/webhooks/stripe",
        webhook_events=ENABLED_EVENTS,
    )
    keys = load_keys(settings)
    await _serve(stack, build_app(settings), LOCAL, port, broken)
    return {
        f"{PREFIX}STRIPE_SECRET_KEY": keys.secret_key,
        f"{PREFIX}STRIPE_PUBLISHABLE_KEY": keys.publishable_key,
        f"{PREFIX}STRIPE_WEBHOOK_SECRET": keys.webhook_secret,
        f"{PREFIX}STRIPE_API_BASE": f"http://{LOCAL}:{port}",
    }


async def _serve(stack: AsyncExitStack, app: ASGIApp, host: str, port: int, broken: Broken) -> None:
    """Serve an ASGI application in this event loop until the stack unwinds."""
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
    )
    serving = asyncio.create_task(server.serve())
    serving.add_done_callback(partial(_pass_on, broken))

    async def stop() -> None:
        server.stop()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        await asyncio.wait({serving})

    stack.push_async_callback(stop)


async def _keep_running(name: str, variables: Mapping[str, str], run_dir: Path) -> None:
    """Start a process, note its pid in `run/<name>.pid`, and start it again whenever it dies.

    Raises:
        InvalidSetting: the first one ended by itself, with a sentence.
    """
    command = die_with_parent.wrap([sys.executable, "-m", name], death_signal=signal.SIGTERM)
    with (run_dir / f"{name}.log").open("ab") as output:
        for attempt in count():
            offset = output.tell()
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
            )
            _note(run_dir / f"{name}.pid", str(process.pid))
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                await _end(process)
                raise
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers, who may not know
            if not attempt and code == 1:
                raise InvalidSetting(_last_line(run_dir / f"{name}.log", offset))
            log.warning("started again", process=name, ended_with=code)
            await asyncio.sleep(RESTART_PAUSE_S)


def _note(file: Path, text: str) -> None:
    """Write a file that others read at any moment: they find the old text or the new."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _last_line(log_file: Path, offset: int) -> str:
    with log_file.open("rb") as file:
        file.seek(offset)
        lines = file.read().decode(errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), f"see {log_file}.")


def _pass_on(broken: Broken, ended: asyncio.Task[None]) -> None:
    """Let everyone know that a part failed, unless one did before."""
    if not ended.cancelled() and (error := ended.exception()) and not broken.done():
        broken.set_exception(error)


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
