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
from pathlib import Path

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from deploy.local import die_with_parent, postgres, smtp_sink
from deploy.local.environment import LOCAL, SERVICES, check_port
from kit.auth import GATEWAY
from kit.rpc_client import Mesh
from kit.service import ROOT, running
from kit.settings import PREFIX, Environment, InvalidSetting
from kit.telemetry import log
from kit.tls import Identity
from kit.user_keys import verifier

RESTART_PAUSE_S = 0.2
STOP_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Embedded:
    """What runs here because no real one is set."""

    postgres: bool
    stripe: bool
    smtp: bool


async def start_embedded(
    stack: AsyncExitStack, variables: Mapping[str, str]
) -> tuple[dict[str, str], Embedded]:
    """Start the servers that are not given; answers the settings that lead to them."""
    environment, complete = Environment(variables), dict(variables)
    data_dir = environment.path("DATA_DIR")
    missing = Embedded(
        postgres=not environment.text("DATABASE_URL", ""),
        stripe=not environment.text("STRIPE_SECRET_KEY", ""),
        smtp=not environment.text("SMTP_URL", ""),
    )
    host, port = environment.text("HTTP_HOST"), environment.integer("HTTP_PORT", 0)
    check_port("HTTP_PORT", host, port)
    if missing.stripe:
        stripe_port = environment.integer("STRIPE_SANDBOX_PORT", 0)
        check_port("STRIPE_SANDBOX_PORT", LOCAL, stripe_port)
        complete.update(await _start_stripe(stack, data_dir, stripe_port, port))
    if missing.postgres:
        durable = environment.text("DURABLE", "yes") == "yes"
        try:
            server = await postgres.start(data_dir / "postgres", durable=durable)
        except postgres.PostgresFailed as error:
            raise InvalidSetting(str(error)) from error
        stack.push_async_callback(server.stop)
        complete[f"{PREFIX}DATABASE_URL"] = server.url
    if missing.smtp:
        sink = await smtp_sink.start(data_dir / "mail")
        stack.push_async_callback(sink.stop)
        complete[f"{PREFIX}SMTP_URL"] = sink.url
    return complete, missing


async def start_together(stack: AsyncExitStack, variables: Mapping[str, str]) -> None:
    """Run all services and the gateway in this process."""
    environment = Environment(variables)
    stacks = await asyncio.gather(*(_start_service(name, environment) for name in SERVICES))
    for service in stacks:
        stack.push_async_exit(service)
    from gateway.app import build_app  # builds its routes from the protos: not needed elsewhere
    from gateway.settings import Settings

    mesh = Mesh(environment, Identity.load(environment.path("TLS_DIR"), GATEWAY))
    stack.push_async_callback(mesh.close)
    settings = Settings.load(environment)
    await _serve(stack, build_app(settings, mesh, verifier(mesh)), settings.host, settings.port)


async def start_separate(stack: AsyncExitStack, variables: Mapping[str, str]) -> None:
    """Run every service and the gateway as a process of its own."""
    run_dir = Environment(variables).path("DATA_DIR") / "run"
    run_dir.mkdir(exist_ok=True)
    for name in (*SERVICES, GATEWAY):
        keeper = asyncio.create_task(_keep_running(name, variables, run_dir))
        stack.push_async_callback(_end_task, keeper)


async def _start_service(name: str, environment: Environment) -> AsyncExitStack:
    build = importlib.import_module(f"{name}.app").build
    stack = AsyncExitStack()
    await stack.enter_async_context(running(name, build, environment))
    return stack


async def _start_stripe(
    stack: AsyncExitStack, data_dir: Path, port: int, http_port: int
) -> dict[str, str]:
    from deploy.local.stripe_sandbox.app import build_app
    from deploy.local.stripe_sandbox.settings import SandboxSettings, load_keys

    settings = SandboxSettings(
        data_dir / "stripe", webhook_url=f"http://{LOCAL}:{http_port}/v1/webhooks/stripe"
    )
    keys = load_keys(settings)
    await _serve(stack, build_app(settings), LOCAL, port)
    return {
        f"{PREFIX}STRIPE_SECRET_KEY": keys.secret_key,
        f"{PREFIX}STRIPE_PUBLISHABLE_KEY": keys.publishable_key,
        f"{PREFIX}STRIPE_WEBHOOK_SECRET": keys.webhook_secret,
        f"{PREFIX}STRIPE_API_BASE": f"http://{LOCAL}:{port}",
    }


async def _serve(stack: AsyncExitStack, app: ASGIApp, host: str, port: int) -> None:
    """Serve an ASGI application in this event loop until the stack unwinds."""
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())

    async def stop() -> None:
        server.stop()  # type: ignore[no-untyped-call]  # granian leaves it untyped
        await serving

    stack.push_async_callback(stop)


async def _keep_running(name: str, variables: Mapping[str, str], run_dir: Path) -> None:
    """Start a process, note its pid in `run/<name>.pid`, and start it again whenever it dies."""
    command = die_with_parent.wrap([sys.executable, "-m", name], death_signal=signal.SIGTERM)
    with (run_dir / f"{name}.log").open("ab") as output:
        while True:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=ROOT,
                env={**os.environ, **variables},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is ours to pass on, in the right order
            )
            (run_dir / f"{name}.pid").write_text(str(process.pid))
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                await _end(process)
                raise
            log.warning("started again", process=name, ended_with=code)
            await asyncio.sleep(RESTART_PAUSE_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def _end_task(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
