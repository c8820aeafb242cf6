"""Where the sandbox keeps its state, whom it tells, and the keys it accepts."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Keys that are None are made once and kept in `data_dir`.

    `webhook_events` are the types that the endpoint is sent; `*` is all. The others happen all the
    same: https://docs.stripe.com/api/webhook_endpoints/create.

    Times are in seconds. `settlement_delay` is how long slow things take: a pending refund, a bank
    debit, the balance transaction of an asynchronous capture.
    """

    data_dir: Path
    webhook_url: str | None = None
    webhook_events: tuple[str, ...] = ("*",)
    secret_key: str | None = None
    publishable_key: str | None = None
    webhook_secret: str | None = None
    settlement_delay: float = 3.0
    authorization_lifetime: float = 7 * 86_400.0
    webhook_timeout: float = 10.0
    webhook_first_retry: float = 0.5
    webhook_longest_retry: float = 60.0
    webhook_max_attempts: int = 100
    webhook_concurrency: int = 8


@dataclass(frozen=True, slots=True)
class Keys:
    secret_key: str
    publishable_key: str
    webhook_secret: str


def load_keys(settings: SandboxSettings) -> Keys:
    """The keys given, else those kept, else new ones; what is made is kept for the next start."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    path = settings.data_dir / "keys.json"
    kept: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    keys = Keys(
        secret_key=settings.secret_key or kept.get("secret_key") or _new("sk_test_"),
        publishable_key=(
            settings.publishable_key or kept.get("publishable_key") or _new("pk_test_")
        ),
        webhook_secret=settings.webhook_secret or kept.get("webhook_secret") or _new("whsec_"),
    )
    if asdict(keys) != kept:
        _write_for_owner_only(path, json.dumps(asdict(keys), indent=2))
    return keys


def _new(prefix: str) -> str:
    return prefix + secrets.token_hex(24)


def _write_for_owner_only(path: Path, content: str) -> None:
    """Complete or not at all: a crash in the middle must not leave half a file."""
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(content)
    temporary.replace(path)
