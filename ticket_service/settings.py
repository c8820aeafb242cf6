"""What can be set about ticket_service."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from kit.settings import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment once, at start."""

    hold_lifetime: timedelta

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """`TESSERA_HOLD_SECONDS`: how long a customer has to pay; 15 minutes."""
        seconds = environment.integer("HOLD_SECONDS", 900, low=1, high=86_400)
        return cls(hold_lifetime=timedelta(seconds=seconds))
