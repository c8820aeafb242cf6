"""Runs the migrations of payment_service."""

from kit.migrations import run
from payment_service.tables import metadata

run(metadata)
