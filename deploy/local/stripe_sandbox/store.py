"""The sandbox's memory: one SQLite file that a killed process leaves whole.

Everything the sandbox does happens in one short transaction on one connection and never waits in
between, so operations cannot interleave. A commit survives `kill -9`; it does not wait for the
disk, so a power cut may lose the last moments.
"""

import os
import sqlite3
import string
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from deploy.local.stripe_sandbox.errors import JsonObject
from deploy.local.stripe_sandbox.faults import Faults
from deploy.local.stripe_sandbox.settings import SandboxSettings

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    payment_intent TEXT,
    charge TEXT,
    created INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (kind, seq);
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (payment_intent, kind)
    WHERE payment_intent IS NOT NULL;
CREATE INDEX IF NOT EXISTS objects_by_charge ON objects (charge, kind) WHERE charge IS NOT NULL;
CREATE TABLE IF NOT EXISTS deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'held', 'delivered', 'failed', 'dropped')),
    due REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT
);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (due, id) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (event);
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key TEXT PRIMARY KEY,
    endpoint TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    request TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created);
CREATE TABLE IF NOT EXISTS timers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    due REAL NOT NULL,
    action TEXT NOT NULL,
    object TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS timers_due ON timers (due, id);
CREATE TABLE IF NOT EXISTS balances (
    currency TEXT PRIMARY KEY,
    available INTEGER NOT NULL,
    is_limited INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS endpoints (
    name TEXT PRIMARY KEY,
    url TEXT,
    secret TEXT
);
"""

Clock = Callable[[], float]

ALPHABET = string.ascii_letters + string.digits
# For each byte a letter: the first eight come five times in 256, the others four.
LETTERS = (ALPHABET * 5)[:256].encode()


def new_id(prefix: str) -> str:
    return f"{prefix}_3{os.urandom(23).translate(LETTERS).decode()}"


@dataclass(frozen=True, slots=True)
class Cause:
    """The request that made something happen; events name it."""

    request_id: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """One all-or-nothing change. `now` is in seconds and stands still meanwhile."""

    sql: sqlite3.Connection
    now: float
    settings: SandboxSettings
    faults: Faults
    cause: Cause | None = None

    def get(self, kind: str, object_id: str) -> JsonObject | None:
        row = self.sql.execute(
            "SELECT body FROM objects WHERE id = ? AND kind = ?", (object_id, kind)
        ).fetchone()
        return None if row is None else orjson.loads(row[0])

    def get_any(self, object_id: str) -> JsonObject | None:
        row = self.sql.execute("SELECT body FROM objects WHERE id = ?", (object_id,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def insert(self, body: JsonObject) -> None:
        self.sql.execute(
            "INSERT INTO objects (id, kind, payment_intent, charge, created, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                body["id"],
                body["object"],
                body.get("payment_intent"),
                body.get("charge"),
                body["created"],
                orjson.dumps(body).decode(),
            ),
        )

    def save(self, body: JsonObject) -> None:
        changed = self.sql.execute(
            "UPDATE objects SET body = ? WHERE id = ?", (orjson.dumps(body).decode(), body["id"])
        )
        assert changed.rowcount == 1, body["id"]

    def select(self, where: str, values: tuple[Any, ...]) -> list[JsonObject]:
        """Objects that match `where`, a condition written in this package, never by a caller."""
        rows = self.sql.execute(f"SELECT body FROM objects WHERE {where}", values)  # noqa: S608 - see above
        return [orjson.loads(row[0]) for row in rows]


class Store:
    """The file and the single connection to it."""

    def __init__(self, settings: SandboxSettings, faults: Faults, clock: Clock = time.time) -> None:
        self._settings = settings
        self._faults = faults
        self._clock = clock
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._sql = sqlite3.connect(
            settings.data_dir / "stripe.sqlite3",
            timeout=1.0,
            isolation_level=None,
            check_same_thread=False,
        )
        # A second sandbox on the same folder would forget the first one's money: lock it out.
        self._sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = NORMAL")
        self._sql.executescript(SCHEMA)

    @contextmanager
    def transaction(self, cause: Cause | None = None) -> Iterator[Transaction]:
        """All of it is kept, or, when an exception passes through, none of it."""
        self._sql.execute("BEGIN IMMEDIATE")
        try:
            yield Transaction(self._sql, self._clock(), self._settings, self._faults, cause)
        except BaseException:
            self._sql.execute("ROLLBACK")
            raise
        self._sql.execute("COMMIT")

    def reading(self) -> Transaction:
        """For looking only. Nothing happens in between, as long as the caller does not wait."""
        return Transaction(self._sql, self._clock(), self._settings, self._faults)

    def now(self) -> float:
        return self._clock()

    def close(self) -> None:
        self._sql.close()
