"""The tables of user_service."""

from datetime import datetime

from sqlalchemy import (
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


def _moment(name: str) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False)


def _moment_of_writing(name: str) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


organizers = Table(
    "organizers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    _moment_of_writing("created_at"),
)

users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    # Null for a superadmin, who belongs to the installation.
    Column("organizer_id", Text, ForeignKey("organizers.id")),
    Column("email", Text, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'ACTIVE'")),
    Column("password_hash", Text, nullable=False),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _moment_of_writing("created_at"),
    _moment_of_writing("updated_at"),
    CheckConstraint("role IN ('SUPERADMIN', 'ADMIN', 'STAFF')", name="role"),
    CheckConstraint("state IN ('ACTIVE', 'DISABLED')", name="state"),
    CheckConstraint("(role = 'SUPERADMIN') = (organizer_id IS NULL)", name="organizer"),
    Index("ix_users_organizer_id", "organizer_id", "id"),
)
Index("uq_users_lower_email", func.lower(users.c.email), unique=True)

# A session that has ended is gone: signing out, disabling and reuse delete the row.
sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    _moment_of_writing("created_at"),
    _moment("expires_at"),
    Index("ix_sessions_expires_at", "expires_at"),
)

# A session's refresh tokens, the used ones too: that is how reuse is noticed.
refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column(
        "session_id",
        Text,
        ForeignKey("sessions.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    _moment_of_writing("created_at"),
    _moment("expires_at"),
    Column("used_at", DateTime(timezone=True)),
    Index("ix_refresh_tokens_expires_at", "expires_at"),
)

# Failed sign-ins per e-mail address. The address is hashed: people type passwords there too.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("address_digest", LargeBinary, primary_key=True),
    Column("count", Integer, nullable=False),
    _moment_of_writing("first_at"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("public_key", LargeBinary, nullable=False),
    Column("sealed_private_key", LargeBinary, nullable=False),
    _moment("signs_from"),
)
