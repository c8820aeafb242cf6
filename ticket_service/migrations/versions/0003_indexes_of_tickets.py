"""indexes of tickets and sales."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Concurrently: there may be millions, and the door reads them. What an attempt left unfinished
    # is no index that one could keep.
    with op.get_context().autocommit_block():
        _drop()
        op.create_index(
            op.f("ix_tickets_hold_id"), "tickets", ["hold_id"], postgresql_concurrently=True
        )
        op.create_index(
            "uq_tickets_event_id_seat_id",
            "tickets",
            ["event_id", "seat_id"],
            unique=True,
            postgresql_where=sa.text("state = 'ISSUED'"),
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_ticket_types_sales_start",
            "ticket_types",
            ["sales_start"],
            postgresql_where=sa.text("sales_start IS NOT NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        _drop()


def _drop() -> None:
    for table, name in (
        ("tickets", op.f("ix_tickets_hold_id")),
        ("tickets", "uq_tickets_event_id_seat_id"),
        ("ticket_types", "ix_ticket_types_sales_start"),
    ):
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
