"""The messages that notification_service listens to, and the mail that each of them asks for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.payment.v1 import messages_pb2 as payment_messages
from tessera.ticket.v1 import messages_pb2 as ticket_messages

from kit import outbox
from kit.broker import Handler, Message, Queue, Unprocessable
from notification_service.notifications.domain import Kind, Occasion
from notification_service.notifications.operations import Desk

Body = TypeVar("Body", bound=Proto)

# The usual delays, and then a day: a mail must outlast a database that is away for a night.
_RETRY_DELAYS_S = (1, 5, 30, 120, 600, *(3600 for _ in range(24)))

# A whole tour of the desk's takes as long as one message: the more come together, the better.
_CONCURRENCY = 50

_EVENT_CANCELLED = "EVENT_CANCELLED"


@dataclass(frozen=True, slots=True)
class Listener:
    """A queue, and which mail each of its messages asks for: at most one."""

    queue: Queue
    read: Callable[[Message], Occasion | None]

    async def take(self, desk: Desk, message: Message) -> None:
        """Have the mail sent. Raises Unprocessable."""
        occasion = self.read(message)
        if occasion is not None:
            _check(occasion)
            await desk.queue_mail(message.id, occasion)


def _payment_succeeded(body: payment_messages.PaymentSucceeded) -> Occasion:
    return Occasion(Kind.RECEIPT, body.organizer_id, body.event_id, body.order_id)


def _payment_failed(body: payment_messages.PaymentFailed) -> Occasion:
    return Occasion(
        Kind.PAYMENT_FAILED,
        body.organizer_id,
        body.event_id,
        body.order_id,
        subject_id=_needed(body.payment_id),
        details={"decline_code": body.decline_code},
    )


def _order_expired(body: payment_messages.OrderExpired) -> Occasion | None:
    if not body.notify:
        return None
    return Occasion(Kind.ORDER_EXPIRED, body.organizer_id, body.event_id, body.order_id)


def _order_cancelled(body: payment_messages.OrderCancelled) -> Occasion:
    is_called_off = body.reason == _EVENT_CANCELLED
    kind = Kind.EVENT_CANCELLED if is_called_off else Kind.ORDER_CANCELLED
    return Occasion(kind, body.organizer_id, body.event_id, body.order_id)


def _refund_issued(body: payment_messages.RefundIssued) -> Occasion:
    return Occasion(
        Kind.REFUND,
        body.organizer_id,
        body.event_id,
        body.order_id,
        subject_id=_needed(body.refund_id),
    )


def _order_event_updated(body: payment_messages.OrderEventUpdated) -> Occasion:
    details = {
        "event_version": str(body.event_version),
        "previous_title": body.previous_title,
        "previous_location": body.previous_location,
        "previous_starts_at": _iso(body, "previous_starts_at"),
        "previous_ends_at": _iso(body, "previous_ends_at"),
    }
    return Occasion(
        Kind.EVENT_CHANGED,
        body.organizer_id,
        body.event_id,
        body.order_id,
        subject_id=f"{body.order_id}.{body.event_version}",
        details={name: value for name, value in details.items() if value},
    )


def _order_lookup_requested(body: payment_messages.OrderLookupRequested) -> Occasion:
    return Occasion(Kind.ORDER_LOOKUP, subject_id=_needed(body.lookup_id))


def _ticket_transferred(body: ticket_messages.TicketTransferred) -> Occasion:
    return Occasion(
        Kind.TICKET_TRANSFERRED,
        body.organizer_id,
        body.event_id,
        body.order_id,
        subject_id=_needed(body.ticket_id),
    )


def _ticket_withdrawn(body: ticket_messages.TicketWithdrawn) -> Occasion:
    return Occasion(
        Kind.TICKET_WITHDRAWN,
        body.organizer_id,
        body.event_id,
        body.order_id,
        subject_id=_needed(body.ticket_id),
    )


def _waitlist_entry_offered(body: ticket_messages.WaitlistEntryOffered) -> Occasion:
    return Occasion(
        Kind.WAITLIST_OFFER,
        body.organizer_id,
        body.event_id,
        waitlist_entry_id=body.waitlist_entry_id,
    )


def _listener(body: type[Body], occasion: Callable[[Body], Occasion | None]) -> Listener:
    """What listens to messages with this body, which say `occasion`."""
    return Listener(
        Queue(
            "notification_service",
            outbox.routing_key(body.DESCRIPTOR.full_name),
            retry_delays_s=_RETRY_DELAYS_S,
            concurrency=_CONCURRENCY,
        ),
        lambda message: occasion(_parse(message, body())),
    )


PAYMENT_SUCCEEDED = _listener(payment_messages.PaymentSucceeded, _payment_succeeded)
PAYMENT_FAILED = _listener(payment_messages.PaymentFailed, _payment_failed)
ORDER_EXPIRED = _listener(payment_messages.OrderExpired, _order_expired)
ORDER_CANCELLED = _listener(payment_messages.OrderCancelled, _order_cancelled)
REFUND_ISSUED = _listener(payment_messages.RefundIssued, _refund_issued)
ORDER_EVENT_UPDATED = _listener(payment_messages.OrderEventUpdated, _order_event_updated)
ORDER_LOOKUP_REQUESTED = _listener(payment_messages.OrderLookupRequested, _order_lookup_requested)
TICKET_TRANSFERRED = _listener(ticket_messages.TicketTransferred, _ticket_transferred)
TICKET_WITHDRAWN = _listener(ticket_messages.TicketWithdrawn, _ticket_withdrawn)
WAITLIST_ENTRY_OFFERED = _listener(ticket_messages.WaitlistEntryOffered, _waitlist_entry_offered)

LISTENERS = (
    PAYMENT_SUCCEEDED,
    PAYMENT_FAILED,
    ORDER_EXPIRED,
    ORDER_CANCELLED,
    REFUND_ISSUED,
    ORDER_EVENT_UPDATED,
    ORDER_LOOKUP_REQUESTED,
    TICKET_TRANSFERRED,
    TICKET_WITHDRAWN,
    WAITLIST_ENTRY_OFFERED,
)


def listening(desk: Desk) -> Iterator[tuple[Queue, Handler]]:
    """Every queue with what handles its messages."""
    for listener in LISTENERS:
        yield listener.queue, partial(listener.take, desk)


def _parse(message: Message, body: Body) -> Body:
    try:
        # What a newer sender adds is none of ours.
        json_format.Parse(message.body, body, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise Unprocessable(f"The body is not a {body.DESCRIPTOR.name}.") from error
    return body


def _check(occasion: Occasion) -> None:
    """Raise Unprocessable for a message that does not say what it is about."""
    about = occasion.order_id or occasion.waitlist_entry_id
    needed = [about, occasion.event_id, occasion.organizer_id]
    if occasion.kind is not Kind.ORDER_LOOKUP and not all(needed):
        raise Unprocessable("The message lacks an id.")
    texts = [*needed, occasion.subject_id, *occasion.details.values()]
    if any("\0" in text for text in texts):
        raise Unprocessable("The message has an id that cannot be stored.")


def _needed(subject_id: str) -> str:
    if not subject_id:
        raise Unprocessable("The message lacks an id.")
    return subject_id


def _iso(body: Proto, name: str) -> str:
    """A time as text; empty where there is none."""
    if not body.HasField(name):
        return ""
    timestamp: Timestamp = getattr(body, name)
    return timestamp.ToDatetime(UTC).isoformat()
