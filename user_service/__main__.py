"""Starts user_service as a process of its own."""

from kit.service import main
from user_service.app import build

main("user_service", build)
