"""quotas venues seats and waitlist."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("routing_key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "venues",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("organizer_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
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
        sa.PrimaryKeyConstraint("id", name=op.f("pk_venues")),
    )
    op.create_index("ix_venues_organizer_id", "venues", ["organizer_id", "id"], unique=False)
    op.create_table(
        "halls",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("venue_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seat_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
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
        sa.ForeignKeyConstraint(["venue_id"], ["venues.id"], name=op.f("fk_halls_venue_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_halls")),
    )
    op.create_index(op.f("ix_halls_venue_id"), "halls", ["venue_id"], unique=False)
    op.create_table(
        "quotas",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("remaining", sa.Integer(), nullable=False),
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
        sa.CheckConstraint("remaining BETWEEN 0 AND size", name=op.f("ck_quotas_remaining")),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_quotas_event_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quotas")),
    )
    op.create_index(op.f("ix_quotas_event_id"), "quotas", ["event_id"], unique=False)
    op.create_table(
        "seat_maps",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("hall_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name=op.f("fk_seat_maps_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_seat_maps")),
    )
    op.create_table(
        "event_seats",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("seat_id", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Boolean(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=True),
        sa.Column("block_reason", sa.Text(), nullable=True),
        sa.Column("block_note", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "(state = 'BLOCKED') <= (block_reason IS NOT NULL)", name=op.f("ck_event_seats_blocked")
        ),
        sa.CheckConstraint(
            "(state IN ('HELD', 'SOLD')) = (hold_id IS NOT NULL)", name=op.f("ck_event_seats_owner")
        ),
        sa.CheckConstraint(
            "state IN ('AVAILABLE', 'HELD', 'SOLD', 'BLOCKED')", name=op.f("ck_event_seats_state")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["seat_maps.event_id"], name=op.f("fk_event_seats_event_id")
        ),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["ticket_types.id"], name=op.f("fk_event_seats_ticket_type_id")
        ),
        sa.PrimaryKeyConstraint("event_id", "position", name=op.f("pk_event_seats")),
    )
    op.create_index(
        "ix_event_seats_event_id_version", "event_seats", ["event_id", "version"], unique=False
    )
    op.create_index(
        "ix_event_seats_hold_id",
        "event_seats",
        ["hold_id"],
        unique=False,
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_event_seats_ticket_type_id"), "event_seats", ["ticket_type_id"], unique=False
    )
    op.create_index(
        "uq_event_seats_event_id_seat_id", "event_seats", ["event_id", "seat_id"], unique=True
    )
    op.create_table(
        "quota_ticket_types",
        sa.Column("quota_id", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["quota_id"], ["quotas.id"], name=op.f("fk_quota_ticket_types_quota_id")
        ),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"],
            ["ticket_types.id"],
            name=op.f("fk_quota_ticket_types_ticket_type_id"),
        ),
        sa.PrimaryKeyConstraint("quota_id", "ticket_type_id", name=op.f("pk_quota_ticket_types")),
    )
    op.create_index(
        op.f("ix_quota_ticket_types_ticket_type_id"),
        "quota_ticket_types",
        ["ticket_type_id"],
        unique=False,
    )
    op.create_table(
        "seat_map_zones",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["seat_maps.event_id"], name=op.f("fk_seat_map_zones_event_id")
        ),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["ticket_types.id"], name=op.f("fk_seat_map_zones_ticket_type_id")
        ),
        sa.PrimaryKeyConstraint("event_id", "zone", name=op.f("pk_seat_map_zones")),
    )
    op.create_index(
        op.f("ix_seat_map_zones_ticket_type_id"), "seat_map_zones", ["ticket_type_id"], unique=False
    )
    op.create_table(
        "sections",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("hall_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hall_id"], ["halls.id"], name=op.f("fk_sections_hall_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sections")),
    )
    op.create_index("uq_sections_hall_id_name", "sections", ["hall_id", "name"], unique=True)
    op.create_table(
        "waitlist_entries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("ticket_type_id", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("hold_id", sa.Text(), nullable=True),
        sa.Column("offer_expires_at", sa.DateTime(timezone=True), nullable=True),
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
            "(state = 'OFFERED') <= (hold_id IS NOT NULL)", name=op.f("ck_waitlist_entries_offered")
        ),
        sa.CheckConstraint(
            "state IN ('WAITING', 'OFFERED', 'CONVERTED', 'OFFER_EXPIRED', 'CANCELLED')",
            name=op.f("ck_waitlist_entries_state"),
        ),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_waitlist_entries_quantity")),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["events.id"],
            name=op.f("fk_waitlist_entries_event_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["hold_id"],
            ["holds.id"],
            name=op.f("fk_waitlist_entries_hold_id"),
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"],
            ["ticket_types.id"],
            name=op.f("fk_waitlist_entries_ticket_type_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_waitlist_entries")),
        sa.UniqueConstraint("hold_id", name=op.f("uq_waitlist_entries_hold_id")),
    )
    op.create_index(
        "ix_waitlist_entries_event_id", "waitlist_entries", ["event_id", "id"], unique=False
    )
    op.create_index(
        "ix_waitlist_entries_waiting",
        "waitlist_entries",
        ["ticket_type_id", "quantity", "id"],
        unique=False,
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.create_index(
        "uq_waitlist_entries_email",
        "waitlist_entries",
        ["ticket_type_id", sa.literal_column("lower(email)")],
        unique=True,
        postgresql_where=sa.text("state IN ('WAITING', 'OFFERED')"),
    )
    op.create_table(
        "zones",
        sa.Column("hall_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["hall_id"], ["halls.id"], name=op.f("fk_zones_hall_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hall_id", "name", name=op.f("pk_zones")),
    )
    op.create_table(
        "seat_rows",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("section_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["section_id"],
            ["sections.id"],
            name=op.f("fk_seat_rows_section_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seat_rows")),
    )
    op.create_index(
        "uq_seat_rows_section_id_name", "seat_rows", ["section_id", "name"], unique=True
    )
    op.create_table(
        "seats",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("row_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("aisle", sa.Boolean(), nullable=False),
        sa.Column("block_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["row_id"], ["seat_rows.id"], name=op.f("fk_seats_row_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seats")),
    )
    op.create_index("uq_seats_row_id_number", "seats", ["row_id", "number"], unique=True)
    op.drop_constraint("fk_holds_event_id", "holds", type_="foreignkey")
    op.drop_constraint("fk_hold_items_ticket_type_id", "hold_items", type_="foreignkey")
    op.add_column("hold_items", sa.Column("seat_ids", postgresql.ARRAY(sa.Text()), nullable=True))
    op.add_column(
        "ticket_types",
        sa.Column("is_seated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("tickets", sa.Column("seat_id", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("seat_section", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("seat_row", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("seat_number", sa.Text(), nullable=True))
    op.add_column(
        "holds",
        sa.Column("is_claimed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("holds", "is_claimed")
    op.drop_column("tickets", "seat_number")
    op.drop_column("tickets", "seat_row")
    op.drop_column("tickets", "seat_section")
    op.drop_column("tickets", "seat_id")
    op.drop_column("ticket_types", "is_seated")
    op.drop_column("hold_items", "seat_ids")
    op.create_foreign_key(
        "fk_hold_items_ticket_type_id", "hold_items", "ticket_types", ["ticket_type_id"], ["id"]
    )
    op.create_foreign_key("fk_holds_event_id", "holds", "events", ["event_id"], ["id"])
    op.drop_index("uq_seats_row_id_number", table_name="seats")
    op.drop_table("seats")
    op.drop_index("uq_seat_rows_section_id_name", table_name="seat_rows")
    op.drop_table("seat_rows")
    op.drop_table("zones")
    op.drop_index(
        "uq_waitlist_entries_email",
        table_name="waitlist_entries",
        postgresql_where=sa.text("state IN ('WAITING', 'OFFERED')"),
    )
    op.drop_index(
        "ix_waitlist_entries_waiting",
        table_name="waitlist_entries",
        postgresql_where=sa.text("state = 'WAITING'"),
    )
    op.drop_index("ix_waitlist_entries_event_id", table_name="waitlist_entries")
    op.drop_table("waitlist_entries")
    op.drop_index("uq_sections_hall_id_name", table_name="sections")
    op.drop_table("sections")
    op.drop_index(op.f("ix_seat_map_zones_ticket_type_id"), table_name="seat_map_zones")
    op.drop_table("seat_map_zones")
    op.drop_index(op.f("ix_quota_ticket_types_ticket_type_id"), table_name="quota_ticket_types")
    op.drop_table("quota_ticket_types")
    op.drop_index("uq_event_seats_event_id_seat_id", table_name="event_seats")
    op.drop_index(op.f("ix_event_seats_ticket_type_id"), table_name="event_seats")
    op.drop_index(
        "ix_event_seats_hold_id",
        table_name="event_seats",
        postgresql_where=sa.text("hold_id IS NOT NULL"),
    )
    op.drop_index("ix_event_seats_event_id_version", table_name="event_seats")
    op.drop_table("event_seats")
    op.drop_table("seat_maps")
    op.drop_index(op.f("ix_quotas_event_id"), table_name="quotas")
    op.drop_table("quotas")
    op.drop_index(op.f("ix_halls_venue_id"), table_name="halls")
    op.drop_table("halls")
    op.drop_index("ix_venues_organizer_id", table_name="venues")
    op.drop_table("venues")
    op.drop_table("outbox")
