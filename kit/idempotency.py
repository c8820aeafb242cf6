"""`Idempotency-Key`: the same key and request give the same answer, and one effect.

The answer is recorded in the transaction of the effect, so that a crash cannot part them:

    async with database.begin() as tx:
        await once.claim(tx)
        event = …
        await once.record(tx, event)

An answer is sealed with a key that only the same request yields, since some carry tokens.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.message import Message
from sqlalchemy import (
    Column,
    DateTime,
    LargeBinary,
    MetaData,
    Table,
    Text,
    cast,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit import auth
from kit.database import Transaction
from kit.errors import Aborted, InvalidArgument

KEPT_FOR = timedelta(hours=48)

Result = TypeVar("Result")


class IdempotencyKeyReused(InvalidArgument):
    """This Idempotency-Key was used before, with another request."""


class IdempotencyKeyInUse(Aborted):
    """A request with this Idempotency-Key is still being worked on."""


class Answered(Exception):
    """The request was answered before: here is the answer again. Carries the message's bytes."""

    def __init__(self, response: bytes) -> None:
        self.response = response


def add_table(metadata: MetaData) -> Table:
    """The table of answers, for a service's metadata."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("caller", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("fingerprint", LargeBinary, nullable=False),
        Column("response", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


_answers = add_table(MetaData())


def fingerprint(request: Message) -> bytes:
    """What makes two requests the same: their type and all fields but the key itself."""
    return hashlib.sha256(_content(request)).digest()


async def lock(tx: Transaction, scoped_keys: Sequence[str]) -> set[str]:
    """Those of the keys that are this transaction's until it ends; others are in use."""
    given = func.unnest(cast(list(scoped_keys), ARRAY(Text))).column_valued("given")
    taken = func.pg_try_advisory_xact_lock(func.hashtextextended(given, 0))
    return {row[0] for row in await tx.execute(select(given, taken)) if row[1]}


class Once(Generic[Result]):
    """One request's Idempotency-Key, and how its result becomes the answer."""

    def __init__(self, request: Message, render: Callable[[Result], Message]) -> None:
        self._key: str = request.idempotency_key  # type: ignore[attr-defined]
        self._caller = auth.current().name
        self._content = _content(request)
        self._fingerprint = hashlib.sha256(self._content).digest()
        self._render = render

    async def claim(self, tx: Transaction) -> None:
        """Go on only as the first to use this key.

        Raises:
            Answered: the same request had its effect before.
            IdempotencyKeyReused: another request used the key.
            IdempotencyKeyInUse: the same key is in another open transaction.
        """
        if not self._key:
            return
        if not await lock(tx, [f"{self._caller} {self._key}"]):
            raise IdempotencyKeyInUse
        row = (
            await tx.execute(
                select(_answers.c.fingerprint, _answers.c.response).where(
                    _answers.c.caller == self._caller, _answers.c.key == self._key
                )
            )
        ).first()
        if row is None:
            return
        if row.fingerprint != self._fingerprint:
            raise IdempotencyKeyReused
        raise Answered(self._cipher().decrypt(row.response[:12], row.response[12:], None))

    async def record(self, tx: Transaction, result: Result) -> Result:
        """Keep the answer to this request, in the transaction of its effect; returns the result."""
        if self._key:
            answer = self._render(result).SerializeToString()
            nonce = hashlib.sha256(self._key.encode() + answer).digest()[:12]
            sealed = nonce + self._cipher().encrypt(nonce, answer, None)
            await tx.execute(
                insert(_answers).values(
                    caller=self._caller,
                    key=self._key,
                    fingerprint=self._fingerprint,
                    response=sealed,
                )
            )
        return result

    def _cipher(self) -> AESGCM:
        return AESGCM(hashlib.sha256(b"answer\0" + self._content).digest())


async def forget_old(tx: Transaction) -> None:
    """Drop the answers that nobody may ask for any more."""
    await tx.execute(delete(_answers).where(_answers.c.created_at < func.now() - KEPT_FOR))


def _content(request: Message) -> bytes:
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("idempotency_key")
    name = request.DESCRIPTOR.full_name.encode()
    return name + b"\0" + copy.SerializeToString(deterministic=True)
