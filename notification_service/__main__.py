"""Starts notification_service."""

from kit.service import main
from notification_service.app import build

if __name__ == "__main__":
    main("notification_service", build)
