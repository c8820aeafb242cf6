"""Alembic's way in."""

from kit import migrations
from user_service.tables import metadata

migrations.run(metadata)
