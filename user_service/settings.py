"""What user_service is told from outside."""

from dataclasses import dataclass
from datetime import timedelta

from kit.settings import Environment, InvalidSetting

MIN_PASSWORD_LENGTH = 10  # as the contract asks of everyone else


@dataclass(frozen=True, slots=True)
class Superadmin:
    """Who runs the installation; made at the first start, and never again."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, at start."""

    secret_key: bytes
    superadmin: Superadmin | None
    refresh_token_lifetime: timedelta
    signing_key_lifetime: timedelta
    hashes_at_once: int

    @classmethod
    def read(cls, environment: Environment) -> "Settings":
        """From `TESSERA_*`.

        Raises:
            InvalidSetting: one of them cannot be used.
        """
        return cls(
            secret_key=environment.secret("SECRET_KEY"),
            superadmin=_superadmin(environment),
            refresh_token_lifetime=timedelta(
                days=environment.integer("REFRESH_TOKEN_DAYS", 30, low=1, high=365)
            ),
            signing_key_lifetime=timedelta(
                days=environment.integer("SIGNING_KEY_DAYS", 30, low=1, high=365)
            ),
            hashes_at_once=environment.integer("PASSWORD_HASHES_AT_ONCE", 2, low=1, high=64),
        )


def _superadmin(environment: Environment) -> Superadmin | None:
    email = environment.text("SUPERADMIN_EMAIL", "")
    password = environment.text("SUPERADMIN_PASSWORD", "")
    if not email and not password:
        return None
    if not email or not password:
        raise InvalidSetting(
            "TESSERA_SUPERADMIN_EMAIL and TESSERA_SUPERADMIN_PASSWORD go together: set both."
        )
    local, _, domain = email.partition("@")
    if not local or not domain or "@" in domain or not email.isascii() or " " in email:
        raise InvalidSetting(f"TESSERA_SUPERADMIN_EMAIL is {email!r}: that is no e-mail address.")
    if len(password) < MIN_PASSWORD_LENGTH:
        raise InvalidSetting(
            "TESSERA_SUPERADMIN_PASSWORD is too short: "
            f"it takes at least {MIN_PASSWORD_LENGTH} characters."
        )
    return Superadmin(email, password)
