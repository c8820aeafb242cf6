"""Queueing notifications, listing them, and having them sent again."""

from collections.abc import Sequence

from kit import inbox, paging
from kit.auth import Caller
from kit.batching import Batcher
from kit.database import Database
from kit.idempotency import Once
from notification_service.notifications import domain, store
from notification_service.notifications.domain import Notification, Occasion

BATCH = 100  # mails that are queued in one transaction
_MOST_WAITING = 2000  # more than all consumers hand in at once
_LONGEST_WAIT_S = 60


class Desk:
    """Queues mails: those that come while a transaction runs share the next one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[None, tuple[str, Occasion], None] = Batcher(
            self._queue,
            max_batch=BATCH,
            max_waiting=_MOST_WAITING,
            max_wait_s=_LONGEST_WAIT_S,
        )

    async def queue_mail(self, message_id: str, occasion: Occasion) -> None:
        """Have the mail of an occasion sent, once.

        Neither the message again nor another one about the same brings a second mail of this kind.
        """
        await self._batcher.submit(None, (message_id, occasion))

    async def _queue(self, _: None, asked: Sequence[tuple[str, Occasion]]) -> Sequence[None]:
        occasions = dict(asked)  # by message: in one batch, too, each counts once
        async with self._database.begin() as tx:
            new = await inbox.first_times(tx, occasions)
            if new:
                await store.insert_notifications(tx, [occasions[message_id] for message_id in new])
        return [None] * len(asked)


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
