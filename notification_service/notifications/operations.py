"""Queueing notifications, listing them, and having them sent again."""

from collections.abc import Sequence

from kit import inbox, paging
from kit.auth import Caller
from kit.database import Database
from kit.idempotency import Once
from kit.ids import new_id
from notification_service.notifications import domain, store
from notification_service.notifications.domain import Kind, Notification


async def queue_mail(
    database: Database,
    message_id: str,
    kind: Kind,
    *,
    event_id: str,
    organizer_id: str,
    order_id: str | None = None,
    waitlist_entry_id: str | None = None,
) -> None:
    """Have a mail about an order or an entry sent, once.

    Neither the message again nor another one about the same brings a second mail of this kind.
    """
    async with database.begin() as tx:
        if await inbox.first_time(tx, message_id):
            await store.insert_notification(
                tx,
                {
                    "id": new_id("ntf"),
                    "organizer_id": organizer_id,
                    "event_id": event_id,
                    "order_id": order_id,
                    "waitlist_entry_id": waitlist_entry_id,
                    "kind": kind,
                },
            )


async def list_notifications(
    database: Database,
    organizer_id: str,
    *,
    order_id: str,
    waitlist_entry_id: str,
    state: str,
    page_size: int,
    page_token: str,
) -> tuple[Sequence[Notification], str]:
    """A page of an organizer's notifications, newest first, and the next page's token.

    An empty organizer is the superadmin's: everybody's notifications.
    """
    size = paging.page_size(page_size)
    question = f"{organizer_id}|{order_id}|{waitlist_entry_id}|{state}"
    async with database.begin() as tx:
        found = await store.list_notifications(
            tx,
            organizer_id=organizer_id,
            order_id=order_id,
            waitlist_entry_id=waitlist_entry_id,
            state=state,
            before=paging.decode(page_token, question, 1),
            limit=size + 1,
        )
    return paging.cut(found, size, question, lambda each: (each.id,))


async def resend_notification(
    database: Database, caller: Caller, notification_id: str, once: Once[Notification]
) -> Notification:
    """Have a mail that was sent or given up sent again, to the customer's present address.

    Raises:
        NotificationNotFound: there is none, or it is another organizer's.
        NotificationPending: it is still on its way.
    """
    async with database.begin() as tx:
        await once.claim(tx)
        notification = await store.lock_notification(tx, notification_id)
        if notification is None or not caller.works_for(notification.organizer_id):
            raise domain.NotificationNotFound
        domain.check_resendable(notification)
        return await once.record(tx, await store.queue_again(tx, notification_id))
