"""What can be set about payment_service."""

from dataclasses import dataclass
from typing import Self

from kit.settings import Environment

STRIPE = "https://api.stripe.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment once, at start."""

    stripe_secret_key: str
    stripe_publishable_key: str
    stripe_webhook_secret: str
    stripe_api_base: str
    stripe_calls_per_second: int  # by all replicas together
    reconciliation_patience_s: int  # how long a webhook may take before it is taken for lost
    order_token_secret: bytes
    amqp_url: str
    database_url: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """Raise InvalidSetting for what is missing."""
        return cls(
            stripe_secret_key=environment.text("STRIPE_SECRET_KEY"),
            stripe_publishable_key=environment.text("STRIPE_PUBLISHABLE_KEY"),
            stripe_webhook_secret=environment.text("STRIPE_WEBHOOK_SECRET"),
            stripe_api_base=environment.text("STRIPE_API_BASE", STRIPE),
            stripe_calls_per_second=environment.integer(
                "STRIPE_CALLS_PER_SECOND", 80, low=1, high=10_000
            ),
            reconciliation_patience_s=environment.integer("RECONCILIATION_PATIENCE_S", 10, high=60),
            order_token_secret=environment.secret("SECRET_KEY"),
            amqp_url=environment.text("AMQP_URL", ""),
            database_url=environment.text("DATABASE_URL"),
        )
