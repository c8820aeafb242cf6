"""What a notification is: one mail to one person, tried until it is sent or given up."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    PAYMENT_FAILED = "PAYMENT_FAILED"
    ORDER_EXPIRED = "ORDER_EXPIRED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    REFUND = "REFUND"
    EVENT_CHANGED = "EVENT_CHANGED"
    EVENT_CANCELLED = "EVENT_CANCELLED"
    TICKET_TRANSFERRED = "TICKET_TRANSFERRED"
    ORDER_LOOKUP = "ORDER_LOOKUP"
    TICKET_WITHDRAWN = "TICKET_WITHDRAWN"

    @property
    def priority(self) -> int:
        """Which mails go first: the lowest.

        What somebody waits for, then what is for one person, then what may be for everybody who
        has tickets for an event that changes or is called off.
        """
        if self is Kind.ORDER_LOOKUP:
            return 0
        return 2 if self in _OFTEN_IN_BULK else 1


_OFTEN_IN_BULK = frozenset(
    {
        Kind.ORDER_EXPIRED,
        Kind.ORDER_CANCELLED,
        Kind.REFUND,
        Kind.EVENT_CHANGED,
        Kind.EVENT_CANCELLED,
        Kind.TICKET_WITHDRAWN,
    }
)


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
class Occasion:
    """What a mail is about, as a message announces it. Ids that say nothing here are empty.

    `subject_id` is what there is one mail of a kind about, if that is neither the order nor the
    entry of a waiting list: an attempt to pay, a refund, a ticket, a lookup, or an order's event at
    a version. `details` are what nobody could be asked for later.
    """

    kind: Kind
    organizer_id: str = ""
    event_id: str = ""
    order_id: str = ""
    waitlist_entry_id: str = ""
    subject_id: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """One row of the log; what it is about: see Occasion.

    `queued_at` is when it was created, or an admin last had it sent again; `sent_at` when the mail
    server last took it.
    """

    id: str
    organizer_id: str
    event_id: str
    order_id: str
    waitlist_entry_id: str
    subject_id: str
    details: Mapping[str, str]
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
