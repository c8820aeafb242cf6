"""The outbox: messages are stored with the change they announce, then relayed to the broker."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message as Proto
from sqlalchemy import (
    CTE,
    Column,
    ColumnElement,
    DateTime,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from kit import telemetry
from kit.broker import Broker, Message
from kit.database import Database, Transaction, signal
from kit.ids import new_id

SIGNAL = "outbox"
BATCH = 100


def add_table(metadata: MetaData) -> Table:
    """The outbox, for a service's metadata."""
    return Table(
        "outbox",
        metadata,
        Column("id", Text, primary_key=True),
        Column("routing_key", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("headers", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


_outbox = add_table(MetaData())


def routing_key(proto_name: str) -> str:
    """`payment.succeeded` for `tessera.payment.v1.PaymentSucceeded`: noun, past participle."""
    words = re.findall("[A-Z][a-z0-9]*", proto_name.rsplit(".", 1)[-1])
    return f"{'_'.join(words[:-1])}.{words[-1]}".lower()


async def add(tx: Transaction, body: Proto, *, version: int = 1) -> None:
    """Announce something, if this transaction commits. `version` is the subject's."""
    await add_all(tx, [body], version=version)


async def add_if(
    tx: Transaction, body: Proto, condition: ColumnElement[bool], *, version: int = 1
) -> None:
    """Announce something if the database finds the condition true: the same statement either way.

    So nobody learns from how long it takes whether it was announced.
    """
    row = _row(new_id("msg"), body, _headers(version))
    values = select(*map(literal, row.values())).where(condition)
    await tx.execute(insert(_outbox).from_select(list(row), values))
    signal(tx, SIGNAL)


def add_values(body: Proto, *, version: int = 1) -> dict[str, object]:
    """What a statement with `add_when` is executed with, to announce this."""
    row = _row(new_id("msg"), body, _headers(version))
    return {f"message_{name}": value for name, value in row.items()}


def add_when(condition: ColumnElement[bool]) -> CTE:
    """For a statement that does something else as well: announces, on a condition.

    Who runs it as a transaction by itself wakes `SIGNAL`.
    """
    columns = ("id", "routing_key", "type", "headers", "body")
    values = (bindparam(f"message_{name}", type_=_outbox.c[name].type) for name in columns)
    return insert(_outbox).from_select(columns, select(*values).where(condition)).cte("announced")


async def add_all(tx: Transaction, bodies: Sequence[Proto], *, version: int = 1) -> None:
    """Announce several things in one statement, to be relayed in this order."""
    if not bodies:
        return
    headers = _headers(version)
    ids = sorted(new_id("msg") for _ in bodies)
    rows = [_row(key, body, headers) for key, body in zip(ids, bodies, strict=True)]
    await tx.execute(insert(_outbox), rows)
    signal(tx, SIGNAL)


def _headers(version: int) -> str:
    return json.dumps(
        {
            "version": str(version),
            "traceparent": telemetry.traceparent.get() or telemetry.new_traceparent(),
        }
    )


def _row(message_id: str, body: Proto, headers: str) -> dict[str, object]:
    name = body.DESCRIPTOR.full_name
    text = json_format.MessageToJson(body, preserving_proto_field_name=True, indent=None)
    return {
        "id": message_id,
        "routing_key": routing_key(name),
        "type": name,
        "headers": headers,
        "body": text.encode(),
    }


async def relay(database: Database, broker: Broker) -> int:
    """Publish the oldest stored messages, all at once; answers how many there were.

    A row is deleted after the broker confirmed it: a crash in between publishes it twice, and the
    consumer's inbox drops the second. A message that no queue takes keeps no other waiting.

    Raises:
        BrokerUnavailable: some could not be published; they stay, the others are on their way.
    """
    async with database.begin() as tx:
        oldest = select(_outbox).order_by(_outbox.c.id).limit(BATCH)
        rows = (await tx.execute(oldest.with_for_update(skip_locked=True))).all()
        outcomes = await asyncio.gather(
            *(broker.publish(_message(row)) for row in rows), return_exceptions=True
        )
        if safe := [row.id for row, outcome in zip(rows, outcomes, strict=True) if not outcome]:
            await tx.execute(delete(_outbox).where(_outbox.c.id.in_(safe)))
    for outcome in outcomes:
        if outcome:
            raise outcome
    return len(rows)


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        routing_key=row.routing_key,
        type=row.type,
        body=row.body,
        headers=json.loads(row.headers),
    )
