"""The messages that begin background operations: what became of an event."""

from functools import partial
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit.broker import Handler, Message, Queue, Unprocessable
from kit.database import Database
from payment_service.bulk import operations

Body = TypeVar("Body", bound=Proto)

# The usual delays, and then a day: money must outlast a database that is away for a night.
_RETRY_DELAYS_S = (1, 5, 30, 120, 600, *(3600 for _ in range(24)))

EVENT_CANCELLED = Queue("payment_service", "event.cancelled", retry_delays_s=_RETRY_DELAYS_S)
EVENT_UPDATED = Queue("payment_service", "event.updated", retry_delays_s=_RETRY_DELAYS_S)


def take_event_cancelled(database: Database) -> Handler:
    """The handler of EVENT_CANCELLED."""
    return partial(_take_event_cancelled, database)


def take_event_updated(database: Database) -> Handler:
    """The handler of EVENT_UPDATED."""
    return partial(_take_event_updated, database)


async def _take_event_cancelled(database: Database, message: Message) -> None:
    body = _parse(message, ticket_messages.EventCancelled())
    _check_ids(message.id, body.event_id, body.organizer_id)
    await operations.begin_refunds(database, message.id, body)


async def _take_event_updated(database: Database, message: Message) -> None:
    body = _parse(message, ticket_messages.EventUpdated())
    _check_ids(message.id, body.event_id, body.organizer_id)
    await operations.begin_announcement(database, message.id, body)


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
