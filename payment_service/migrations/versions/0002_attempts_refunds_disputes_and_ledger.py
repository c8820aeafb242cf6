"""Attempts to pay, refunds, disputes, vouchers, the ledger and its reconciliation."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


_CHECKS = (
    (
        "orders",
        "total",
        "total_minor >= 0 AND discount_minor >= 0 AND booking_fee_minor >= booking_fee_tax_minor",
    ),
    ("order_lines", "tax", "amount_minor >= tax_minor AND tax_minor >= 0"),
    ("payments", "refunded", "refunded_minor BETWEEN 0 AND amount_minor"),
    ("refunds", "payment", "(amount_minor > 0) <= (payment_id IS NOT NULL)"),
    (
        "refunds",
        "origin",
        "origin IN ('ADMIN', 'CUSTOMER', 'EVENT_CANCELLED', 'AUTOMATIC', 'PROVIDER')",
    ),
)
# The books are not changed, whoever tries; and no statement adds what does not sum to zero.
_LEDGER = (
    """
    CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is append-only: book a correction'
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION ledger_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM added GROUP BY transaction_id HAVING sum(amount_minor) <> 0) THEN
            RAISE EXCEPTION 'a ledger transaction does not sum to zero'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER balanced AFTER INSERT ON ledger_entries REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_balanced()
    """,
    *(
        f"""
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()
        """
        for table in ("ledger_transactions", "ledger_entries")
    ),
)


def upgrade() -> None:
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column(
            "received_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_inbox")),
    )
    op.create_table(
        "ledger_transactions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("voucher_id", sa.Text(), nullable=True),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "booked_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_transactions")),
        sa.UniqueConstraint("source", name=op.f("uq_ledger_transactions_source")),
    )
    op.create_index(
        "ix_ledger_transactions_event_id", "ledger_transactions", ["event_id", "id"], unique=False
    )
    op.create_index(
        "ix_ledger_transactions_order_id", "ledger_transactions", ["order_id"], unique=False
    )
    op.create_index(
        "ix_ledger_transactions_organizer_id",
        "ledger_transactions",
        ["organizer_id", "id"],
        unique=False,
    )
    op.create_table(
        "operations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column(
            "details", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False
        ),
        sa.Column("cursor", sa.Text(), server_default="", nullable=False),
        sa.Column("total", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("all_found", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(state = 'RUNNING') = (finished_at IS NULL)", name=op.f("ck_operations_finished")
        ),
        sa.CheckConstraint(
            "kind IN ('REFUND_EVENT', 'ANNOUNCE_CHANGE')", name=op.f("ck_operations_kind")
        ),
        sa.CheckConstraint(
            "state IN ('RUNNING', 'SUCCEEDED', 'FAILED')", name=op.f("ck_operations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operations")),
    )
    op.create_index(
        "ix_operations_next_attempt_at", "operations", ["next_attempt_at"], unique=False
    )
    op.create_index(
        "ix_operations_organizer_id", "operations", ["organizer_id", "id"], unique=False
    )
    op.create_table(
        "order_lookups",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("redeemed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("tries BETWEEN 0 AND 5", name=op.f("ck_order_lookups_tries")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_lookups")),
    )
    op.create_index(
        "ix_order_lookups_email", "order_lookups", ["email", "created_at"], unique=False
    )
    op.create_table(
        "pacers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column(
            "next_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pacers")),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("period_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("period_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("examined", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("healed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reported", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("compared_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'RUNNING') = (finished_at IS NULL)", name=op.f("ck_reconciliations_finished")
        ),
        sa.CheckConstraint(
            "state IN ('RUNNING', 'FINISHED')", name=op.f("ck_reconciliations_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
    op.create_index(
        "uq_reconciliations_running",
        "reconciliations",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'RUNNING'"),
    )
    op.create_table(
        "vouchers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("ticket_type_ids", sa.ARRAY(sa.Text()), server_default="{}", nullable=False),
        sa.Column("percentage_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("max_per_customer", sa.Integer(), nullable=True),
        sa.Column("max_per_event", sa.Integer(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(amount_minor > 0) <= (currency_code IS NOT NULL)", name=op.f("ck_vouchers_currency")
        ),
        sa.CheckConstraint("amount_minor >= 0", name=op.f("ck_vouchers_amount")),
        sa.CheckConstraint(
            "percentage_ppm = 0 OR amount_minor = 0", name=op.f("ck_vouchers_one_discount")
        ),
        sa.CheckConstraint(
            "percentage_ppm BETWEEN 0 AND 1000000", name=op.f("ck_vouchers_percentage")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vouchers")),
    )
    op.create_index("ix_vouchers_organizer_id", "vouchers", ["organizer_id", "id"], unique=False)
    op.create_index("uq_vouchers_code", "vouchers", ["organizer_id", "code"], unique=True)
    op.create_table(
        "ledger_entries",
        sa.Column("transaction_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), server_default="", nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_minor <> 0", name=op.f("ck_ledger_entries_amount")),
        sa.ForeignKeyConstraint(
            ["transaction_id"],
            ["ledger_transactions.id"],
            name=op.f("fk_ledger_entries_transaction_id"),
        ),
        sa.PrimaryKeyConstraint("transaction_id", "position", name=op.f("pk_ledger_entries")),
    )
    op.create_table(
        "reconciliation_findings",
        sa.Column("reconciliation_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("is_healed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliations.id"],
            name=op.f("fk_reconciliation_findings_reconciliation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "reconciliation_id", "kind", "subject", name=op.f("pk_reconciliation_findings")
        ),
    )
    op.create_table(
        "voucher_redemptions",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("voucher_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("customer_email", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["orders.id"], name=op.f("fk_voucher_redemptions_order_id")
        ),
        sa.ForeignKeyConstraint(
            ["voucher_id"], ["vouchers.id"], name=op.f("fk_voucher_redemptions_voucher_id")
        ),
        sa.PrimaryKeyConstraint("order_id", name=op.f("pk_voucher_redemptions")),
    )
    op.create_index(
        "ix_voucher_redemptions_voucher_id",
        "voucher_redemptions",
        ["voucher_id", "customer_email"],
        unique=False,
    )
    op.create_table(
        "disputes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("evidence_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tickets_follow", sa.Text(), server_default="", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "(state = 'OPEN') = (closed_at IS NULL)", name=op.f("ck_disputes_closed")
        ),
        sa.CheckConstraint("state IN ('OPEN', 'WON', 'LOST')", name=op.f("ck_disputes_state")),
        sa.CheckConstraint("amount_minor > 0", name=op.f("ck_disputes_amount")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_disputes_order_id")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_disputes_payment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_disputes")),
        sa.UniqueConstraint("provider_id", name=op.f("uq_disputes_provider_id")),
    )
    op.create_index("ix_disputes_next_attempt_at", "disputes", ["next_attempt_at"], unique=False)
    op.create_index(op.f("ix_disputes_order_id"), "disputes", ["order_id"], unique=False)
    op.create_index("ix_disputes_organizer_id", "disputes", ["organizer_id", "id"], unique=False)
    op.create_index(op.f("ix_disputes_payment_id"), "disputes", ["payment_id"], unique=False)
    op.add_column(
        "order_lines",
        sa.Column("discount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "order_lines",
        sa.Column("tax_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "order_lines",
        sa.Column("tax_included", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column(
        "order_lines",
        sa.Column("amount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "order_lines",
        sa.Column("tax_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "orders",
        sa.Column("discount_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "orders",
        sa.Column(
            "booking_fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "orders",
        sa.Column("booking_fee_tax_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "orders",
        sa.Column(
            "booking_fee_tax_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column("orders", sa.Column("voucher_id", sa.Text(), nullable=True))
    op.add_column("orders", sa.Column("voucher_code", sa.Text(), server_default="", nullable=False))
    op.add_column("orders", sa.Column("payment_id", sa.Text(), nullable=True))
    op.add_column(
        "orders",
        sa.Column(
            "notify_on_expiry", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(
        "orders", sa.Column("cancellable_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "orders",
        sa.Column(
            "cancellation_fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "orders",
        sa.Column(
            "cancellation_fee_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "orders",
        sa.Column("is_left_over", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.drop_index("ix_orders_next_attempt_at", table_name="orders")
    for name, which in (("due", "NOT is_left_over"), ("left_over", "is_left_over")):
        op.create_index(
            f"ix_orders_{name}",
            "orders",
            ["next_attempt_at"],
            unique=False,
            postgresql_where=sa.text(which),
        )
    op.create_unique_constraint(op.f("uq_orders_payment_id"), "orders", ["payment_id"])
    op.create_index(
        "ix_orders_voucher_id",
        "orders",
        ["voucher_id"],
        unique=False,
        postgresql_where=sa.text("voucher_id IS NOT NULL"),
    )
    op.add_column(
        "payments",
        sa.Column("refunded_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "payments",
        sa.Column("failure_announced_at", sa.DateTime(timezone=True), nullable=True),
    )
    op.add_column(
        "payments",
        sa.Column("fee_booked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.drop_constraint(op.f("uq_payments_order_id"), "payments", type_="unique")
    op.create_index(op.f("ix_payments_order_id"), "payments", ["order_id"], unique=False)
    op.add_column("refunds", sa.Column("order_id", sa.Text(), nullable=True))
    op.add_column(
        "refunds", sa.Column("origin", sa.Text(), server_default="AUTOMATIC", nullable=False)
    )
    op.add_column("refunds", sa.Column("reason", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "refunds",
        sa.Column("ticket_numbers", sa.ARRAY(sa.Integer()), server_default="{}", nullable=False),
    )
    op.add_column(
        "refunds",
        sa.Column("keep_off_sale", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "refunds",
        sa.Column(
            "tickets_cancelled", sa.Boolean(), server_default=sa.text("true"), nullable=False
        ),
    )
    op.add_column(
        "refunds",
        sa.Column(
            "include_admitted", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
    )
    op.add_column(
        "refunds",
        sa.Column(
            "allocation",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="[]",
            nullable=False,
        ),
    )
    op.add_column(
        "refunds", sa.Column("failure_reason", sa.Text(), server_default="", nullable=False)
    )
    op.add_column("refunds", sa.Column("operation_id", sa.Text(), nullable=True))
    op.add_column(
        "refunds", sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "refunds", sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.alter_column("refunds", "payment_id", existing_type=sa.TEXT(), nullable=True)
    op.drop_constraint(op.f("uq_refunds_payment_id"), "refunds", type_="unique")
    # Until now a refund gave a whole charge back that no order kept, and an order had one payment.
    op.execute(
        "UPDATE refunds SET order_id = payments.order_id"
        " FROM payments WHERE payments.id = payment_id"
    )
    op.alter_column("refunds", "order_id", nullable=False)
    op.alter_column("refunds", "origin", server_default=None)
    op.execute(
        "UPDATE payments SET refunded_minor = refunds.amount_minor FROM refunds"
        " WHERE refunds.payment_id = payments.id AND refunds.state <> 'FAILED'"
    )
    op.execute(
        "UPDATE orders SET payment_id = payments.id FROM payments"
        " WHERE payments.order_id = orders.id AND orders.state = 'PAID'"
    )
    op.execute("UPDATE order_lines SET amount_minor = quantity * unit_price_minor")
    op.create_index("ix_refunds_event_id", "refunds", ["event_id", "id"], unique=False)
    op.create_index(
        "ix_refunds_failed",
        "refunds",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'FAILED'"),
    )
    op.create_index("ix_refunds_next_attempt_at", "refunds", ["next_attempt_at"], unique=False)
    op.create_index(op.f("ix_refunds_operation_id"), "refunds", ["operation_id"], unique=False)
    op.create_index(op.f("ix_refunds_order_id"), "refunds", ["order_id"], unique=False)
    op.create_index(op.f("ix_refunds_payment_id"), "refunds", ["payment_id"], unique=False)
    op.create_foreign_key(op.f("fk_refunds_order_id"), "refunds", "orders", ["order_id"], ["id"])
    op.drop_constraint(op.f("ck_orders_total"), "orders", type_="check")
    op.drop_constraint(op.f("ck_refunds_amount"), "refunds", type_="check")
    op.create_check_constraint(op.f("ck_refunds_amount"), "refunds", "amount_minor >= 0")
    for table, name, condition in _CHECKS:
        op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, condition)
    for statement in _LEDGER:
        op.execute(statement)


def downgrade() -> None:
    for table, name, _condition in _CHECKS:
        op.drop_constraint(op.f(f"ck_{table}_{name}"), table, type_="check")
    op.create_check_constraint(op.f("ck_orders_total"), "orders", "total_minor >= 0")
    op.drop_constraint(op.f("ck_refunds_amount"), "refunds", type_="check")
    op.create_check_constraint(op.f("ck_refunds_amount"), "refunds", "amount_minor > 0")
    op.drop_constraint(op.f("fk_refunds_order_id"), "refunds", type_="foreignkey")
    op.drop_index(op.f("ix_refunds_payment_id"), table_name="refunds")
    op.drop_index(op.f("ix_refunds_order_id"), table_name="refunds")
    op.drop_index(op.f("ix_refunds_operation_id"), table_name="refunds")
    op.drop_index("ix_refunds_next_attempt_at", table_name="refunds")
    op.drop_index(
        "ix_refunds_failed",
        table_name="refunds",
        postgresql_where=sa.text("state = 'FAILED'"),
    )
    op.drop_index("ix_refunds_event_id", table_name="refunds")
    op.create_unique_constraint(
        op.f("uq_refunds_payment_id"),
        "refunds",
        ["payment_id"],
        postgresql_nulls_not_distinct=False,
    )
    op.alter_column("refunds", "payment_id", existing_type=sa.TEXT(), nullable=False)
    op.drop_column("refunds", "attempts")
    op.drop_column("refunds", "next_attempt_at")
    op.drop_column("refunds", "operation_id")
    op.drop_column("refunds", "failure_reason")
    op.drop_column("refunds", "allocation")
    op.drop_column("refunds", "include_admitted")
    op.drop_column("refunds", "tickets_cancelled")
    op.drop_column("refunds", "keep_off_sale")
    op.drop_column("refunds", "ticket_numbers")
    op.drop_column("refunds", "reason")
    op.drop_column("refunds", "origin")
    op.drop_column("refunds", "order_id")
    op.drop_index(op.f("ix_payments_order_id"), table_name="payments")
    op.create_unique_constraint(
        op.f("uq_payments_order_id"), "payments", ["order_id"], postgresql_nulls_not_distinct=False
    )
    op.drop_column("payments", "fee_booked")
    op.drop_column("payments", "failure_announced_at")
    op.drop_column("payments", "refunded_minor")
    op.drop_index(
        "ix_orders_voucher_id",
        table_name="orders",
        postgresql_where=sa.text("voucher_id IS NOT NULL"),
    )
    op.drop_constraint(op.f("uq_orders_payment_id"), "orders", type_="unique")
    op.drop_index("ix_orders_left_over", table_name="orders")
    op.drop_index("ix_orders_due", table_name="orders")
    op.create_index("ix_orders_next_attempt_at", "orders", ["next_attempt_at"], unique=False)
    op.drop_column("orders", "is_left_over")
    op.drop_column("orders", "cancellation_fee_ppm")
    op.drop_column("orders", "cancellation_fee_minor")
    op.drop_column("orders", "cancellable_until")
    op.drop_column("orders", "notify_on_expiry")
    op.drop_column("orders", "payment_id")
    op.drop_column("orders", "voucher_code")
    op.drop_column("orders", "voucher_id")
    op.drop_column("orders", "booking_fee_tax_minor")
    op.drop_column("orders", "booking_fee_tax_ppm")
    op.drop_column("orders", "booking_fee_minor")
    op.drop_column("orders", "discount_minor")
    op.drop_column("order_lines", "tax_minor")
    op.drop_column("order_lines", "amount_minor")
    op.drop_column("order_lines", "tax_included")
    op.drop_column("order_lines", "tax_ppm")
    op.drop_column("order_lines", "discount_minor")
    op.drop_index(op.f("ix_disputes_payment_id"), table_name="disputes")
    op.drop_index("ix_disputes_organizer_id", table_name="disputes")
    op.drop_index(op.f("ix_disputes_order_id"), table_name="disputes")
    op.drop_index("ix_disputes_next_attempt_at", table_name="disputes")
    op.drop_table("disputes")
    op.drop_index("ix_voucher_redemptions_voucher_id", table_name="voucher_redemptions")
    op.drop_table("voucher_redemptions")
    op.drop_table("reconciliation_findings")
    op.drop_table("ledger_entries")
    op.drop_index("uq_vouchers_code", table_name="vouchers")
    op.drop_index("ix_vouchers_organizer_id", table_name="vouchers")
    op.drop_table("vouchers")
    op.drop_index(
        "uq_reconciliations_running",
        table_name="reconciliations",
        postgresql_where=sa.text("state = 'RUNNING'"),
    )
    op.drop_table("reconciliations")
    op.drop_table("pacers")
    op.drop_index("ix_order_lookups_email", table_name="order_lookups")
    op.drop_table("order_lookups")
    op.drop_index("ix_operations_organizer_id", table_name="operations")
    op.drop_index("ix_operations_next_attempt_at", table_name="operations")
    op.drop_table("operations")
    op.drop_index("ix_ledger_transactions_organizer_id", table_name="ledger_transactions")
    op.drop_index("ix_ledger_transactions_order_id", table_name="ledger_transactions")
    op.drop_index("ix_ledger_transactions_event_id", table_name="ledger_transactions")
    op.drop_table("ledger_transactions")
    op.execute("DROP FUNCTION ledger_is_balanced, ledger_is_append_only")
    op.drop_table("inbox")
