"""The inbox: a message's id is stored with its effect, so that a second delivery has none."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Table,
    Text,
    cast,
    delete,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert

from kit.database import Transaction

KEPT_FOR = timedelta(days=30)


def add_table(metadata: MetaData) -> Table:
    """The inbox, for a service's metadata."""
    return Table(
        "inbox",
        metadata,
        Column("message_id", Text, primary_key=True),
        Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


_inbox = add_table(MetaData())


async def first_time(tx: Transaction, message_id: str) -> bool:
    """Whether this message has had no effect yet; from this transaction on it has."""
    first = insert(_inbox).values(message_id=message_id).on_conflict_do_nothing()
    return (await tx.execute(first.returning(_inbox.c.message_id))).first() is not None


async def first_times(tx: Transaction, message_ids: Collection[str]) -> set[str]:
    """Which of these messages have had no effect yet; from this transaction on they have."""
    # In order: who takes the same messages at the same time waits, and is not waited for.
    ids = func.unnest(cast(sorted(message_ids), ARRAY(Text))).column_valued("message_id")
    first = insert(_inbox).from_select(["message_id"], select(ids)).on_conflict_do_nothing()
    return set((await tx.execute(first.returning(_inbox.c.message_id))).scalars())


async def forget_old(tx: Transaction) -> None:
    """Drop the ids of messages that can no longer be delivered again."""
    await tx.execute(delete(_inbox).where(_inbox.c.received_at < func.now() - KEPT_FOR))
