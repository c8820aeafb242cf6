"""Every SQL statement of the embedded broker; each function takes the transaction first."""

import json
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    extract,
    false,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert

from kit.broker import Message, Queue
from kit.database import Transaction, new_metadata
from kit.delivery import DELIVERY_LIMIT, Failure

NOTIFICATIONS = "tessera_messages"  # the channel that carries the names of queues with news
OWNERS = 0x7E55E7B  # the class of the advisory locks that owners of claims hold
_SCHEMA_LOCK = 0x7E55E7A

metadata = new_metadata()

_bindings = Table(
    "bindings",
    metadata,
    Column("routing_key", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
)

messages = Table(
    "messages",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("deliveries", Integer, nullable=False, server_default="0"),  # of this attempt
    Column("deliver_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("claimed_by", BigInteger),  # whose handler has it now
    Column("dead", Boolean, nullable=False, server_default=false()),
    Column("last_error", Text),
)
_columns = messages.c
_waiting = and_(~_columns.dead, _columns.claimed_by.is_(None))
Index("ix_messages_waiting", _columns.queue, _columns.position, postgresql_where=_waiting)
Index("ix_messages_claimed", _columns.claimed_by, postgresql_where=_columns.claimed_by.is_not(None))


async def create_tables(tx: Transaction) -> None:
    """Create what is not there; processes that start at once take turns."""
    await tx.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
    await tx.run_sync(metadata.create_all)


async def bind(tx: Transaction, queue: Queue) -> None:
    binding = insert(_bindings).values(routing_key=queue.routing_key, queue=queue.name)
    await tx.execute(binding.on_conflict_do_nothing())


_ADD = text("""
    WITH stored AS (
        INSERT INTO messages (queue, message_id, routing_key, type, headers, body)
        SELECT bindings.queue, given.id, given.key, given.type, CAST(given.headers AS jsonb),
               given.body
        FROM unnest(
            CAST(:ids AS text[]), CAST(:keys AS text[]), CAST(:types AS text[]),
            CAST(:headers AS text[]), CAST(:bodies AS bytea[])
        ) WITH ORDINALITY AS given (id, key, type, headers, body, place)
        JOIN bindings ON bindings.routing_key = given.key
        ORDER BY given.place
        RETURNING queue, message_id
    ), told AS (
        SELECT pg_notify(:channel, queue) FROM (SELECT DISTINCT queue FROM stored) AS queues
    )
    SELECT message_id, (SELECT count(*) FROM told) FROM stored
""")


async def add(tx: Transaction, given: Sequence[Message]) -> set[str]:
    """Put a copy of each into every queue bound to its routing key; answers whose there are."""
    values = {
        "ids": [message.id for message in given],
        "keys": [message.routing_key for message in given],
        "types": [message.type for message in given],
        "headers": [json.dumps(dict(message.headers)) for message in given],
        "bodies": [message.body for message in given],
        "channel": NOTIFICATIONS,
    }
    return {row.message_id for row in await tx.execute(_ADD, values)}


# Statements that are executed all the time are made once.
_QUEUE = bindparam("queue_name", type_=Text)
_OWNER = bindparam("owner", type_=BigInteger)
_due = (
    select(_columns.position)
    .where(_columns.queue == _QUEUE, _waiting, _columns.deliver_at <= func.now())
    .order_by(_columns.position)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_CLAIM = (
    update(messages)
    .where(_columns.position == _due.c.position)
    .values(claimed_by=_OWNER, deliveries=_columns.deliveries + 1)
    .returning(*_columns)
)
_NEXT_DUE = select(extract("epoch", func.min(_columns.deliver_at) - func.now())).where(
    _columns.queue == _QUEUE, _waiting
)
_REMOVE = delete(messages).where(
    _columns.position == func.any(bindparam("positions", type_=ARRAY(BigInteger))),
    _columns.claimed_by == _OWNER,
)


async def claim(
    tx: Transaction, queue: Queue, owner: int, limit: int
) -> "list[Row[tuple[object, ...]]]":
    """Take the oldest messages that are due, in order, past those that others are taking."""
    values = {"queue_name": queue.name, "owner": owner, "most": limit}
    return sorted((await tx.execute(_CLAIM, values)).all(), key=lambda row: row.position)


async def next_due_in_s(tx: Transaction, queue: Queue) -> float | None:
    """How long until the queue's next message is due; below zero when it is."""
    in_s_or_none = (await tx.execute(_NEXT_DUE, {"queue_name": queue.name})).scalar_one()
    return None if in_s_or_none is None else float(in_s_or_none)


async def count_dead(tx: Transaction, queue: Queue) -> int:
    dead = select(func.count()).where(_columns.queue == queue.name, _columns.dead)
    return int((await tx.execute(dead)).scalar_one())


async def remove(tx: Transaction, positions: Sequence[int], owner: int) -> None:
    """Delete handled messages, less those whose claim has become another's."""
    if positions:
        await tx.execute(_REMOVE, {"positions": list(positions), "owner": owner})


async def set_aside(tx: Transaction, position: int, owner: int, failure: Failure) -> None:
    """Let a message that failed wait or rest, unless its claim has become another's."""
    delay = timedelta(seconds=failure.retry_in_s or 0)
    await tx.execute(
        update(messages)
        .where(_columns.position == position, _columns.claimed_by == owner)
        .values(
            claimed_by=None,
            failures=_columns.failures + 1,
            deliveries=0,
            deliver_at=func.now() + delay,
            dead=failure.retry_in_s is None,
            last_error=failure.error,
        )
    )


async def release_orphans(tx: Transaction, queue: Queue) -> None:
    """Give back what dead processes had claimed, or bury what they keep dying of."""
    await tx.execute(
        text("""
            UPDATE messages
            SET claimed_by = NULL,
                dead = deliveries >= :delivery_limit,
                last_error = CASE
                    WHEN deliveries >= :delivery_limit THEN 'DeliveryLimit: processes died of it'
                    ELSE last_error
                END
            WHERE queue = :queue AND claimed_by IS NOT NULL AND claimed_by NOT IN (
                SELECT objid::bigint
                FROM pg_locks
                WHERE locktype = 'advisory' AND granted AND classid = :owners AND objsubid = 2
                    AND database = (
                        SELECT oid FROM pg_database WHERE datname = current_database()
                    )
            )
        """),
        {"queue": queue.name, "owners": OWNERS, "delivery_limit": DELIVERY_LIMIT},
    )
