"""RabbitMQ (3.10 or later) as the broker: confirms, quorum queues, delayed retries."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
    PublishError,
)

from kit import delivery, worker
from kit.broker import EXCHANGE, BrokerUnavailable, Handler, Message, Queue, Unroutable
from kit.settings import InvalidSetting

PUBLISH_TIMEOUT_S = 5
_CONNECT_TIMEOUT_S = 5
_DECLARE_TIMEOUT_S = 30  # seven quorum queues, each written to disk
_SERVE_TIMEOUT_S = 10
_CLOSE_TIMEOUT_S = 5
_PAUSE_S = 1  # before a message that could not be set aside goes back to its queue
_HEARTBEAT_S = 15

_FAILURES = "tessera-failures"
_LAST_ERROR = "tessera-last-error"
_NOT_THE_MESSAGES = ("tessera-", "x-")  # headers that this file or RabbitMQ adds

# They report every attempt to connect as an error; this file does so once, as a warning.
logging.getLogger("aiormq").setLevel(logging.CRITICAL)
logging.getLogger("aio_pika").setLevel(logging.CRITICAL)


class BrokerRefused(BrokerUnavailable):
    """RabbitMQ answers, but does not let us do this."""


class AmqpBroker:
    """Connects when first needed, and again whenever the connection was lost.

    Publishing and consuming have a connection each: RabbitMQ that is short of memory stops reading
    from those that publish, and acknowledgements must still reach it then. Nothing of aio-pika's
    "robust" kind is used: it can wait without end for a connection.
    """

    def __init__(self, url: str, *, publish_timeout_s: float = PUBLISH_TIMEOUT_S) -> None:
        """Raises InvalidSetting when this cannot be the address of a RabbitMQ."""
        _check(url)
        self._publish_timeout_s = publish_timeout_s
        self._publishing = _Link(url)
        self._consuming = _Link(url)
        self._publisher: AbstractChannel | None = None
        self._publisher_lock = asyncio.Lock()
        self._consumers: set[asyncio.Task[None]] = set()
        self._handlers: set[asyncio.Task[None]] = set()

    async def publish(self, message: Message) -> None:
        """See Broker."""
        await self._send(EXCHANGE, message.routing_key, _to_amqp(message, {}))

    async def consume(self, queue: Queue, handler: Handler) -> None:
        """See Broker."""
        started = asyncio.get_running_loop().create_future()
        work = partial(self._consume, queue, handler, started)
        task = asyncio.create_task(worker.repeat(f"consume {queue.name}", work))
        self._consumers.add(task)
        try:
            await started
        except BrokerRefused as error:
            await delivery.stop([task])
            raise InvalidSetting(error.message) from error
        except BrokerUnavailable:
            return  # it goes on trying

    async def dead_letters(self, queue: Queue) -> int:
        """See Broker."""
        try:
            async with _guarded(self._publish_timeout_s):
                connection = await self._publishing.connection()
                async with connection.channel() as channel:
                    dead = await channel.declare_queue(queue.dead_name, passive=True)
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, ChannelNotFoundEntity):
                return 0
            raise
        return dead.declaration_result.message_count or 0

    async def close(self) -> None:
        """See Broker."""
        await delivery.stop(self._consumers)
        await delivery.finish(self._handlers)
        await self._consuming.close()
        await self._publishing.close()

    async def _send(self, exchange: str, routing_key: str, message: aio_pika.Message) -> None:
        """Publish, and return once RabbitMQ has confirmed that a queue has the message."""
        try:
            async with _guarded(self._publish_timeout_s):
                channel = await self._publisher_channel()
                target = await channel.get_exchange(exchange, ensure=False)
                await target.publish(message, routing_key, mandatory=True)
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                self._publishing.abandon()  # it may only seem to be connected
            raise

    async def _publisher_channel(self) -> AbstractChannel:
        async with self._publisher_lock:
            connection = await self._publishing.connection()
            if self._publisher is None or self._publisher.is_closed:
                channel = connection.channel(publisher_confirms=True, on_return_raises=True)
                await channel.initialize()
                await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
                self._publisher = channel
            return self._publisher

    async def _consume(
        self, queue: Queue, handler: Handler, started: "asyncio.Future[None]"
    ) -> None:
        """Have messages handled until the channel or the queue is gone, and say so.

        `started` learns how the first attempt went. Each attempt declares everything again, because
        a quorum queue that is as young as a second may not survive RabbitMQ being killed.
        """
        lost = asyncio.Event()
        try:
            channel, source, consumer_tag = await self._begin(queue, handler, lost)
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                self._consuming.abandon()
            if not started.done():
                started.set_exception(error)
            raise
        if not started.done():
            started.set_result(None)
        try:
            await lost.wait()
        except asyncio.CancelledError:
            # Take no more; the running handlers still acknowledge through this channel.
            with suppress(BrokerUnavailable):
                async with _guarded(_CLOSE_TIMEOUT_S):
                    await source.cancel(consumer_tag)
            raise
        async with _guarded(_CLOSE_TIMEOUT_S):
            await channel.close()
        raise BrokerUnavailable(f"RabbitMQ no longer delivers from {queue.name}.")

    async def _begin(
        self, queue: Queue, handler: Handler, lost: asyncio.Event
    ) -> tuple[AbstractChannel, AbstractQueue, str]:
        """Declare everything and begin to consume; the answer ends with the consumer's tag."""
        async with _guarded(_DECLARE_TIMEOUT_S):
            channel = (await self._consuming.connection()).channel()
            await channel.initialize()
            source = await _declare(channel, queue)
            await channel.set_qos(prefetch_count=queue.concurrency)
            channel.close_callbacks.add(lambda *_: lost.set())
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda _: lost.set())
            try:
                async with asyncio.timeout(_SERVE_TIMEOUT_S):
                    tag = await source.consume(partial(self._take, queue, handler))
            except TimeoutError as error:
                raise BrokerUnavailable(
                    f"RabbitMQ lists the queue {queue.name} but does not serve it. If that goes "
                    "on, delete it: RabbitMQ was killed within a second of its first declaration."
                ) from error
        return channel, source, tag

    async def _take(
        self, queue: Queue, handler: Handler, incoming: AbstractIncomingMessage
    ) -> None:
        # A task of our own: aiormq cancels its tasks, in the middle of the work, when the
        # connection is lost.
        task = asyncio.create_task(self._handle(queue, handler, incoming))
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)

    async def _handle(
        self, queue: Queue, handler: Handler, incoming: AbstractIncomingMessage
    ) -> None:
        message = _from_amqp(queue, incoming)
        failures = _failures(incoming)
        failure = await delivery.deliver(queue, handler, message, failures)
        try:
            if failure is not None:
                await self._set_aside(queue, message, failures + 1, failure)
            async with _guarded(_CLOSE_TIMEOUT_S):
                await incoming.ack()
        except BrokerUnavailable:
            # If this connection is lost too, the message has gone back to its queue already.
            await asyncio.sleep(_PAUSE_S)
            with suppress(BrokerUnavailable):
                async with _guarded(_CLOSE_TIMEOUT_S):
                    await incoming.nack(requeue=True)

    async def _set_aside(
        self, queue: Queue, message: Message, failures: int, failure: delivery.Failure
    ) -> None:
        """Put a copy where it waits for its next attempt, or for a person."""
        delay_s = failure.retry_in_s
        target = queue.dead_name if delay_s is None else _retry_name(queue, delay_s)
        notes: dict[str, str | int] = {_FAILURES: failures, _LAST_ERROR: failure.error}
        await self._send("", target, _to_amqp(message, notes))


