"""`make run`: the whole mesh on this machine, until Ctrl-C."""

import argparse
import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from deploy.local import mesh
from deploy.local.environment import claim, complete, given
from deploy.local.mesh import Embedded, PartEnded
from kit import open_files, telemetry
from kit.service import stop_requested
from kit.settings import PREFIX, Environment, InvalidSetting

START_TIMEOUT_S = 60


def main() -> None:
    """Run until SIGINT or SIGTERM; a failure to start is one sentence."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument(
        "--separate", action="store_true", help="run every service as a process of its own"
    )
    arguments = parser.parse_args()
    try:
        open_files.allow_many()  # before anything is started, which inherits it
        asyncio.run(_live(separate=arguments.separate))
    except InvalidSetting as error:
        sys.exit(f"Tessera cannot start: {error}")
    except PartEnded as error:
        sys.exit(f"Tessera stops: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # Ctrl-C before anything was up


async def _live(*, separate: bool) -> None:
    stop = asyncio.create_task(stop_requested())
    variables = complete(given())
    log_file = Path(variables[f"{PREFIX}DATA_DIR"]) / "tessera.log"
    async with AsyncExitStack() as stack:
        stack.enter_context(claim(log_file.parent))
        mesh.check(variables)
        telemetry.configure_logging(stream=stack.enter_context(log_file.open("a")))
        broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        starting = asyncio.create_task(
            _start(stack, variables, broken, log_file, separate=separate)
        )
        await _first(starting, stop, broken)
        if not stop.done():
            print(starting.result(), flush=True)
            await _first(stop, broken)
        print("Stopping …", flush=True)


async def _start(
    stack: AsyncExitStack,
    given: Mapping[str, str],
    broken: asyncio.Future[None],
    log_file: Path,
    *,
    separate: bool,
) -> str:
    """Start everything; answers what there is to say about it."""
    variables, embedded = await mesh.start_embedded(stack, given, broken)
    start = mesh.start_separate if separate else mesh.start_together
    await start(stack, variables, broken)
    await _ready(variables, log_file)
    return _table(variables, embedded, log_file)


async def _first(*awaited: asyncio.Future[Any]) -> None:
    """Wait for one of them, and raise what it raises; the first goes no further without it."""
    done, _ = await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
    if not awaited[0].done():
        awaited[0].cancel()
        await asyncio.wait({awaited[0]})
    for each in done:
        each.result()


async def _ready(variables: Mapping[str, str], log_file: Path) -> None:
    url = f"{_base(variables)}/readyz"
    async with httpx.AsyncClient() as client:
        for _ in range(START_TIMEOUT_S * 20):
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass  # nobody listens yet
            await asyncio.sleep(0.05)
    raise InvalidSetting(f"not everything answers; {log_file.parent} has the logs that say why.")


def _table(variables: Mapping[str, str], embedded: Embedded, log_file: Path) -> str:
    environment = Environment(variables)
    data_dir, base = environment.path("DATA_DIR"), _base(variables)
    stripe, database = environment.text("STRIPE_API_BASE", "Stripe"), "TESSERA_DATABASE_URL"
    rows = {
        "API": f"{base}/v1",
        "Reference": f"{base}/docs",
        "Stripe": f"{stripe} (sandbox)" if embedded.stripe else stripe,
        "  secret key": environment.text("STRIPE_SECRET_KEY") if embedded.stripe else "",
        "  publishable key": environment.text("STRIPE_PUBLISHABLE_KEY"),
        "Mail": f"{data_dir / 'mail'} (Maildir)" if embedded.smtp else "TESSERA_SMTP_URL",
        "Database": f"{data_dir / 'postgres'} (embedded)" if embedded.postgres else database,
        "Messages": "RabbitMQ" if environment.text("AMQP_URL", "") else "in the database",
        "Superadmin": environment.text("SUPERADMIN_EMAIL"),
        "  password": environment.text("SUPERADMIN_PASSWORD"),
        "Log": str(log_file),
    }
    lines = [f"  {name:<18}{value}" for name, value in rows.items() if value]
    return "\n".join(["", "Tessera is ready. Ctrl-C stops it; the data stays.", "", *lines, ""])


def _base(variables: Mapping[str, str]) -> str:
    environment = Environment(variables)
    host = environment.text("HTTP_HOST").replace("0.0.0.0", "127.0.0.1")  # noqa: S104  # read only
    return f"http://{host}:{environment.text('HTTP_PORT')}"


if __name__ == "__main__":
    main()
