"""What only RabbitMQ can do wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import pytest

from kit.amqp import AmqpBroker
from kit.broker import BrokerUnavailable, Queue
from kit.settings import InvalidSetting
from tests.integration.kit.support import Bench, Recorder, eventually


@pytest.fixture
async def bench(amqp_url: str) -> AsyncIterator[Bench]:
    bench = Bench(amqp_url, "")
    yield bench
    await bench.close()


@pytest.fixture
async def silent_url() -> AsyncIterator[str]:
    """The address of a server that takes connections and never says a word."""
    writers = []

    def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    silent = await asyncio.start_server(take, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    yield f"amqp://tessera:tessera@127.0.0.1:{port}/"
    for writer in writers:
        writer.close()
    silent.close()


@asynccontextmanager
async def connected(url: str, publish_timeout_s: float = 5) -> AsyncIterator[AmqpBroker]:
    broker = AmqpBroker(url, publish_timeout_s=publish_timeout_s)
    try:
        yield broker
    finally:
        await broker.close()


@asynccontextmanager
async def channel_to(bench: Bench) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A way past the broker under test."""
    async with await aio_pika.connect(bench.amqp_url) as connection:
        channel = connection.channel()
        await channel.initialize()
        yield channel


@pytest.mark.parametrize(
    "url",
    [
        "",
        "rabbit",
        "http://user:secret@host/",
        "amqp://",
        "amqp://user:secret@host:port/",
        "amqp:/",
    ],
)
def test_address_that_cannot_be_one_is_said_in_a_sentence_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_AMQP_URL is not the address") as caught:
        AmqpBroker(url)
    assert "secret" not in str(caught.value)


async def test_wrong_password_is_said_in_a_sentence(amqp_url: str) -> None:
    async with connected(amqp_url.replace(":tessera@", ":wrong@")) as broker:
        with pytest.raises(InvalidSetting, match="user name and password"):
            await broker.consume(Queue("one_service", "thing.done"), Recorder())
        with pytest.raises(BrokerUnavailable, match="user name and password"):
            await broker.publish(Bench("", "").message())


async def test_unknown_virtual_host_is_said_in_a_sentence(amqp_url: str) -> None:
    async with connected(amqp_url.rsplit("/", 1)[0] + "/nowhere") as broker:
        with pytest.raises(InvalidSetting, match="does not open the virtual host"):
            await broker.consume(Queue("one_service", "thing.done"), Recorder())


async def test_queue_that_exists_with_other_properties_is_said_in_a_sentence(bench: Bench) -> None:
    queue = bench.queue()
    async with channel_to(bench) as channel:
        await channel.declare_queue(queue.name, durable=True)

    with pytest.raises(InvalidSetting, match=r"other properties.*one_service"):
        await bench.broker().consume(queue, Recorder())


async def test_silent_server_does_not_hold_up_the_publisher(silent_url: str) -> None:
    async with connected(silent_url, publish_timeout_s=0.1) as broker:
        for _ in range(2):
            with pytest.raises(BrokerUnavailable):
                await broker.publish(Bench("", "").message())


async def test_closed_channel_is_opened_again(bench: Bench) -> None:
    recorder, broker = Recorder(), bench.broker()
    await broker.consume(bench.queue(), recorder)
    await broker.publish(bench.message(1))
    assert await broker.dead_letters(Queue("no", "such.queue")) == 0
    await broker.publish(bench.message(2))
    assert sorted(await recorder.next_ids(2)) == ["msg_1", "msg_2"]


async def test_deleted_queue_is_declared_again(bench: Bench) -> None:
    queue, recorder = bench.queue(), Recorder()
    await bench.broker().consume(queue, recorder)
    async with channel_to(bench) as channel:
        await channel.queue_delete(queue.name)

    await eventually(lambda: bench.published(1))
    assert await recorder.next_ids(1) == ["msg_1"]


async def test_message_that_is_given_back_again_and_again_rests(bench: Bench) -> None:
    queue, first_run = bench.queue(), bench.broker()
    await first_run.consume(queue, Recorder())
    await first_run.close()
    await bench.observer.publish(bench.message())

    async with channel_to(bench) as channel:
        source = await channel.get_queue(queue.name, ensure=False)

        async def given_back_until_it_rests() -> bool:
            if message := await source.get(fail=False):
                await message.nack(requeue=True)
            return await bench.rest(queue, 1)

        await eventually(given_back_until_it_rests)
