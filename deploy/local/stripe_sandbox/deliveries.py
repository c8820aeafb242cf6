"""The queue of webhooks still to be sent, kept until their endpoint accepts them."""

from collections.abc import Collection
from dataclasses import dataclass

from deploy.local.stripe_sandbox.errors import JsonObject
from deploy.local.stripe_sandbox.faults import WebhookFault
from deploy.local.stripe_sandbox.store import Transaction

MAX_LISTED = 1000
REMEMBERED_SECONDS = 86_400.0
UNREACHABLE = "unreachable"  # how an error begins that is not an answer
COLUMNS = ("id", "event", "type", "state", "due", "attempts", "last_error")


@dataclass(frozen=True, slots=True)
class Endpoint:
    url: str | None
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    id: int
    event: str
    attempts: int
    body: str  # the event, in JSON


_DELIVERIES = """
    SELECT deliveries.id, event, attempts, body FROM deliveries
    JOIN objects ON objects.id = deliveries.event
"""


def endpoint(tx: Transaction) -> Endpoint:
    url, secret = tx.sql.execute("SELECT url, secret FROM endpoints").fetchone()
    return Endpoint(url, secret)


def set_endpoint(tx: Transaction, url: str | None, secret: str) -> None:
    tx.sql.execute(
        "INSERT INTO endpoints (name, url, secret) VALUES ('webhook', ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET url = excluded.url, secret = excluded.secret",
        (url, secret),
    )


def enqueue(tx: Transaction, event: JsonObject) -> int:
    """Queue an event for the endpoint, if it is for it; answers how many webhooks are to come."""
    enabled = tx.settings.webhook_events
    if ("*" not in enabled and event["type"] not in enabled) or endpoint(tx).url is None:
        return 0
    fault = tx.faults.take_for_event(event["type"])
    if fault is None:
        _insert(tx, event, "pending", tx.now)
        return 1
    return _enqueue_spoiled(tx, event, fault)


def _enqueue_spoiled(tx: Transaction, event: JsonObject, fault: WebhookFault) -> int:
    match fault.action:
        case "hold":
            _insert(tx, event, "held", tx.now)
        case "drop":
            _insert(tx, event, "dropped", tx.now)
            return 0
        case "delay":
            _insert(tx, event, "pending", tx.now + fault.seconds)
        case "duplicate":
            for _ in range(fault.copies):
                _insert(tx, event, "pending", tx.now)
    return 1


def enqueue_again(tx: Transaction, event: JsonObject) -> None:
    _insert(tx, event, "pending", tx.now)


def _insert(tx: Transaction, event: JsonObject, state: str, due: float) -> None:
    tx.sql.execute(
        "INSERT INTO deliveries (event, type, state, due) VALUES (?, ?, ?, ?)",
        (event["id"], event["type"], state, due),
    )


def due(tx: Transaction, busy: Collection[int], limit: int) -> list[Delivery]:
    """At most `limit` deliveries to send now, oldest first, less those being sent."""
    rows = tx.sql.execute(
        f"{_DELIVERIES} WHERE state = 'pending' AND due <= ? ORDER BY due, deliveries.id LIMIT ?",
        (tx.now, limit + len(busy)),
    )
    return [Delivery(*row) for row in rows if row[0] not in busy][:limit]


def next_due(tx: Transaction) -> float | None:
    """When the next delivery that is not due yet will be."""
    row = tx.sql.execute(
        "SELECT min(due) FROM deliveries WHERE state = 'pending' AND due > ?", (tx.now,)
    ).fetchone()
    when: float | None = row[0]
    return when


def record_success(tx: Transaction, delivery: Delivery) -> None:
    """Delivered; its event waits for nothing any more."""
    tx.sql.execute(
        "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1, last_error = NULL"
        " WHERE id = ?",
        (delivery.id,),
    )
    tx.sql.execute(
        "UPDATE objects SET body = json_set(body, '$.pending_webhooks', 0) WHERE id = ?",
        (delivery.event,),
    )


def hurry(tx: Transaction) -> None:
    """Since the endpoint answers again, what waited for it need not wait longer."""
    tx.sql.execute(
        "UPDATE deliveries SET due = ? WHERE state = 'pending' AND attempts > 0"
        " AND last_error LIKE ?",
        (tx.now, f"{UNREACHABLE}%"),
    )


def record_failure(tx: Transaction, delivery: Delivery, why: str, retry_at: float | None) -> None:
    """Try again at `retry_at`; None gives up."""
    tx.sql.execute(
        "UPDATE deliveries SET state = ?, due = coalesce(?, due), attempts = attempts + 1,"
        " last_error = ? WHERE id = ?",
        ("failed" if retry_at is None else "pending", retry_at, why, delivery.id),
    )


def retry_all_now(tx: Transaction) -> None:
    """Whatever is waiting is sent at once: the endpoint changed, or the process started again."""
    tx.sql.execute("UPDATE deliveries SET due = ? WHERE state = 'pending'", (tx.now,))


def forget_delivered(tx: Transaction) -> None:
    """Those of another day; their events stay."""
    tx.sql.execute(
        "DELETE FROM deliveries WHERE state = 'delivered' AND due < ?",
        (tx.now - REMEMBERED_SECONDS,),
    )


def release(tx: Transaction) -> None:
    tx.sql.execute(
        "UPDATE deliveries SET state = 'pending', due = ? WHERE state = 'held'", (tx.now,)
    )


def held(tx: Transaction) -> list[Delivery]:
    rows = tx.sql.execute(f"{_DELIVERIES} WHERE state = 'held' ORDER BY deliveries.id")
    return [Delivery(*row) for row in rows]


def latest(tx: Transaction) -> list[JsonObject]:
    rows = tx.sql.execute(
        f"SELECT {', '.join(COLUMNS)} FROM deliveries ORDER BY id DESC LIMIT ?",  # noqa: S608 - our own column names
        (MAX_LISTED,),
    )
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]
