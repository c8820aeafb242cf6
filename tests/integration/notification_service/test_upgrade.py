"""What the log said before there were mails about anything but orders, it still says."""

import asyncio

from alembic import command
from sqlalchemy import text
from tessera.payment.v1 import messages_pb2

from kit.database import Database, ensure_database, service_url
from kit.migrations import config
from kit.service import ROOT
from tests.integration.notification_service.sales import announcement, sale
from tests.integration.notification_service.support import PostOffice, in_state

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


async def test_a_receipt_from_before_is_the_only_one_of_its_order(
    closed_office: PostOffice,
) -> None:
    office = closed_office
    sold = office.sales.add(sale())
    url = service_url(office.variables["TESSERA_DATABASE_URL"], "notification")
    await ensure_database(url)
    history = config(str(ROOT / "notification_service"), url)
    await asyncio.to_thread(command.upgrade, history, "0002")
    database = Database(url, pool_size=2)
    async with database.begin() as tx:
        await tx.execute(text(_OLD_ROW.replace("ord_1", sold.order.id)))
    await database.close()

    async with office.open():
        await office.broker.publish(announcement(sold))
        await office.sent(await office.sell())

    assert len(office.mails()) == 1


async def test_the_way_back_keeps_what_the_old_log_can_show(closed_office: PostOffice) -> None:
    office = closed_office
    async with office.open():
        sold = await office.sell()
        await office.sent(sold)
        await office.announce(
            messages_pb2.OrderExpired(
                order_id=sold.order.id, event_id="evt_1", organizer_id="org_1", notify=True
            )
        )
        await office.about(sold, in_state("DEAD"), "ORDER_EXPIRED")
    url = service_url(office.variables["TESSERA_DATABASE_URL"], "notification")
    history = config(str(ROOT / "notification_service"), url)
    await asyncio.to_thread(command.downgrade, history, "0002")
    database = Database(url, pool_size=2)
    async with database.begin() as tx:
        kinds = (await tx.execute(text("SELECT kind FROM notifications"))).scalars().all()
    await database.close()

    assert kinds == ["RECEIPT"]
