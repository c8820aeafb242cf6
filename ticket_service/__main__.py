"""Starts ticket_service."""

from kit.service import main
from ticket_service.app import build

if __name__ == "__main__":
    main("ticket_service", build)
