"""What can be set about ticket_service."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from kit.settings import Environment


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment once, at start."""

    hold_lifetime: timedelta
    offer_lifetime: timedelta
    max_watchers: int
    amqp_url: str
    database_url: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """`TESSERA_HOLD_SECONDS`: how long a customer has to pay; 15 minutes.

        `TESSERA_OFFER_SECONDS`: how long one from the waiting list has, who reads it in a mail; 30.
        `TESSERA_MAX_WATCHERS`: how many may watch events at once, of each process; 5000.
        """
        hold_s = environment.integer("HOLD_SECONDS", 900, low=1, high=86_400)
        offer_s = environment.integer("OFFER_SECONDS", 1800, low=1, high=604_800)
        return cls(
            hold_lifetime=timedelta(seconds=hold_s),
            offer_lifetime=timedelta(seconds=offer_s),
            max_watchers=environment.integer("MAX_WATCHERS", 5000, low=1, high=100_000),
            amqp_url=environment.text("AMQP_URL", ""),
            database_url=environment.text("DATABASE_URL"),
        )
