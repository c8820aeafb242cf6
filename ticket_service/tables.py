"""The tables of ticket_service. All that belongs to an event carries its `event_id`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    func,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit import idempotency, outbox
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)
outbox_messages = outbox.add_table(metadata)


def _moment(name: str, *, nullable: bool = False) -> "Column[object]":
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _minor(name: str) -> "Column[object]":
    """An amount in minor units, none unless said otherwise."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _ppm(name: str) -> "Column[object]":
    """A rate in millionths: 19 % is 190,000."""
    return Column(name, Integer, nullable=False, server_default=text("0"))


def _version() -> "Column[object]":
    return Column("version", Integer, nullable=False, server_default=text("1"))


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
    # What an order costs beside its tickets: for each, and a share of what they cost.
    _minor("booking_fee_minor"),
    _ppm("booking_fee_ppm"),
    _ppm("booking_fee_tax_ppm"),
    # Until when customers may cancel what they paid, and what is kept then. Null: never.
    _moment("cancellable_until", nullable=True),
    _minor("cancellation_fee_minor"),
    _ppm("cancellation_fee_ppm"),
    _version(),
    _created(),
    _updated(),
    CheckConstraint("ends_at > starts_at", name="times"),
    CheckConstraint("booking_fee_minor >= 0 AND cancellation_fee_minor >= 0", name="fees"),
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
    Column("is_seated", Boolean, nullable=False, server_default=false()),
    _ppm("tax_ppm"),
    Column("tax_included", Boolean, nullable=False, server_default=true()),
    # Only a voucher opens it.
    Column("is_hidden", Boolean, nullable=False, server_default=false()),
    _version(),
    _created(),
    _updated(),
    CheckConstraint("price_minor >= 0", name="price"),
    # The database itself refuses to oversell.
    CheckConstraint("remaining BETWEEN 0 AND total_stock", name="remaining"),
    Index(
        "ix_ticket_types_sales_start",
        "sales_start",
        postgresql_where=text("sales_start IS NOT NULL"),
    ),
)

quotas = Table(
    "quotas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("event_id", Text, ForeignKey("events.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("remaining", Integer, nullable=False),
    _version(),
    _created(),
    _updated(),
    CheckConstraint("remaining BETWEEN 0 AND size", name="remaining"),
)

quota_ticket_types = Table(
    "quota_ticket_types",
    metadata,
    Column("quota_id", Text, ForeignKey("quotas.id"), primary_key=True),
    Column("ticket_type_id", Text, ForeignKey("ticket_types.id"), primary_key=True, index=True),
    Column("event_id", Text, nullable=False),
)

venues = Table(
    "venues",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organizer_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    _version(),
    _created(),
    _updated(),
    Index("ix_venues_organizer_id", "organizer_id", "id"),
)

