"""A program whose handler never returns: for the test that kills it in the middle."""

import asyncio
import sys

from kit import brokers
from kit.broker import Message, Queue


async def main(amqp_url: str, database_url: str, service: str, routing_key: str) -> None:
    async def handle(message: Message) -> None:
        print(message.id, flush=True)  # noqa: T201 - the test waits for this line
        await asyncio.Event().wait()

    broker = brokers.connect(amqp_url, database_url)
    await broker.consume(Queue(service, routing_key, (), concurrency=1), handle)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
