"""The messages that notification_service listens to."""

from functools import partial
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from tessera.payment.v1 import messages_pb2 as payment_messages
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit.broker import Handler, Message, Queue, Unprocessable
from kit.database import Database
from notification_service.notifications import operations
from notification_service.notifications.domain import Kind

Body = TypeVar("Body", bound=Proto)

# The usual delays, and then a day: a mail must outlast a database that is away for a night.
_RETRY_DELAYS_S = (1, 5, 30, 120, 600, *(3600 for _ in range(24)))

PAYMENT_SUCCEEDED = Queue(
    "notification_service", "payment.succeeded", retry_delays_s=_RETRY_DELAYS_S
)
WAITLIST_ENTRY_OFFERED = Queue(
    "notification_service", "waitlist_entry.offered", retry_delays_s=_RETRY_DELAYS_S
)


def take_payment_succeeded(database: Database) -> Handler:
    """The handler of PAYMENT_SUCCEEDED."""
    return partial(_take_payment_succeeded, database)


def take_waitlist_entry_offered(database: Database) -> Handler:
    """The handler of WAITLIST_ENTRY_OFFERED."""
    return partial(_take_waitlist_entry_offered, database)


async def _take_payment_succeeded(database: Database, message: Message) -> None:
    body = _parse(message, payment_messages.PaymentSucceeded())
    _check_ids(message.id, body.order_id, body.event_id, body.organizer_id)
    await operations.queue_mail(
        database,
        message.id,
        Kind.RECEIPT,
        event_id=body.event_id,
        organizer_id=body.organizer_id,
        order_id=body.order_id,
    )


async def _take_waitlist_entry_offered(database: Database, message: Message) -> None:
    body = _parse(message, ticket_messages.WaitlistEntryOffered())
    _check_ids(message.id, body.waitlist_entry_id, body.event_id, body.organizer_id)
    await operations.queue_mail(
        database,
        message.id,
        Kind.WAITLIST_OFFER,
        event_id=body.event_id,
        organizer_id=body.organizer_id,
        waitlist_entry_id=body.waitlist_entry_id,
    )


def _parse(message: Message, body: Body) -> Body:
    try:
        # What a newer sender adds is none of ours.
        json_format.Parse(message.body, body, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unprocessable(f"The body is not a {body.DESCRIPTOR.name}.") from error
    return body


def _check_ids(*ids: str) -> None:
    if not all(ids) or any("\0" in each for each in ids):
        raise Unprocessable("The message lacks an id.")