halls = Table(
    "halls",
    metadata,
    Column("id", Text, primary_key=True),
    Column("venue_id", Text, ForeignKey("venues.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("seat_count", Integer, nullable=False, server_default=text("0")),
    _version(),
    _created(),
    _updated(),
)

# `position` is the place in the list that a layout gives.
zones = Table(
    "zones",
    metadata,
    Column("hall_id", Text, ForeignKey("halls.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("color", Text, nullable=False),
)

sections = Table(
    "sections",
    metadata,
    Column("id", Text, primary_key=True),
    Column("hall_id", Text, ForeignKey("halls.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Index("uq_sections_hall_id_name", "hall_id", "name", unique=True),
)

seat_rows = Table(
    "seat_rows",
    metadata,
    Column("id", Text, primary_key=True),
    Column("section_id", Text, ForeignKey("sections.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("rank", Integer, nullable=False),
    Column("zone", Text, nullable=False),
    Index("uq_seat_rows_section_id_name", "section_id", "name", unique=True),
)

seats = Table(
    "seats",
    metadata,
    Column("id", Text, primary_key=True),
    Column("row_id", Text, ForeignKey("seat_rows.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("number", Text, nullable=False),
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("zone", Text, nullable=False),  # empty: the row's
    Column("aisle", Boolean, nullable=False),
    Column("block_reason", Text),
    Index("uq_seats_row_id_number", "row_id", "number", unique=True),
)

seat_maps = Table(
    "seat_maps",
    metadata,
    Column("event_id", Text, ForeignKey("events.id"), primary_key=True),
    Column("hall_id", Text, nullable=False),  # which may be gone
    # Of the seat states: whoever changes one locks this row first, and takes the next version.
    _version(),
    _created(),
)

seat_map_zones = Table(
    "seat_map_zones",
    metadata,
    Column("event_id", Text, ForeignKey("seat_maps.event_id"), primary_key=True),
    Column("zone", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("color", Text, nullable=False),
    Column("ticket_type_id", Text, ForeignKey("ticket_types.id"), nullable=False, index=True),
)

# What a hall's seats were when the event was seated, and who has them now.
event_seats = Table(
    "event_seats",
    metadata,
    Column("event_id", Text, ForeignKey("seat_maps.event_id"), primary_key=True),
    Column("position", Integer, primary_key=True),  # in the seat map, from 0
    Column("seat_id", Text, nullable=False),
    Column("section", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("rank", Integer, nullable=False),  # the row's
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("zone", Text, nullable=False),
    Column("aisle", Boolean, nullable=False),
    Column("ticket_type_id", Text, ForeignKey("ticket_types.id"), nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("hold_id", Text),  # whose it is, while it is held or sold
    Column("block_reason", Text),
    Column("block_note", Text, nullable=False, server_default=""),
    _version(),  # of its last change
    CheckConstraint("state IN ('AVAILABLE', 'HELD', 'SOLD', 'BLOCKED')", name="state"),
    CheckConstraint("(state IN ('HELD', 'SOLD')) = (hold_id IS NOT NULL)", name="owner"),
    CheckConstraint("(state = 'BLOCKED') <= (block_reason IS NOT NULL)", name="blocked"),
    Index("uq_event_seats_event_id_seat_id", "event_id", "seat_id", unique=True),
    Index("ix_event_seats_event_id_version", "event_id", "version"),
    Index("ix_event_seats_hold_id", "hold_id", postgresql_where=text("hold_id IS NOT NULL")),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Text, primary_key=True),
    # No foreign key: the ticket types, which have one, are locked while holds of them are made. A
    # trigger for each row would cost a third of a batch, here and below.
    Column("event_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    _moment("expires_at"),
    _created(),
    Column("order_id", Text, unique=True),
    Column("idempotency_key", Text),
    Column("fingerprint", LargeBinary),
    # Whoever came again with the key was told of the hold: it is nobody's to abandon any more.
    Column("is_claimed", Boolean, nullable=False, server_default=false()),
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
    Column("ticket_type_id", Text, primary_key=True, index=True),  # no foreign key either
    Column("event_id", Text, nullable=False),
    Column("position", Integer, nullable=False),
    # As it was called and cost when the hold was made: later changes do not touch a live hold.
    Column("ticket_type_name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price_minor", BigInteger, nullable=False),
    # Null where there are no seats. Kept when the hold is gone: it may have to take them again.
    Column("seat_ids", ARRAY(Text)),
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
    Column("hold_id", Text, ForeignKey("holds.id"), nullable=False, index=True),
    Column("order_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    # How often it was given to somebody else before: the number stays.
    Column("transfers", Integer, nullable=False, server_default=text("0")),
    Column("holder_name", Text, nullable=False),
    # Whom it was sent to, if not to the order's customer.
    Column("holder_email", Text, nullable=False, server_default=""),
    Column("is_blocked", Boolean, nullable=False, server_default=false()),
    # Null where there are no seats.
    Column("seat_id", Text),
    Column("seat_section", Text),
    Column("seat_row", Text),
    Column("seat_number", Text),
    Column("issued_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("state IN ('ISSUED', 'CANCELLED', 'TRANSFERRED')", name="state"),
    # An order's tickets are issued once, however often its payment is reported; and each is given
    # on by one holder at a time.
    Index("uq_tickets_order_id_number", "order_id", "number", "transfers", unique=True),
    Index("ix_tickets_event_id", "event_id", "state"),
    # The database itself refuses to sell a seat twice.
    Index(
        "uq_tickets_event_id_seat_id",
        "event_id",
        "seat_id",
        unique=True,
        postgresql_where=text("state = 'ISSUED'"),
    ),
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

waitlist_entries = Table(
    "waitlist_entries",
    metadata,
    Column("id", Text, primary_key=True),
    # An entry goes with what it is about: nobody waits for a ticket type that was deleted.
    Column("event_id", Text, ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column(
        "ticket_type_id", Text, ForeignKey("ticket_types.id", ondelete="CASCADE"), nullable=False
    ),
    Column("quantity", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    # What was offered.
    Column("hold_id", Text, ForeignKey("holds.id", ondelete="SET NULL"), unique=True),
    _moment("offer_expires_at", nullable=True),
    _created(),
    _updated(),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint(
        "state IN ('WAITING', 'OFFERED', 'CONVERTED', 'OFFER_EXPIRED', 'CANCELLED')", name="state"
    ),
    CheckConstraint("(state = 'OFFERED') <= (hold_id IS NOT NULL)", name="offered"),
    Index("ix_waitlist_entries_event_id", "event_id", "id"),
    # Of those who wait for so many tickets of a type, who comes first?
    Index(
        "ix_waitlist_entries_waiting",
        "ticket_type_id",
        "quantity",
        "id",
        postgresql_where=text("state = 'WAITING'"),
    ),
    # Nobody stands in a line twice.
    Index(
        "uq_waitlist_entries_email",
        "ticket_type_id",
        func.lower(text("email")),
        unique=True,
        postgresql_where=text("state IN ('WAITING', 'OFFERED')"),
    ),
)