class _Link:
    """A connection to RabbitMQ, made when it is needed and not there."""

    def __init__(self, url: str) -> None:
        query = parse_qs(urlsplit(url).query)
        self._url = url
        self._defaults: dict[str, Any] = {} if "heartbeat" in query else {"heartbeat": _HEARTBEAT_S}
        self._connection: AbstractConnection | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    async def connection(self) -> AbstractConnection:
        async with self._lock:
            if self._connection is not None and not self._connection.connected.is_set():
                self.abandon()
            if self._connection is None:
                self._connection = await aio_pika.connect(
                    self._url, timeout=_CONNECT_TIMEOUT_S, **self._defaults
                )
            return self._connection

    def abandon(self) -> None:
        """Let the next one who asks have a new connection; see this one off in the background."""
        if self._connection is not None:
            task = asyncio.create_task(_close(self._connection))
            self._connection = None
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        self.abandon()
        await asyncio.gather(*self._closing)


async def _close(connection: AbstractConnection) -> None:
    with suppress(BrokerUnavailable):
        async with _guarded(_CLOSE_TIMEOUT_S):
            # Said explicitly, because aiormq ends pending waits with this error: by default it
            # would be CancelledError, and look as if the waiting task were cancelled.
            await connection.close(ConnectionClosed(0, "closed by us"))


