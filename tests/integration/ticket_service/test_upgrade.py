"""A newer version migrates while replicas of the one before are at work."""

import asyncio
import uuid

from alembic import command
from sqlalchemy import text

from deploy.local.postgres import EmbeddedPostgres
from kit.database import Database, ensure_database, service_url
from kit.migrations import config, upgrade
from kit.service import ROOT

_SOLD = """
INSERT INTO events (id, organizer_id, state, title, description, location, starts_at, ends_at,
                    time_zone, currency_code)
VALUES ('evt', 'org', 'PUBLISHED', 't', '', '', now(), now() + interval '1 hour', 'UTC', 'EUR');
INSERT INTO ticket_types (id, event_id, name, price_minor, total_stock, remaining, max_per_order)
VALUES ('tt', 'evt', 'n', 0, 2, 1, 10);
INSERT INTO holds (id, event_id, state, currency_code, expires_at)
VALUES ('held', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour');
"""
_ISSUE = """
INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id, ticket_type_name,
                     hold_id, order_id, number, holder_name)
VALUES ('tkt', 'C', 'ISSUED', 'evt', 'org', 'tt', 'n', 'held', 'ord', 1, 'h')
"""


async def test_replicas_that_start_at_once_migrate_once_while_an_older_one_sells(
    postgres: EmbeddedPostgres,
) -> None:
    base = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    directory, url = ROOT / "ticket_service", service_url(base, "ticket")
    await ensure_database(url)
    await asyncio.to_thread(command.upgrade, config(str(directory), url), "0001")
    database = Database(url)
    async with database.begin() as tx:
        for statement in _SOLD.strip().rstrip(";").split(";"):
            await tx.execute(text(statement))
    async with database.begin() as tx:  # as the version before issues tickets
        await tx.execute(text("SELECT id FROM events FOR SHARE"))
        await tx.execute(text("SELECT id FROM holds FOR NO KEY UPDATE"))
        upgrades = [asyncio.create_task(upgrade(directory, url)) for _ in range(2)]
        while not await _waits_for_a_table(database):
            await asyncio.sleep(0.05)
        await tx.execute(text(_ISSUE))
    await asyncio.gather(*upgrades)
    async with database.begin() as tx:
        version = (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
        invalid = await tx.execute(text("SELECT indexrelid FROM pg_index WHERE NOT indisvalid"))
        assert (version, invalid.all()) == ("0004", [])
        assert (await tx.execute(text("SELECT count(*) FROM tickets"))).scalar_one() == 1
    await database.close()


async def _waits_for_a_table(database: Database) -> bool:
    """Whether the upgrade has come to what the older replica has locked."""
    waits = text("SELECT 1 FROM pg_locks WHERE locktype = 'relation' AND NOT granted")
    async with database.begin() as tx:
        return (await tx.execute(waits)).first() is not None
