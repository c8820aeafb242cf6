"""The messages that notification_service listens to."""

from functools import partial

from google.protobuf import json_format
from tessera.payment.v1 import messages_pb2

from kit.broker import Handler, Message, Queue, Unprocessable
from kit.database import Database
from notification_service.notifications import operations

# The usual delays, and then a day: a receipt must outlast a database that is away for a night.
PAYMENT_SUCCEEDED = Queue(
    "notification_service",
    "payment.succeeded",
    retry_delays_s=(1, 5, 30, 120, 600, *(3600 for _ in range(24))),
)


def take_payment_succeeded(database: Database) -> Handler:
    """The handler of PAYMENT_SUCCEEDED."""
    return partial(_take_payment_succeeded, database)


async def _take_payment_succeeded(database: Database, message: Message) -> None:
    body = messages_pb2.PaymentSucceeded()
    try:
        # What a newer payment_service adds is none of ours.
        json_format.Parse(message.body, body, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unprocessable("The body is not a PaymentSucceeded.") from error
    ids = (message.id, body.order_id, body.event_id, body.organizer_id)
    if not all(ids) or any("\0" in each for each in ids):
        raise Unprocessable("The message lacks an id.")
    await operations.queue_receipt(
        database,
        message.id,
        order_id=body.order_id,
        event_id=body.event_id,
        organizer_id=body.organizer_id,
    )
