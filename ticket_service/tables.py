"""The tables of ticket_service. All that belongs to an event carries its `event_id`."""

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

from kit import idempotency
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)


def _moment(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _created() -> "Column[object]":
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now())


def _updated() -> "Column[object]":
    return Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now())


events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organizer_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("location", Text, nullable=False),
    _moment("starts_at"),
    _moment("ends_at"),
    Column("time_zone", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _created(),
    _updated(),
    CheckConstraint("ends_at > starts_at", name="times"),
    CheckConstraint("state IN ('DRAFT', 'PUBLISHED', 'CANCELLED', 'ENDED')", name="state"),
    Index("ix_events_starts_at_id", "starts_at", "id"),
    Index("ix_events_organizer_id", "organizer_id", "starts_at", "id"),
    Index("ix_events_ends_at", "ends_at", postgresql_where=text("state = 'PUBLISHED'")),
)

ticket_types = Table(
    "ticket_types",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("total_stock", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    _moment("sales_start", nullable=True),
    _moment("sales_end", nullable=True),
    Column("max_per_order", Integer, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _created(),
    _updated(),
    CheckConstraint("price_minor >= 0", name="price"),
    # The database itself refuses to oversell.
    CheckConstraint("remaining BETWEEN 0 AND total_stock", name="remaining"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    _moment("expires_at"),
    _created(),
    Column("order_id", Text, unique=True),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary),
    CheckConstraint("state IN ('ACTIVE', 'CONVERTED', 'EXPIRED', 'RELEASED')", name="state"),
    CheckConstraint("(state = 'CONVERTED') <= (order_id IS NOT NULL)", name="converted"),
    Index("ix_holds_expires_at", "expires_at", postgresql_where=text("state = 'ACTIVE'")),
    Index("uq_holds_idempotency_key", "idempotency_key", unique=True),
    Index("ix_holds_event_id", "event_id", "state"),
)

hold_items = Table(
    "hold_items",
    metadata,
    Column("hold_id", Text, ForeignKey("holds.id"), primary_key=True),
    Column("ticket_type_id", Text, ForeignKey("ticket_types.id"), primary_key=True, index=True),
    Column("event_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    # As it was called and cost when the hold was made: later changes do not touch a live hold.
    Column("ticket_type_name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("code", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False),
    Column("organizer_id", Text, nullable=False),
    Column("ticket_type_id", Text, ForeignKey("ticket_types.id"), nullable=False, index=True),
    Column("ticket_type_name", Text, nullable=False),
    Column("hold_id", Text, ForeignKey("holds.id"), nullable=False),
    Column("order_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("holder_name", Text, nullable=False),
    Column("issued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('ISSUED', 'CANCELLED')", name="state"),
    # An order's tickets are issued once, however often its payment is reported.
    Index("uq_tickets_order_id_number", "order_id", "number", unique=True),
    Index("ix_tickets_event_id", "event_id", "state"),
)

check_ins = Table(
    "check_ins",
    metadata,
    Column("id", Text, primary_key=True),
    Column("ticket_id", Text, ForeignKey("tickets.id"), nullable=False, index=True),
    Column("event_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("rejection", Text),  # null: accepted
    Column("checked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # A ticket is accepted once, whatever two doors do at the same moment.
    Index(
        "uq_check_ins_accepted",
        "ticket_id",
        unique=True,
        postgresql_where=text("rejection IS NULL"),
    ),
    Index("ix_check_ins_event_id", "event_id", postgresql_where=text("rejection IS NULL")),
)
