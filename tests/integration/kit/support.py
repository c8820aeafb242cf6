"""Brokers of both kinds, servers that can be killed, and handlers that remember."""

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aio_pika

from deploy.local import postgres as embedded
from kit import brokers
from kit.broker import Broker, BrokerUnavailable, Message, Queue
from tests.support.rabbitmq import RabbitNode

PATIENCE_S = 60


class Recorder:
    """A handler that keeps what it gets; `respond` may raise, wait or kill."""

    def __init__(self, respond: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self._respond = respond
        self._arrivals: asyncio.Queue[Message] = asyncio.Queue()

    async def __call__(self, message: Message) -> None:
        self._arrivals.put_nowait(message)
        if self._respond:
            await self._respond(message)

    async def next(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            return await self._arrivals.get()

    async def next_ids(self, count: int) -> list[str]:
        return [(await self.next()).id for _ in range(count)]

    async def until(self, message_id: str) -> None:
        """Wait for this message, past others that an outage may have brought twice."""
        while (await self.next()).id != message_id:
            pass

    @property
    def idle(self) -> bool:
        """Whether there is nothing that `next` has not given out."""
        return self._arrivals.empty()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.02)


@dataclass(slots=True)
class Bench:
    """Makes brokers on one server, and queues and messages that no other test uses."""

    amqp_url: str
    database_url: str
    routing_key: str = field(default_factory=lambda: f"thing.done_{uuid.uuid4().hex[:12]}")
    _made: list[Broker] = field(default_factory=list)
    _queues: list[Queue] = field(default_factory=list)
    _observer: Broker | None = None

    def broker(self) -> Broker:
        made = brokers.connect(self.amqp_url, self.database_url)
        self._made.append(made)
        return made

    def queue(
        self,
        service: str = "one_service",
        *,
        retry_delays_s: tuple[float, ...] = (),
        concurrency: int = 10,
        handler_timeout_s: float = PATIENCE_S,
    ) -> Queue:
        made = Queue(service, self.routing_key, retry_delays_s, concurrency, handler_timeout_s)
        self._queues.append(made)
        return made

    def message(self, number: int = 1, **headers: str) -> Message:
        return Message(
            id=f"msg_{number}",
            routing_key=self.routing_key,
            type="tessera.test.v1.ThingDone",
            body=b'{"number": %d}' % number,
            headers=headers,
        )

    @property
    def observer(self) -> Broker:
        """A broker that consumes nothing."""
        self._observer = self._observer or self.broker()
        return self._observer

    async def published(self, number: int) -> bool:
        """Publish a message; whether the broker took it."""
        try:
            await self.observer.publish(self.message(number))
        except BrokerUnavailable:
            return False
        return True

    async def rest(self, queue: Queue, count: int) -> bool:
        """Whether the broker answers that this many messages rest in the queue's dead letters."""
        try:
            return await self.observer.dead_letters(queue) == count
        except BrokerUnavailable:
            return False

    async def close(self) -> None:
        for broker in self._made:
            await broker.close()
        if self.amqp_url:
            await self._delete_queues()

    async def _delete_queues(self) -> None:
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = connection.channel()
            await channel.initialize()
            for queue in self._queues:
                retries = [f"{queue.name}.retry.{s * 1000:.0f}" for s in queue.retry_delays_s]
                for name in (queue.name, queue.dead_name, *retries):
                    await channel.queue_delete(name)


class Server(Protocol):
    """What a broker depends on; it can die and come back."""

    async def settle(self) -> None:
        """Wait until queues that were just declared survive `kill`."""

    async def kill(self) -> None: ...

    async def start(self) -> None: ...

    def bench(self) -> Bench: ...


@dataclass(slots=True)
class RabbitServer:
    node: RabbitNode

    async def settle(self) -> None:
        await self.node.settle()

    async def kill(self) -> None:
        await self.node.kill()

    async def start(self) -> None:
        await self.node.start()

    def bench(self) -> Bench:
        return Bench(self.node.url, "")


class PostgresServer:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server: embedded.EmbeddedPostgres | None = None

    async def settle(self) -> None:
        pass

    async def kill(self) -> None:
        if self._server:
            os.kill(self._server.pid, signal.SIGKILL)
            await self._server.wait()
            await self._server.stop()

    async def start(self) -> None:
        self._server = await embedded.start(self._directory)

    def bench(self) -> Bench:
        assert self._server
        return Bench("", self._server.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?"))
