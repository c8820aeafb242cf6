"""Runs the migrations of ticket_service."""

from kit.migrations import run
from ticket_service.tables import metadata

run(metadata)