@asynccontextmanager
async def _guarded(timeout_s: float) -> AsyncIterator[None]:
    """A time limit, and every way in which RabbitMQ can fail as BrokerUnavailable."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise BrokerRefused(
            "RabbitMQ does not accept the user name and password of TESSERA_AMQP_URL."
        ) from error
    except ChannelPreconditionFailed as error:
        raise BrokerRefused(f"RabbitMQ has this queue with other properties: {error}") from error
    except PublishError as error:
        raise Unroutable from error
    except InvalidFrameError as error:  # aiormq's answer to "close" where it hoped for "open"
        raise BrokerRefused(
            "RabbitMQ does not open the virtual host (the path) of TESSERA_AMQP_URL to this user."
        ) from error
    except CONNECTION_EXCEPTIONS as error:  # among them, TimeoutError is an OSError
        raise BrokerUnavailable(f"RabbitMQ is away: {delivery.describe(error)}.") from error
    except asyncio.CancelledError as error:
        if delivery.being_cancelled():
            raise
        raise BrokerUnavailable from error  # how aiormq ends waits on a connection it found dead


async def _declare(channel: AbstractChannel, queue: Queue) -> AbstractQueue:
    """Declare the queue with its binding, its retry queues and its dead letters.

    One retry queue per delay, because a queue looks only at the age of its first message.
    """
    exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
    await channel.declare_queue(queue.dead_name, durable=True, arguments={"x-queue-type": "quorum"})
    for delay_s in queue.retry_delays_s:
        await channel.declare_queue(
            _retry_name(queue, delay_s),
            durable=True,
            arguments={**_passing_on_to(queue.name), "x-message-ttl": _milliseconds(delay_s)},
        )
    declared = await channel.declare_queue(
        queue.name,
        durable=True,
        arguments={
            **_passing_on_to(queue.dead_name),
            "x-delivery-limit": delivery.DELIVERY_LIMIT,
        },
    )
    await declared.bind(exchange, queue.routing_key)
    return declared


def _passing_on_to(target: str) -> dict[str, str | int]:
    """Arguments of a quorum queue whose expired or rejected messages go to another, confirmed.

    https://www.rabbitmq.com/docs/quorum-queues#activating-at-least-once-dead-lettering
    """
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def _retry_name(queue: Queue, delay_s: float) -> str:
    return f"{queue.name}.retry.{_milliseconds(delay_s)}"


def _milliseconds(delay_s: float) -> int:
    return round(delay_s * 1000)


def _to_amqp(message: Message, notes: Mapping[str, str | int]) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        headers={**message.headers, **notes},
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.id,
        type=message.type,
    )


def _from_amqp(queue: Queue, incoming: AbstractIncomingMessage) -> Message:
    return Message(
        id=incoming.message_id or "",
        routing_key=queue.routing_key,  # the incoming one changes on the way through a retry queue
        type=incoming.type or "",
        body=incoming.body,
        headers={
            name: value
            for name, value in incoming.headers.items()
            if isinstance(value, str) and not name.startswith(_NOT_THE_MESSAGES)
        },
    )


def _failures(incoming: AbstractIncomingMessage) -> int:
    count = incoming.headers.get(_FAILURES)
    return count if isinstance(count, int) else 0


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"amqp", "amqps"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidSetting(
            "TESSERA_AMQP_URL is not the address of a RabbitMQ: "
            "write amqp://user:password@host:5672/."
        )
