"""What the log said before there were mails about anything but orders, it still says."""

import asyncio

from alembic import command
from sqlalchemy import text

from kit.database import Database, ensure_database, service_url
from kit.migrations import config
from kit.service import ROOT
from tests.integration.notification_service.support import PostOffice

_OLD_ROW = """
INSERT INTO notifications (id, organizer_id, event_id, order_id, kind, state, recipient, sent_at)
VALUES ('ntf_1', 'org_1', 'evt_1', 'ord_1', 'RECEIPT', 'SENT', 'ada@example.org', now())
"""


async def test_old_receipts_stay_in_the_log_and_old_replicas_may_add_to_it(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    url = service_url(office.variables["TESSERA_DATABASE_URL"], "notification")
    await ensure_database(url)
    history = config(str(ROOT / "notification_service"), url)
    await asyncio.to_thread(command.upgrade, history, "0001")
    database = Database(url, pool_size=2)
    async with database.begin() as tx:
        await tx.execute(text(_OLD_ROW))

    async with office.open():
        async with database.begin() as tx:  # as a replica that was not replaced yet does
            await tx.execute(text(_OLD_ROW.replace("ntf_1", "ntf_2").replace("ord_1", "ord_2")))
        [newer, older] = (await office.notifications(office.admin("org_1"))).notifications

    assert (older.id, older.order_id, older.waitlist_entry_id) == ("ntf_1", "ord_1", "")
    assert (newer.id, newer.order_id) == ("ntf_2", "ord_2")
    await database.close()
