"""Runs the migrations of user_service."""

from kit.migrations import run
from user_service.tables import metadata

run(metadata)
