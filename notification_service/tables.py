"""The tables of notification_service."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)

from kit import idempotency, inbox
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)
inbox_messages = inbox.add_table(metadata)


notifications = Table(
    "notifications",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organizer_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    # A mail is about one thing.
    Column("order_id", Text),
    Column("waitlist_entry_id", Text),
    Column("kind", Text, nullable=False),
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
    # An order has one receipt, however often its payment is announced; and an entry one offer.
    UniqueConstraint("order_id", "kind"),
    UniqueConstraint("waitlist_entry_id", "kind"),
    CheckConstraint("num_nonnulls(order_id, waitlist_entry_id) = 1", name="subject"),
    CheckConstraint("kind IN ('RECEIPT', 'WAITLIST_OFFER')", name="kind"),
    CheckConstraint("state IN ('PENDING', 'SENT', 'DEAD')", name="state"),
    CheckConstraint("(state = 'PENDING') = (next_attempt_at IS NOT NULL)", name="planned"),
    CheckConstraint("state <> 'SENT' OR sent_at IS NOT NULL", name="sent_at"),
    CheckConstraint("state = 'PENDING' OR claim_id IS NULL", name="claimed"),
    Index("ix_notifications_next_attempt_at", "next_attempt_at"),
    Index("ix_notifications_organizer_id", "organizer_id", "id"),
)
