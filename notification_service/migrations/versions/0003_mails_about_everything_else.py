"""mails about payments, refunds, events, tickets and lookups."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

OLD_KINDS = "'RECEIPT', 'WAITLIST_OFFER'"
NEW_KINDS = (
    "'RECEIPT', 'WAITLIST_OFFER', 'PAYMENT_FAILED', 'ORDER_EXPIRED', 'ORDER_CANCELLED', 'REFUND', "
    "'EVENT_CHANGED', 'EVENT_CANCELLED', 'TICKET_TRANSFERRED', 'ORDER_LOOKUP', 'TICKET_WITHDRAWN'"
)


def upgrade() -> None:
    op.add_column("notifications", sa.Column("subject_id", sa.Text(), nullable=True))
    op.add_column(
        "notifications",
        sa.Column("details", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )
    op.add_column(
        "notifications",
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
    )
    _check_kind(NEW_KINDS)
    _check_subject(
        "num_nonnulls(order_id, waitlist_entry_id)"
        " = CASE kind WHEN 'ORDER_LOOKUP' THEN 0 ELSE 1 END"
    )
    # What was there, and what a replica adds that was not replaced yet, is about the order or the
    # entry themselves: the new uniqueness holds for it as it is.
    op.create_index(
        "uq_notifications_kind_subject",
        "notifications",
        ["kind", sa.literal_column("coalesce(subject_id, order_id, waitlist_entry_id)")],
        unique=True,
    )
    op.drop_constraint(op.f("uq_notifications_order_id_kind"), "notifications", type_="unique")
    op.drop_constraint(
        op.f("uq_notifications_waitlist_entry_id_kind"), "notifications", type_="unique"
    )
    op.create_index("ix_notifications_order_id", "notifications", ["order_id"], unique=False)
    op.create_index(
        "ix_notifications_waitlist_entry_id",
        "notifications",
        ["waitlist_entry_id"],
        unique=False,
        postgresql_where=sa.text("waitlist_entry_id IS NOT NULL"),
    )
    op.create_index(
        "ix_notifications_due",
        "notifications",
        ["priority", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("next_attempt_at IS NOT NULL"),
    )
    op.drop_index("ix_notifications_next_attempt_at", table_name="notifications")


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE kind NOT IN ('RECEIPT', 'WAITLIST_OFFER')")
    op.create_index(
        "ix_notifications_next_attempt_at", "notifications", ["next_attempt_at"], unique=False
    )
    op.drop_index("ix_notifications_due", table_name="notifications")
    op.drop_index("ix_notifications_waitlist_entry_id", table_name="notifications")
    op.drop_index("ix_notifications_order_id", table_name="notifications")
    op.create_unique_constraint(
        op.f("uq_notifications_waitlist_entry_id_kind"),
        "notifications",
        ["waitlist_entry_id", "kind"],
    )
    op.create_unique_constraint(
        op.f("uq_notifications_order_id_kind"), "notifications", ["order_id", "kind"]
    )
    op.drop_index("uq_notifications_kind_subject", table_name="notifications")
    _check_subject("num_nonnulls(order_id, waitlist_entry_id) = 1")
    _check_kind(OLD_KINDS)
    op.drop_column("notifications", "priority")
    op.drop_column("notifications", "details")
    op.drop_column("notifications", "subject_id")


def _check_kind(kinds: str) -> None:
    op.drop_constraint(op.f("ck_notifications_kind"), "notifications", type_="check")
    op.create_check_constraint(op.f("ck_notifications_kind"), "notifications", f"kind IN ({kinds})")


def _check_subject(rule: str) -> None:
    op.drop_constraint(op.f("ck_notifications_subject"), "notifications", type_="check")
    op.create_check_constraint(op.f("ck_notifications_subject"), "notifications", rule)
