"""What orders cost beside their tickets, hidden ticket types, and tickets that are given on."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "events",
        sa.Column(
            "booking_fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "events",
        sa.Column("booking_fee_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "events",
        sa.Column("booking_fee_tax_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "events", sa.Column("cancellable_until", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column(
        "events",
        sa.Column(
            "cancellation_fee_minor", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "events",
        sa.Column(
            "cancellation_fee_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
    )
    op.add_column(
        "ticket_types",
        sa.Column("tax_ppm", sa.Integer(), server_default=sa.text("0"), nullable=False),
    )
    op.add_column(
        "ticket_types",
        sa.Column("tax_included", sa.Boolean(), server_default=sa.text("true"), nullable=False),
    )
    op.add_column(
        "ticket_types",
        sa.Column("is_hidden", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "tickets", sa.Column("transfers", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column(
        "tickets", sa.Column("holder_email", sa.Text(), server_default="", nullable=False)
    )
    op.add_column(
        "tickets",
        sa.Column("is_blocked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.drop_index(op.f("uq_tickets_order_id_number"), table_name="tickets")
    op.create_index(
        "uq_tickets_order_id_number", "tickets", ["order_id", "number", "transfers"], unique=True
    )
    op.create_check_constraint(
        op.f("ck_events_fees"), "events", "booking_fee_minor >= 0 AND cancellation_fee_minor >= 0"
    )
    op.drop_constraint(op.f("ck_tickets_state"), "tickets", type_="check")
    op.create_check_constraint(
        op.f("ck_tickets_state"), "tickets", "state IN ('ISSUED', 'CANCELLED', 'TRANSFERRED')"
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_tickets_state"), "tickets", type_="check")
    op.create_check_constraint(
        op.f("ck_tickets_state"), "tickets", "state IN ('ISSUED', 'CANCELLED')"
    )
    op.drop_constraint(op.f("ck_events_fees"), "events", type_="check")
    op.drop_index("uq_tickets_order_id_number", table_name="tickets")
    op.create_index(
        op.f("uq_tickets_order_id_number"), "tickets", ["order_id", "number"], unique=True
    )
    op.drop_column("tickets", "is_blocked")
    op.drop_column("tickets", "holder_email")
    op.drop_column("tickets", "transfers")
    op.drop_column("ticket_types", "is_hidden")
    op.drop_column("ticket_types", "tax_included")
    op.drop_column("ticket_types", "tax_ppm")
    op.drop_column("events", "cancellation_fee_ppm")
    op.drop_column("events", "cancellation_fee_minor")
    op.drop_column("events", "cancellable_until")
    op.drop_column("events", "booking_fee_tax_ppm")
    op.drop_column("events", "booking_fee_ppm")
    op.drop_column("events", "booking_fee_minor")
