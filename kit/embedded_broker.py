"""Delivery without RabbitMQ: the same promises, kept by a database of the broker's own."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Self

import asyncpg
from sqlalchemy import NullPool, Row, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit import delivery, worker
from kit import embedded_store as store
from kit.batching import Batcher, TooManyWaiting
from kit.broker import BrokerUnavailable, Handler, Message, Queue, Unroutable
from kit.database import Database, Transaction, ensure_database
from kit.errors import Unavailable
from kit.settings import InvalidSetting

# News comes by NOTIFY, which costs nothing while nothing happens and reaches other processes within
# milliseconds. The poll is for what has no news: a retry or a claim that another process left.
POLL_S = 5

_TIMEOUT_S = 5
_PAUSE_S = 1  # before an outcome that could not be recorded is tried again
_PUBLISHED_AT_ONCE = _SETTLED_AT_ONCE = 100
_MOST_WAITING = 10_000  # more than all consumers of a process handle at once
_LEAST_PAUSE_S = 0.05  # while another process is just taking what is due

_DRIVER_FAILURES = (DBAPIError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError)


class EmbeddedBroker:
    """Several processes may use the same database, each with a broker of its own."""

    def __init__(self, database_url: URL, *, poll_s: float = POLL_S) -> None:
        self._url = database_url
        self._poll_s = poll_s
        self._database = Database(database_url, pool_size=3)
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._session: _Session | None = None
        self._opening = asyncio.Lock()
        self._consumers: list[_Consumer] = []
        self._consuming: set[asyncio.Task[None]] = set()
        self._publishing: Batcher[None, Message, None] = Batcher(
            self._publish, max_batch=_PUBLISHED_AT_ONCE, max_waiting=_MOST_WAITING
        )
        self._settling: Batcher[int, tuple[int, delivery.Failure | None], None] = Batcher(
            self._settle, max_batch=_SETTLED_AT_ONCE, max_waiting=_MOST_WAITING
        )

    async def publish(self, message: Message) -> None:
        """See Broker."""
        try:
            await self._publishing.submit(None, message)
        except TooManyWaiting as error:
            raise BrokerUnavailable from error

    async def _publish(
        self, _key: None, messages: Sequence[Message]
    ) -> Sequence[Unroutable | None]:
        """Store messages: all that came while the last ones were stored."""
        async with self._transaction() as tx:
            stored = await store.add(tx, messages)
        return [None if message.id in stored else Unroutable() for message in messages]

    async def consume(self, queue: Queue, handler: Handler) -> None:
        """See Broker."""
        await self._prepare()
        consumer = _Consumer(queue, handler)
        with suppress(BrokerUnavailable):
            async with self._transaction() as tx:
                await store.bind(tx, queue)
        self._consumers.append(consumer)
        work = partial(self._consume, consumer)
        task = asyncio.create_task(worker.repeat(f"consume {queue.name}", work))
        self._consuming.add(task)

    async def dead_letters(self, queue: Queue) -> int:
        """See Broker."""
        async with self._transaction() as tx:
            return await store.count_dead(tx, queue)

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
                    await store.create_tables(tx)
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
                await store.bind(tx, queue)
            if session is not consumer.session or consumer.look_for_orphans:
                await store.release_orphans(tx, queue)
            rows = await store.claim(tx, queue, session.owner, free)
            due_in_s = None if len(rows) == free else await store.next_due_in_s(tx, queue)
        consumer.session = session
        for row in rows:
            task = asyncio.create_task(self._handle(consumer, session, row))
            consumer.handling.add(task)
            task.add_done_callback(consumer.handled)
        if len(rows) == free and len(consumer.handling) < queue.concurrency:
            consumer.wake.set()  # there may be more, and there is room by now
        return (
            self._poll_s if due_in_s is None else _between(_LEAST_PAUSE_S, due_in_s, self._poll_s)
        )

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
                await self._settling.submit(session.owner, (row.position, failure))
            except Unavailable:
                if session.lost.is_set():
                    return  # the claim is void; the message comes again
                await asyncio.sleep(_PAUSE_S)
            else:
                if failure is not None:
                    consumer.wake.set()  # it may be due before the next poll
                return

    async def _settle(
        self, owner: int, handled: Sequence[tuple[int, delivery.Failure | None]]
    ) -> Sequence[None]:
        """Record what became of messages: of all that were handled while the last ones were."""
        async with self._transaction() as tx:
            await store.remove(tx, [position for position, each in handled if not each], owner)
            for position, failure in handled:
                if failure:
                    await store.set_aside(tx, position, owner, failure)
        return [None] * len(handled)


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
        is_full = len(self.handling) == self.queue.concurrency
        self.handling.discard(task)
        if is_full:  # otherwise there was room before, and nothing to fill it
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
            await driver.add_listener(store.NOTIFICATIONS, on_message)
            lock = select(func.pg_advisory_lock(store.OWNERS, session.owner))
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


def _between(low: float, value: float, high: float) -> float:
    return max(low, min(value, high))


async def _happens(event: asyncio.Event, timeout_s: float) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            return await event.wait()
    return False
