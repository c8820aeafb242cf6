"""The tables of notification_service."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from kit import idempotency, inbox
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)
inbox_messages = inbox.add_table(metadata)


KINDS = (
    "RECEIPT",
    "WAITLIST_OFFER",
    "PAYMENT_FAILED",
    "ORDER_EXPIRED",
    "ORDER_CANCELLED",
    "REFUND",
    "EVENT_CHANGED",
    "EVENT_CANCELLED",
    "TICKET_TRANSFERRED",
    "ORDER_LOOKUP",
    "TICKET_WITHDRAWN",
)

notifications = Table(
    "notifications",
    metadata,
    Column("id", Text, primary_key=True),
    # Empty, as the event's, for who looks for all orders of an address.
    Column("organizer_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    # Whose mail it is: an order's, an entry's or, of a lookup, neither's.
    Column("order_id", Text),
    Column("waitlist_entry_id", Text),
    # What it is about, if not the order or the entry themselves.
    Column("subject_id", Text),
    # What the message told and nobody could be asked for later.
    Column("details", JSONB, nullable=False, server_default=text("'{}'")),
    Column("kind", Text, nullable=False),
    # The kind's: which of those that are due go first, the lowest.
    Column("priority", SmallInteger, nullable=False, server_default=text("1")),
    Column("state", Text, nullable=False),
    Column("recipient", Text, nullable=False, server_default=""),
    Column("subject", Text, nullable=False, server_default=""),
    # Since it was queued: the first time, or by an admin again.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("resends", Integer, nullable=False, server_default=text("0")),
    Column("last_error", Text, nullable=False, server_default=""),
    # The last attempt failed for all mail: it is due as soon as the server takes another one.
    Column("waits_for_server", Boolean, nullable=False, server_default=false()),
    # Who makes an attempt now. Until `next_attempt_at`: then it is taken to have died.
    Column("claim_id", Text),
    # Claims in a row that nobody finished.
    Column("lapses", Integer, nullable=False, server_default=text("0")),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("queued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("sent_at", DateTime(timezone=True)),
    CheckConstraint(
        "num_nonnulls(order_id, waitlist_entry_id)"
        " = CASE kind WHEN 'ORDER_LOOKUP' THEN 0 ELSE 1 END",
        name="subject",
    ),
    CheckConstraint(f"kind IN ({', '.join(map(repr, KINDS))})", name="kind"),
    CheckConstraint("state IN ('PENDING', 'SENT', 'DEAD')", name="state"),
    CheckConstraint("(state = 'PENDING') = (next_attempt_at IS NOT NULL)", name="planned"),
    CheckConstraint("state <> 'SENT' OR sent_at IS NOT NULL", name="sent_at"),
    CheckConstraint("state = 'PENDING' OR claim_id IS NULL", name="claimed"),
    # What is due, in the order in which it goes. Less what is sent, which is nearly everything.
    Index(
        "ix_notifications_due",
        "priority",
        "next_attempt_at",
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    ),
    Index("ix_notifications_organizer_id", "organizer_id", "id"),
    Index("ix_notifications_order_id", "order_id"),
    Index(
        "ix_notifications_waitlist_entry_id",
        "waitlist_entry_id",
        postgresql_where=text("waitlist_entry_id IS NOT NULL"),
    ),
    # An order has one receipt, an entry one offer and a refund one mail, however often announced.
    Index(
        "uq_notifications_kind_subject",
        "kind",
        text("coalesce(subject_id, order_id, waitlist_entry_id)"),
        unique=True,
    ),
)
