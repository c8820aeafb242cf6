"""Starts payment_service."""

from kit.service import main
from payment_service.app import build

if __name__ == "__main__":
    main("payment_service", build)
