"""What a notification is: one mail to one person, tried until it is sent or given up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kit.errors import FailedPrecondition, NotFound


class NotificationNotFound(NotFound):
    """There is no such notification."""


class NotificationPending(FailedPrecondition):
    """The mail is on its way; wait until it was sent or given up."""


class Kind(StrEnum):
    """What a mail is about."""

    RECEIPT = "RECEIPT"
    WAITLIST_OFFER = "WAITLIST_OFFER"


class State(StrEnum):
    """Where a notification is in its life."""

    PENDING = "PENDING"
    SENT = "SENT"
    DEAD = "DEAD"


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.SENT, State.DEAD}),
    State.SENT: frozenset({State.PENDING}),
    State.DEAD: frozenset({State.PENDING}),
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the log, about an order or an entry of a waiting list: the other's id is empty.

    `queued_at` is when it was created, or an admin last had it sent again; `sent_at` when the mail
    server last took it.
    """

    id: str
    organizer_id: str
    event_id: str
    order_id: str
    waitlist_entry_id: str
    kind: Kind
    state: State
    recipient: str
    subject: str
    attempts: int
    resends: int
    last_error: str
    created_at: datetime
    queued_at: datetime
    next_attempt_at: datetime | None
    sent_at: datetime | None

    @property
    def mail_id(self) -> str:
        """What the Message-ID is made of: stable over retries, other for an admin's resend.

        So whoever sees a mail twice can drop it, but not the one that was asked for again.
        """
        return f"{self.id}.{self.resends}" if self.resends else self.id


def check_resendable(notification: Notification) -> None:
    """Raise NotificationPending unless it may be queued again."""
    if State.PENDING not in TRANSITIONS[notification.state]:
        raise NotificationPending
