"""Delivery without RabbitMQ: the same promises, kept by a database of the broker's own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Self

import asyncpg
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    NullPool,
    Row,
    Table,
    Text,
    and_,
    delete,
    extract,
    false,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit import delivery, worker
from kit.broker import BrokerUnavailable, Handler, Message, Queue
from kit.database import Database, Transaction, ensure_database, new_metadata
from kit.errors import Unavailable
from kit.settings import InvalidSetting

_TIMEOUT_S = 5
_PAUSE_S = 1  # before an outcome that could not be recorded is tried again
# News comes by NOTIFY, which costs nothing while nothing happens and reaches other processes within
# milliseconds. The poll is for what has no news: a retry or a claim that another process left.
_POLL_S = 5
_LEAST_PAUSE_S = 0.05  # while another process is just taking what is due

_DRIVER_FAILURES = (DBAPIError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)

_NOTIFICATIONS = "tessera_messages"
_SCHEMA_LOCK = 0x7E55E7A
_OWNERS = 0x7E55E7B  # the class of the advisory locks that owners of claims hold

_metadata = new_metadata()

_bindings = Table(
    "bindings",
    _metadata,
    Column("routing_key", Text, primary_key=True),
    Column("queue", Text, primary_key=True),
)

_messages = Table(
    "messages",
    _metadata,
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
_columns = _messages.c
_waiting = and_(~_columns.dead, _columns.claimed_by.is_(None))
Index("ix_messages_waiting", _columns.queue, _columns.position, postgresql_where=_waiting)
Index("ix_messages_claimed", _columns.claimed_by, postgresql_where=_columns.claimed_by.is_not(None))


class EmbeddedBroker:
    """Several processes may use the same database, each with a broker of its own."""

    def __init__(self, database_url: URL) -> None:
        self._url = database_url
        self._database = Database(database_url, pool_size=3)
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._session: _Session | None = None
        self._opening = asyncio.Lock()
        self._consumers: list[_Consumer] = []
        self._consuming: set[asyncio.Task[None]] = set()

    async def publish(self, message: Message) -> None:
        """See Broker."""
        async with self._transaction() as tx:
            queues = await _store(tx, message)
        if not queues:
            raise BrokerUnavailable("No queue takes this message yet.")

    async def consume(self, queue: Queue, handler: Handler) -> None:
        """See Broker."""
        await self._prepare()
        consumer = _Consumer(queue, handler)
        with suppress(BrokerUnavailable):
            async with self._transaction() as tx:
                await _bind(tx, queue)
        self._consumers.append(consumer)
        work = partial(self._consume, consumer)
        task = asyncio.create_task(worker.repeat(f"consume {queue.name}", work))
        self._consuming.add(task)

    async def dead_letters(self, queue: Queue) -> int:
        """See Broker."""
        async with self._transaction() as tx:
            dead = select(func.count()).where(_columns.queue == queue.name, _columns.dead)
            return int((await tx.execute(dead)).scalar_one())

    async def close(self) -> None:
        """See Broker."""
        await delivery.stop(self._consuming)
        await delivery.finish([task for each in self._consumers for task in each.handling])
        if self._session is not None:
            await self._session.close()
        await self._database.close()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Transaction]:
        async with _guarded():
            await self._prepare()
            async with self._database.begin() as tx:
                yield tx

    async def _prepare(self) -> None:
        """Create database and tables, once. Raises InvalidSetting when they cannot be."""
        async with self._preparing:
            if not self._prepared:
                await ensure_database(self._url)
                async with self._database.begin() as tx:
                    await tx.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
                    await tx.run_sync(_metadata.create_all)
                self._prepared = True

    async def _live_session(self) -> "_Session":
        async with self._opening, _guarded():
            if self._session is not None and self._session.lost.is_set():
                await self._session.close()
                self._session = None
            if self._session is None:
                self._session = await _Session.open(self._url, self._wake)
            return self._session

    def _wake(self, queue_name: str | None) -> None:
        """Have the consumers of a queue look for messages; None means those of all queues."""
        for consumer in self._consumers:
            if queue_name in {consumer.queue.name, None}:
                consumer.wake.set()

    async def _consume(self, consumer: "_Consumer") -> None:
        """Start handlers for what is due, then wait for news, a due time or the next poll."""
        consumer.wake.clear()
        try:
            pause_s = await self._start_handlers(consumer)
        except BrokerUnavailable:
            consumer.look_for_orphans = True
            raise
        consumer.look_for_orphans = not await _happens(consumer.wake, pause_s)

    async def _start_handlers(self, consumer: "_Consumer") -> float:
        """Claim as many messages as may be handled now; answers how long there is no more to do."""
        queue = consumer.queue
        free = queue.concurrency - len(consumer.handling)
        session = await self._live_session()
        async with self._transaction() as tx:
            if session is not consumer.session:
                await _bind(tx, queue)
            if session is not consumer.session or consumer.look_for_orphans:
                await _release_orphans(tx, queue)
            rows = await _claim(tx, queue, session.owner, free)
            pause_s = _POLL_S if len(rows) == free else await _pause(tx, queue)
        consumer.session = session
        for row in rows:
            task = asyncio.create_task(self._handle(consumer, session, row))
            consumer.handling.add(task)
            task.add_done_callback(consumer.handled)
        return pause_s

    async def _handle(
        self, consumer: "_Consumer", session: "_Session", row: "Row[tuple[object, ...]]"
    ) -> None:
        message = Message(
            id=row.message_id,
            routing_key=row.routing_key,
            type=row.type,
            body=row.body,
            headers=row.headers,
        )
        failure = await delivery.deliver(consumer.queue, consumer.handler, message, row.failures)
        while True:
            try:
                async with self._transaction() as tx:
                    await _settle(tx, row.position, session.owner, failure)
            except BrokerUnavailable:
                if session.lost.is_set():
                    return  # the claim is void; the message comes again
                await asyncio.sleep(_PAUSE_S)
            else:
                return


class _Consumer:
    """One queue's handler, what it is doing, and the event that tells it of more."""

    def __init__(self, queue: Queue, handler: Handler) -> None:
        self.queue = queue
        self.handler = handler
        self.session: _Session | None = None
        self.look_for_orphans = True
        self.wake = asyncio.Event()
        self.handling: set[asyncio.Task[None]] = set()

    def handled(self, task: "asyncio.Task[None]") -> None:
        self.handling.discard(task)
        self.wake.set()


