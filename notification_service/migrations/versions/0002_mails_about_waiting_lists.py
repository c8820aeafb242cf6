"""mails about waiting lists."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("notifications", sa.Column("waitlist_entry_id", sa.Text(), nullable=True))
    op.alter_column("notifications", "order_id", existing_type=sa.TEXT(), nullable=True)
    op.create_unique_constraint(
        op.f("uq_notifications_waitlist_entry_id_kind"),
        "notifications",
        ["waitlist_entry_id", "kind"],
    )
    op.create_check_constraint(
        op.f("ck_notifications_subject"),
        "notifications",
        "num_nonnulls(order_id, waitlist_entry_id) = 1",
    )
    op.drop_constraint(op.f("ck_notifications_kind"), "notifications", type_="check")
    op.create_check_constraint(
        op.f("ck_notifications_kind"), "notifications", "kind IN ('RECEIPT', 'WAITLIST_OFFER')"
    )


def downgrade() -> None:
    op.execute("DELETE FROM notifications WHERE kind = 'WAITLIST_OFFER'")
    op.drop_constraint(op.f("ck_notifications_kind"), "notifications", type_="check")
    op.create_check_constraint(
        op.f("ck_notifications_kind"), "notifications", "kind IN ('RECEIPT')"
    )
    op.drop_constraint(op.f("ck_notifications_subject"), "notifications", type_="check")
    op.drop_constraint(
        op.f("uq_notifications_waitlist_entry_id_kind"), "notifications", type_="unique"
    )
    op.alter_column("notifications", "order_id", existing_type=sa.TEXT(), nullable=False)
    op.drop_column("notifications", "waitlist_entry_id")
