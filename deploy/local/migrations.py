"""Makes and checks migrations against a throwaway PostgreSQL: `revision` and `check`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.util import CommandError
from sqlalchemy.engine import URL

from deploy.local import postgres
from kit.database import ensure_database, service_url
from kit.migrations import config, upgrade
from kit.service import ROOT

SERVICES = ("user_service", "ticket_service", "payment_service", "notification_service")


def main() -> None:
    """`revision SERVICE MESSAGE` writes the next migration; `check` compares all with tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    revision = actions.add_parser("revision", help="write the next migration of a service")
    revision.add_argument("service", choices=SERVICES)
    revision.add_argument("message", help="what it does, in a few words")
    actions.add_parser("check", help="fail where the migrations do not make the tables")
    arguments = parser.parse_args()
    if arguments.action == "revision":
        asyncio.run(_revision(arguments.service, arguments.message))
    else:
        sys.exit(asyncio.run(_check()))


async def _revision(service: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        async with await postgres.start(Path(directory), durable=False) as server:
            url = await _migrated(server.url, service)
            count = len(list((ROOT / service / "migrations" / "versions").glob("*.py")))
            await asyncio.to_thread(
                command.revision,
                config(str(ROOT / service), url),
                message,
                autogenerate=True,
                rev_id=f"{count + 1:04}",
            )


async def _check() -> int:
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        async with await postgres.start(Path(directory), durable=False) as server:
            for service in SERVICES:
                url = await _migrated(server.url, service)
                try:
                    await asyncio.to_thread(command.check, config(str(ROOT / service), url))
                except CommandError as error:
                    print(f"{service}: {error}")
                    failed = 1
    return failed


async def _migrated(server: str, service: str) -> URL:
    url = service_url(server, service.removesuffix("_service"))
    await ensure_database(url)
    await upgrade(ROOT / service, url)
    return url


if __name__ == "__main__":
    main()
