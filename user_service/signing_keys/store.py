"""Every SQL statement about signing keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select

from kit.database import Transaction
from user_service.signing_keys.domain import SigningKey
from user_service.tables import signing_keys

_LOCK = "user_service.signing_keys"


async def lock(tx: Transaction) -> None:
    """Let one replica at a time make and forget keys."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_LOCK, 0))))


async def read_keys(tx: Transaction) -> Sequence[SigningKey]:
    """All published keys: those that signed, the one that signs and the one that will."""
    rows = await tx.execute(select(signing_keys).order_by(signing_keys.c.signs_from))
    return [_key(row) for row in rows.all()]


async def read_current(tx: Transaction) -> SigningKey:
    """The key that signs now."""
    begun = select(signing_keys).where(signing_keys.c.signs_from <= func.now())
    newest = begun.order_by(signing_keys.c.signs_from.desc()).limit(1)
    return _key((await tx.execute(newest)).one())


async def read_clock(tx: Transaction) -> datetime:
    """The database's time, which replicas agree on."""
    moment: datetime = (await tx.execute(select(func.now()))).scalar_one()
    return moment


async def add_key(tx: Transaction, key: SigningKey) -> None:
    """Publish a key."""
    await tx.execute(
        insert(signing_keys).values(
            id=key.id,
            public_key=key.public_key,
            sealed_private_key=key.sealed_private_key,
            signs_from=key.signs_from,
        )
    )


async def delete_keys(tx: Transaction, ids: Sequence[str]) -> None:
    """Forget keys."""
    await tx.execute(delete(signing_keys).where(signing_keys.c.id.in_(ids)))


def _key(row: Row[Any]) -> SigningKey:
    return SigningKey(row.id, row.public_key, row.sealed_private_key, row.signs_from)