class _Session:
    """A process's standing connection: hears of messages, and stands for what it has claimed.

    It holds an advisory lock on its owner number, which PostgreSQL frees the moment the process
    dies. So a claim needs no lease that a slow handler could outlive: it is valid while its owner's
    lock is held.
    """

    def __init__(self, connection: AsyncConnection, owner: int) -> None:
        self._connection = connection
        self.owner = owner
        self.lost = asyncio.Event()

    @classmethod
    async def open(cls, url: URL, wake: Callable[[str | None], None]) -> Self:
        """Connect; `wake` is called with a queue's name, and with None when the session is lost."""
        engine = create_async_engine(
            url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": _TIMEOUT_S},
        )
        session = cls(await engine.connect(), secrets.randbits(31))

        def on_lost(_connection: object) -> None:
            session.lost.set()
            wake(None)

        def on_message(_connection: object, _pid: int, _channel: str, queue_name: str) -> None:
            wake(queue_name)

        try:
            driver = (await session._connection.get_raw_connection()).driver_connection
            assert driver is not None
            driver.add_termination_listener(on_lost)
            await driver.add_listener(_NOTIFICATIONS, on_message)
            lock = select(func.pg_advisory_lock(_OWNERS, session.owner))
            await session._connection.execute(lock)
        except BaseException:
            await session.close()
            raise
        return session

    async def close(self) -> None:
        with suppress(*_DRIVER_FAILURES):
            await self._connection.close()


@asynccontextmanager
async def _guarded() -> AsyncIterator[None]:
    """A time limit, and every way in which the database can fail as BrokerUnavailable."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            yield
    except (Unavailable, InvalidSetting, *_DRIVER_FAILURES) as error:
        cause = delivery.describe(error.__cause__ or error)
        raise BrokerUnavailable(f"The embedded broker's database is away: {cause}.") from error


async def _happens(event: asyncio.Event, timeout_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    return False


async def _bind(tx: Transaction, queue: Queue) -> None:
    binding = insert(_bindings).values(routing_key=queue.routing_key, queue=queue.name)
    await tx.execute(binding.on_conflict_do_nothing())


async def _store(tx: Transaction, message: Message) -> Sequence[str]:
    """Put a copy into every queue bound to its routing key; answers those queues."""
    copies = select(
        _bindings.c.queue,
        literal(message.id),
        literal(message.routing_key),
        literal(message.type),
        literal(dict(message.headers), JSONB),
        literal(message.body, LargeBinary),
    ).where(_bindings.c.routing_key == message.routing_key)
    names = ["queue", "message_id", "routing_key", "type", "headers", "body"]
    stored = insert(_messages).from_select(names, copies).returning(_columns.queue).cte("stored")
    announced = select(stored.c.queue, func.pg_notify(_NOTIFICATIONS, stored.c.queue))
    return (await tx.execute(announced)).scalars().all()


async def _claim(
    tx: Transaction, queue: Queue, owner: int, limit: int
) -> "list[Row[tuple[object, ...]]]":
    """Take the oldest messages that are due, in order, past those that others are taking."""
    due = (
        select(_columns.position)
        .where(_columns.queue == queue.name, _waiting, _columns.deliver_at <= func.now())
        .order_by(_columns.position)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    claim = (
        update(_messages)
        .where(_columns.position == due.c.position)
        .values(claimed_by=owner, deliveries=_columns.deliveries + 1)
        .returning(*_columns)
    )
    return sorted((await tx.execute(claim)).all(), key=lambda row: row.position)


async def _pause(tx: Transaction, queue: Queue) -> float:
    """How long until the queue's next message is due, but at most until the next poll."""
    in_s = extract("epoch", func.min(_columns.deliver_at) - func.now())
    due_in_s = (
        await tx.execute(select(in_s).where(_columns.queue == queue.name, _waiting))
    ).scalar_one()
    return _POLL_S if due_in_s is None else min(_POLL_S, max(_LEAST_PAUSE_S, float(due_in_s)))


async def _settle(
    tx: Transaction, position: int, owner: int, failure: delivery.Failure | None
) -> None:
    """Delete a handled message, or let it wait or rest; unless the claim has become another's."""
    claimed = and_(_columns.position == position, _columns.claimed_by == owner)
    if failure is None:
        await tx.execute(delete(_messages).where(claimed))
        return
    delay = timedelta(seconds=failure.retry_in_s or 0)
    await tx.execute(
        update(_messages)
        .where(claimed)
        .values(
            claimed_by=None,
            failures=_columns.failures + 1,
            deliveries=0,
            deliver_at=func.now() + delay,
            dead=failure.retry_in_s is None,
            last_error=failure.error,
        )
    )


async def _release_orphans(tx: Transaction, queue: Queue) -> None:
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
        {"queue": queue.name, "owners": _OWNERS, "delivery_limit": delivery.DELIVERY_LIMIT},
    )
