"""The tables of payment_service."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
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
from sqlalchemy.dialects.postgresql import JSONB

from kit import idempotency, inbox, outbox
from kit.database import new_metadata

metadata = new_metadata()

idempotency_keys = idempotency.add_table(metadata)
outbox_messages = outbox.add_table(metadata)
inbox_messages = inbox.add_table(metadata)


def _created(name: str = "created_at") -> "Column[object]":
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def _moment(name: str) -> "Column[object]":
    return Column(name, DateTime(timezone=True))


def _minor(name: str) -> "Column[object]":
    """An amount in minor units, none unless said otherwise."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def _ppm(name: str) -> "Column[object]":
    """A rate in millionths: 19 % is 190,000."""
    return Column(name, Integer, nullable=False, server_default=text("0"))


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
    # The lines' amounts and the booking fee; the discount and the tax are part of them.
    Column("total_minor", BigInteger, nullable=False),
    _minor("discount_minor"),
    _minor("booking_fee_minor"),
    _ppm("booking_fee_tax_ppm"),
    _minor("booking_fee_tax_minor"),
    Column("voucher_id", Text),
    Column("voucher_code", Text, nullable=False, server_default=""),
    Column("customer_email", Text, nullable=False),
    Column("customer_name", Text, nullable=False),
    Column("customer_phone", Text, nullable=False),
    Column("fulfilment", Text, nullable=False),
    Column("cancel_reason", Text, nullable=False, server_default=""),
    Column("idempotency_key", Text, unique=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _created(),
    _moment("paid_at"),
    # The payment that is kept, once it is paid.
    Column("payment_id", Text, unique=True),
    Column("notify_on_expiry", Boolean, nullable=False, server_default=false()),
    # The event's policy when it was ordered. Null: the customer may not cancel what is paid.
    _moment("cancellable_until"),
    _minor("cancellation_fee_minor"),
    _ppm("cancellation_fee_ppm"),
    # When the order needs attention next: its deadline, a retry, or now. Null: never again.
    Column("next_attempt_at", DateTime(timezone=True)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Whether what it needs next can wait: somebody else looks at it, behind all who pay.
    Column("is_left_over", Boolean, nullable=False, server_default=false()),
    CheckConstraint("state IN ('PENDING', 'PAID', 'EXPIRED', 'CANCELLED')", name="state"),
    CheckConstraint("fulfilment IN ('NONE', 'ISSUING', 'ISSUED', 'TAKEN_BACK')", name="fulfilment"),
    CheckConstraint("state <> 'PAID' OR fulfilment = 'ISSUED'", name="paid_has_tickets"),
    CheckConstraint("state <> 'PAID' OR paid_at IS NOT NULL", name="paid_at"),
    CheckConstraint(
        "total_minor >= 0 AND discount_minor >= 0 AND booking_fee_minor >= booking_fee_tax_minor",
        name="total",
    ),
    Index("ix_orders_due", "next_attempt_at", postgresql_where=text("NOT is_left_over")),
    Index("ix_orders_left_over", "next_attempt_at", postgresql_where=text("is_left_over")),
    Index("ix_orders_organizer_id", "organizer_id", "id"),
    Index("ix_orders_event_id", "event_id", "id"),
    Index("ix_orders_customer_email", text("lower(customer_email)"), "id"),
    Index("ix_orders_voucher_id", "voucher_id", postgresql_where=text("voucher_id IS NOT NULL")),
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
    # As listed; the rest is for the whole line.
    Column("unit_price_minor", BigInteger, nullable=False),
    _minor("discount_minor"),
    _ppm("tax_ppm"),
    Column("tax_included", Boolean, nullable=False, server_default=true()),
    # What is paid for the line, and how much of it is tax.
    _minor("amount_minor"),
    _minor("tax_minor"),
    CheckConstraint("quantity > 0 AND unit_price_minor >= 0", name="positive"),
    CheckConstraint("amount_minor >= tax_minor AND tax_minor >= 0", name="tax"),
)

payments = Table(
    "payments",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("event_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    # What refunds take of it, those included that are not through: never more than there is.
    _minor("refunded_minor"),
    # What Stripe calls it, what the browser needs, and Stripe's latest word on it.
    Column("provider_id", Text, unique=True),
    Column("client_secret", Text, nullable=False, server_default=""),
    Column("provider_status", Text, nullable=False, server_default=""),
    Column("decline_code", Text, nullable=False, server_default=""),
    _moment("failure_announced_at"),
    # Whether the ledger has what the provider keeps of it, which may be known late.
    Column("fee_booked", Boolean, nullable=False, server_default=false()),
    # Stripe replays an answer for its key, errors too: a definite failure moves on to the next.
    Column("key_number", Integer, nullable=False, server_default=text("1")),
    _created(),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("refunded_minor BETWEEN 0 AND amount_minor", name="refunded"),
    CheckConstraint(
        "state IN ('CREATED', 'REQUIRES_ACTION', 'AUTHORIZED', 'SUCCEEDED', 'FAILED', 'CANCELLED')",
        name="state",
    ),
)

refunds = Table(
    "refunds",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    # Null: there is no money in it, only tickets that are cancelled.
    Column("payment_id", Text, ForeignKey("payments.id"), index=True),
    Column("event_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    # Of the order, from 1. The tickets go first, the money follows.
    Column("ticket_numbers", ARRAY(Integer), nullable=False, server_default="{}"),
    Column("keep_off_sale", Boolean, nullable=False, server_default=false()),
    Column("tickets_cancelled", Boolean, nullable=False, server_default=true()),
    # Whether tickets go back that were used to enter before they are cancelled.
    Column("include_admitted", Boolean, nullable=False, server_default=false()),
    # What it takes back of each account: [[account, ticket type or "", minor units], …].
    Column("allocation", JSONB, nullable=False, server_default="[]"),
    Column("failure_reason", Text, nullable=False, server_default=""),
    Column("operation_id", Text, index=True),
    Column("provider_id", Text, unique=True),
    Column("key_number", Integer, nullable=False, server_default=text("1")),
    _created(),
    # When it needs attention next; null: never again.
    _moment("next_attempt_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("amount_minor >= 0", name="amount"),
    CheckConstraint("(amount_minor > 0) <= (payment_id IS NOT NULL)", name="payment"),
    CheckConstraint("state IN ('CREATED', 'PENDING', 'SUCCEEDED', 'FAILED')", name="state"),
    CheckConstraint(
        "origin IN ('ADMIN', 'CUSTOMER', 'EVENT_CANCELLED', 'AUTOMATIC', 'PROVIDER')",
        name="origin",
    ),
    Index("ix_refunds_event_id", "event_id", "id"),
    # Few, and what is asked for most often.
    Index("ix_refunds_failed", "id", postgresql_where=text("state = 'FAILED'")),
    Index("ix_refunds_next_attempt_at", "next_attempt_at"),
)

disputes = Table(
    "disputes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("provider_id", Text, nullable=False, unique=True),
    Column("payment_id", Text, ForeignKey("payments.id"), nullable=False, index=True),
    Column("order_id", Text, ForeignKey("orders.id"), nullable=False, index=True),
    Column("event_id", Text, nullable=False),
    Column("organizer_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("opened_at", DateTime(timezone=True), nullable=False),
    _moment("evidence_due_at"),
    _moment("closed_at"),
    # What ticket_service was told last: the tickets follow the state.
    Column("tickets_follow", Text, nullable=False, server_default=""),
    _moment("next_attempt_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("amount_minor > 0", name="amount"),
    CheckConstraint("state IN ('OPEN', 'WON', 'LOST')", name="state"),
    CheckConstraint("(state = 'OPEN') = (closed_at IS NULL)", name="closed"),
    Index("ix_disputes_organizer_id", "organizer_id", "id"),
    Index("ix_disputes_next_attempt_at", "next_attempt_at"),
)

operations = Table(
    "operations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("organizer_id", Text, nullable=False),
    Column("details", JSONB, nullable=False, server_default="{}"),
    # The last order that was taken up; all before it were too.
    Column("cursor", Text, nullable=False, server_default=""),
    Column("total", Integer, nullable=False, server_default=text("0")),
    Column("all_found", Boolean, nullable=False, server_default=false()),
    _created(),
    _moment("finished_at"),
    _moment("next_attempt_at"),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    CheckConstraint("kind IN ('REFUND_EVENT', 'ANNOUNCE_CHANGE')", name="kind"),
    CheckConstraint("state IN ('RUNNING', 'SUCCEEDED', 'FAILED')", name="state"),
    CheckConstraint("(state = 'RUNNING') = (finished_at IS NULL)", name="finished"),
    Index("ix_operations_organizer_id", "organizer_id", "id"),
    Index("ix_operations_next_attempt_at", "next_attempt_at"),
)

# Append-only: a trigger refuses every change, and entries that do not sum to zero.
ledger_transactions = Table(
    "ledger_transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    # What it books, by name, such as `charge:pay_…`: booked once, whoever comes again.
    Column("source", Text, nullable=False, unique=True),
    Column("organizer_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("voucher_id", Text),
    Column("currency_code", Text, nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    _created("booked_at"),
    Index("ix_ledger_transactions_organizer_id", "organizer_id", "id"),
    Index("ix_ledger_transactions_event_id", "event_id", "id"),
    Index("ix_ledger_transactions_order_id", "order_id"),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("transaction_id", Text, ForeignKey("ledger_transactions.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("account", Text, nullable=False),
    Column("ticket_type_id", Text, nullable=False, server_default=""),
    Column("amount_minor", BigInteger, nullable=False),
    CheckConstraint("amount_minor <> 0", name="amount"),
)

vouchers = Table(
    "vouchers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("organizer_id", Text, nullable=False),
    Column("code", Text, nullable=False),  # in upper case
    Column("event_id", Text),
    Column("ticket_type_ids", ARRAY(Text), nullable=False, server_default="{}"),
    _ppm("percentage_ppm"),
    Column("currency_code", Text),
    _minor("amount_minor"),
    Column("max_redemptions", Integer),
    Column("max_per_customer", Integer),
    Column("max_per_event", Integer),
    _moment("valid_from"),
    _moment("valid_until"),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _created(),
    _created("updated_at"),
    CheckConstraint("percentage_ppm BETWEEN 0 AND 1000000", name="percentage"),
    CheckConstraint("amount_minor >= 0", name="amount"),
    CheckConstraint("percentage_ppm = 0 OR amount_minor = 0", name="one_discount"),
    CheckConstraint("(amount_minor > 0) <= (currency_code IS NOT NULL)", name="currency"),
    Index("uq_vouchers_code", "organizer_id", "code", unique=True),
    Index("ix_vouchers_organizer_id", "organizer_id", "id"),
)

# One for each order that uses a voucher, for as long as it may be paid or is.
voucher_redemptions = Table(
    "voucher_redemptions",
    metadata,
    Column("order_id", Text, ForeignKey("orders.id"), primary_key=True),
    Column("voucher_id", Text, ForeignKey("vouchers.id"), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("customer_email", Text, nullable=False),  # in lower case
    _created(),
    Index("ix_voucher_redemptions_voucher_id", "voucher_id", "customer_email"),
)

order_lookups = Table(
    "order_lookups",
    metadata,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False),  # in lower case
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    _moment("redeemed_at"),
    _created(),
    CheckConstraint("tries BETWEEN 0 AND 5", name="tries"),
    Index("ix_order_lookups_email", "email", "created_at"),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("period_start", DateTime(timezone=True), nullable=False),
    Column("period_end", DateTime(timezone=True), nullable=False),
    Column("examined", Integer, nullable=False, server_default=text("0")),
    Column("healed", Integer, nullable=False, server_default=text("0")),
    Column("reported", Integer, nullable=False, server_default=text("0")),
    _created(),
    _moment("finished_at"),
    # Who works on it, until when: then it is taken to have died.
    _moment("claimed_until"),
    # The end of its period, if all of it was compared, and what was compared before reaches it.
    _moment("compared_until"),
    CheckConstraint("state IN ('RUNNING', 'FINISHED')", name="state"),
    CheckConstraint("(state = 'RUNNING') = (finished_at IS NULL)", name="finished"),
    Index(
        "uq_reconciliations_running",
        "state",
        unique=True,
        postgresql_where=text("state = 'RUNNING'"),
    ),
)

reconciliation_findings = Table(
    "reconciliation_findings",
    metadata,
    Column(
        "reconciliation_id",
        Text,
        ForeignKey("reconciliations.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("kind", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("detail", Text, nullable=False),
    Column("is_healed", Boolean, nullable=False),
)

# When the next call to the payment provider may begin: one row that all replicas share. A crash of
# the database may forget it, so it costs no flush.
pacers = Table(
    "pacers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    prefixes=["UNLOGGED"],
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),  # Stripe's event id: a second delivery changes nothing
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
