"""The tables of payment_service."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)

from kit import idempotency, outbox
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)
outbox_messages = outbox.add_table(metadata)


def _created() -> "Column[object]":
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("organizer_id", Text, nullable=False),
    # One order per hold: the hold is the natural idempotency key.
    Column("hold_id", Text, nullable=False, unique=True),
    Column("currency_code", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("customer_email", Text, nullable=False),
    Column("customer_name", Text, nullable=False),
    Column("customer_phone", Text, nullable=False),
    Column("fulfilment", Text, nullable=False),
    Column("cancel_reason", Text, nullable=False, server_default=""),
    Column("idempotency_key", Text, unique=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _created(),
    Column("paid_at", DateTime(timezone=True)),
    # When the order needs attention next: its deadline, a retry, or now. Null: never again.
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("state IN ('PENDING', 'PAID', 'EXPIRED', 'CANCELLED')", name="state"),
    CheckConstraint("fulfilment IN ('NONE', 'ISSUING', 'ISSUED', 'TAKEN_BACK')", name="fulfilment"),
    CheckConstraint("state <> 'PAID' OR fulfilment = 'ISSUED'", name="paid_has_tickets"),
    CheckConstraint("state <> 'PAID' OR paid_at IS NOT NULL", name="paid_at"),
    CheckConstraint("total_minor >= 0", name="total"),
    Index("ix_orders_next_attempt_at", "next_attempt_at"),
    Index("ix_orders_organizer_id", "organizer_id", "id"),
    Index("ix_orders_event_id", "event_id", "id"),
    Index("ix_orders_customer_email", text("lower(customer_email)"), "id"),
)

order_lines = Table(
    "order_lines",
    metadata,
    Column("order_id", Text, ForeignKey("orders.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("event_id", Text, nullable=False),
    Column("ticket_type_id", Text, nullable=False),
    Column("ticket_type_name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    CheckConstraint("quantity > 0 AND unit_price_minor >= 0", name="positive"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, unique=True),
    Column("event_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    # What Stripe calls it, what the browser needs, and Stripe's latest word on it.
    Column("provider_id", Text, unique=True),
    Column("client_secret", Text, nullable=False, server_default=""),
    Column("provider_status", Text, nullable=False, server_default=""),
    Column("decline_code", Text, nullable=False, server_default=""),
    # Stripe replays an answer for its key, errors too: a definite failure moves on to the next.
    Column("key_number", Integer, nullable=False, server_default=text("1")),
    _created(),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint(
        "state IN ('CREATED', 'REQUIRES_ACTION', 'AUTHORIZED', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
        name="state",
    ),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Text, primary_key=True),
    # At most one: what is refunded here is a whole charge that has no tickets.
    Column("payment_id", Text, ForeignKey("payments.id"), nullable=False, unique=True),
    Column("event_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("provider_id", Text, unique=True),
    Column("key_number", Integer, nullable=False, server_default=text("1")),
    _created(),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("state IN ('CREATED', 'PENDING', 'SUCCEEDED', 'FAILED')", name="state"),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's event id: a second delivery changes nothing
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
