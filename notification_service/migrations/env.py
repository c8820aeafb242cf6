"""Runs the migrations of notification_service."""

from kit.migrations import run
from notification_service.tables import metadata

run(metadata)
