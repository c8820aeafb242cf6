"""Idempotency keys: one effect and one answer per key (https://docs.stripe.com/api/idempotent_requests)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import orjson

from deploy.local.stripe_sandbox.errors import JsonObject, StripeError, invalid_request
from deploy.local.stripe_sandbox.store import Transaction

MAX_KEY_LENGTH = 255
LIFETIME = 86_400.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request under a key: where it goes and what it says."""

    key: str
    endpoint: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the first request under the key was answered."""

    request_id: str
    status: int
    body: JsonObject


class InFlight:
    """The keys being worked on: a second request under one of them is turned away."""

    def __init__(self) -> None:
        self._keys: set[str] = set()

    @contextmanager
    def hold(self, attempt: Attempt | None) -> Iterator[None]:
        """Raises StripeError: `idempotency_key_in_use`."""
        if attempt is None:
            yield
            return
        if attempt.key in self._keys:
            raise invalid_request(
                "There is currently another in-progress request using this Idempotent Key (that"
                " probably means you submitted twice, and the other request is still going"
                f" through): {attempt.key}. Please try again later.",
                code="idempotency_key_in_use",
                status=409,
            )
        self._keys.add(attempt.key)
        try:
            yield
        finally:
            self._keys.discard(attempt.key)


def attempt(key: str | None, endpoint: str, given: JsonObject) -> Attempt | None:
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        raise invalid_request(
            f"Idempotency keys must be between 1 and {MAX_KEY_LENGTH} characters long."
        )
    content = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    return Attempt(key, endpoint, hashlib.sha256(content).hexdigest())


def recall(tx: Transaction, attempt: Attempt) -> Remembered | None:
    """The answer to replay.

    Raises:
        StripeError: `idempotency_error`, the key was first used for something else.
    """
    row = tx.sql.execute(
        "SELECT endpoint, fingerprint, request, status, body FROM idempotency_keys"
        " WHERE key = ? AND created >= ?",
        (attempt.key, tx.now - LIFETIME),
    ).fetchone()
    if row is None:
        return None
    endpoint, fingerprint, request_id, status, body = row
    if endpoint != attempt.endpoint:
        raise StripeError(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used for the same endpoint they were first"
            f" used for ('{attempt.endpoint}' vs '{endpoint}'). Try using a key other than"
            f" '{attempt.key}' if you meant to execute a different request.",
        )
    if fingerprint != attempt.fingerprint:
        raise StripeError(
            400,
            "idempotency_error",
            "Keys for idempotent requests can only be used with the same parameters they were"
            f" first used with. Try using a key other than '{attempt.key}' if you meant to execute"
            " a different request.",
        )
    return Remembered(request_id, status, orjson.loads(body))


def remember(
    tx: Transaction, attempt: Attempt, request_id: str, status: int, body: JsonObject
) -> None:
    """In the transaction of the effect, so that a crash cannot part them; old keys go."""
    tx.sql.execute("DELETE FROM idempotency_keys WHERE created < ?", (tx.now - LIFETIME,))
    tx.sql.execute(
        "INSERT OR REPLACE INTO idempotency_keys"
        " (key, endpoint, fingerprint, request, status, body, created)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            attempt.key,
            attempt.endpoint,
            attempt.fingerprint,
            request_id,
            status,
            orjson.dumps(body).decode(),
            tx.now,
        ),
    )
