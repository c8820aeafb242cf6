"""events, holds and tickets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
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
            "state IN ('DRAFT', 'PUBLISHED', 'CANCELLED', 'ENDED')", name=op.f("ck_events_state")
        ),
        sa.CheckConstraint("ends_at > starts_at", name=op.f("ck_events_times")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_index(
        "ix_events_ends_at",
        "events",
        ["ends_at"],
        unique=False,
        postgresql_where=sa.text("state = 'PUBLISHED'"),
    )
    op.create_index(
        "ix_events_organizer_id", "events", ["organizer_id", "starts_at", "id"], unique=False
    )
    op.create_index("ix_events_starts_at_id", "events", ["starts_at", "id"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("currency_code", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "(state = 'CONVERTED') <= (order_id IS NOT NULL)", name=op.f("ck_holds_converted")
        ),
        sa.CheckConstraint(
            "state IN ('ACTIVE', 'CONVERTED', 'EXPIRED', 'RELEASED')", name=op.f("ck_holds_state")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_holds_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_holds")),
        sa.UniqueConstraint("order_id", name=op.f("uq_holds_order_id")),
    )
    op.create_index("ix_holds_event_id", "holds", ["event_id", "state"], unique=False)
    op.create_index(
        "ix_holds_expires_at",
        "holds",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("state = 'ACTIVE'"),
    )
    op.create_index("uq_holds_idempotency_key", "holds", ["idempotency_key"], unique=True)
    op.create_table(
        "ticket_types",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("total_stock", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
        sa.Column("sales_start", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sales_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("max_per_order", sa.Integer(), nullable=False),
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
        sa.CheckConstraint("price_minor >= 0", name=op.f("ck_ticket_types_price")),
        sa.CheckConstraint(
            "remaining BETWEEN 0 AND total_stock", name=op.f("ck_ticket_types_remaining")
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_ticket_types_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_types")),
    )
    op.create_index(op.f("ix_ticket_types_event_id"), "ticket_types", ["event_id"], unique=False)
    op.create_table(
        "hold_items",
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("ticket_type_name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price_minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_hold_items_quantity")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_hold_items_hold_id")),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["ticket_types.id"], name=op.f("fk_hold_items_ticket_type_id")
        ),
        sa.PrimaryKeyConstraint("hold_id", "ticket_type_id", name=op.f("pk_hold_items")),
    )
    op.create_index(
        op.f("ix_hold_items_ticket_type_id"), "hold_items", ["ticket_type_id"], unique=False
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.Column("ticket_type_name", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("holder_name", sa.Text(), nullable=False),
        sa.Column(
            "issued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.CheckConstraint("state IN ('ISSUED', 'CANCELLED')", name=op.f("ck_tickets_state")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_tickets_event_id")),
        sa.ForeignKeyConstraint(["hold_id"], ["holds.id"], name=op.f("fk_tickets_hold_id")),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["ticket_types.id"], name=op.f("fk_tickets_ticket_type_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tickets")),
        sa.UniqueConstraint("code", name=op.f("uq_tickets_code")),
    )
    op.create_index("ix_tickets_event_id", "tickets", ["event_id", "state"], unique=False)
    op.create_index(op.f("ix_tickets_ticket_type_id"), "tickets", ["ticket_type_id"], unique=False)
    op.create_index("uq_tickets_order_id_number", "tickets", ["order_id", "number"], unique=True)
    op.create_table(
        "check_ins",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("ticket_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("rejection", sa.Text(), nullable=True),
        sa.Column(
            "checked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["ticket_id"], ["tickets.id"], name=op.f("fk_check_ins_ticket_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_check_ins")),
    )
    op.create_index(
        "ix_check_ins_event_id",
        "check_ins",
        ["event_id"],
        unique=False,
        postgresql_where=sa.text("rejection IS NULL"),
    )
    op.create_index(op.f("ix_check_ins_ticket_id"), "check_ins", ["ticket_id"], unique=False)
    op.create_index(
        "uq_check_ins_accepted",
        "check_ins",
        ["ticket_id"],
        unique=True,
        postgresql_where=sa.text("rejection IS NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "uq_check_ins_accepted",
        table_name="check_ins",
        postgresql_where=sa.text("rejection IS NULL"),
    )
    op.drop_index(op.f("ix_check_ins_ticket_id"), table_name="check_ins")
    op.drop_index(
        "ix_check_ins_event_id",
        table_name="check_ins",
        postgresql_where=sa.text("rejection IS NULL"),
    )
    op.drop_table("check_ins")
    op.drop_index("uq_tickets_order_id_number", table_name="tickets")
    op.drop_index(op.f("ix_tickets_ticket_type_id"), table_name="tickets")
    op.drop_index("ix_tickets_event_id", table_name="tickets")
    op.drop_table("tickets")
    op.drop_index(op.f("ix_hold_items_ticket_type_id"), table_name="hold_items")
    op.drop_table("hold_items")
    op.drop_index(op.f("ix_ticket_types_event_id"), table_name="ticket_types")
    op.drop_table("ticket_types")
    op.drop_index("uq_holds_idempotency_key", table_name="holds")
    op.drop_index(
        "ix_holds_expires_at", table_name="holds", postgresql_where=sa.text("state = 'ACTIVE'")
    )
    op.drop_index("ix_holds_event_id", table_name="holds")
    op.drop_table("holds")
    op.drop_table("idempotency_keys")
    op.drop_index("ix_events_starts_at_id", table_name="events")
    op.drop_index("ix_events_organizer_id", table_name="events")
    op.drop_index(
        "ix_events_ends_at", table_name="events", postgresql_where=sa.text("state = 'PUBLISHED'")
    )
    op.drop_table("events")
