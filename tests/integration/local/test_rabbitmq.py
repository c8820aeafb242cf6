"""The RabbitMQ that tests get: a real one, alone, and gone afterwards."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aio_pika
import pytest

from tests.support.rabbitmq import (
    RabbitMQUnavailable,
    RabbitNode,
    shared_url,
    skip_without_rabbitmq,
)
from tests.support.rabbitmq_node import find_script

ROOT = Path(__file__).parents[3]


async def publish(url: str, queue_name: str, body: bytes) -> None:
    """Declare a durable queue and send it a message; returns when that is confirmed."""
    async with await aio_pika.connect(url, timeout=10) as connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(queue_name, durable=True)
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)


async def take(url: str, queue_name: str) -> bytes:
    async with await aio_pika.connect(url, timeout=10) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(queue_name, passive=True)
        message = await queue.get(timeout=10)
        await message.ack()
        return message.body


def listens(url: str) -> bool:
    port = int(url.rsplit(":", 1)[1].split("/", 1)[0])
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def until_gone(url: str) -> None:
    async with asyncio.timeout(30):
        while listens(url):
            await asyncio.sleep(0.05)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[RabbitNode]:
    """A node of this test's own."""
    node = RabbitNode(tmp_path / "node", vhosts=("first", "second"))
    with skip_without_rabbitmq():
        await node.start()
    yield node
    await node.kill()


@pytest.fixture
def no_other_rabbitmq(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TESSERA_AMQP_URL", raising=False)
    with skip_without_rabbitmq():
        find_script()


@contextlib.contextmanager
def other_worker(run_directory: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that uses the shared node of `run_directory` until killed, and its address."""
    code = (
        "import sys, pathlib\n"
        "from tests.support.rabbitmq import shared_url\n"
        "with shared_url(pathlib.Path(sys.argv[1]), 'master') as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run_directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout
        yield process, process.stdout.readline().strip()
        process.kill()


async def test_a_published_message_is_confirmed_and_delivered(amqp_url: str) -> None:
    await publish(amqp_url, "confirmed", b"hello")
    assert await take(amqp_url, "confirmed") == b"hello"


async def test_a_durable_message_survives_kill_and_start_at_the_same_address(
    node: RabbitNode,
) -> None:
    address = node.url
    await publish(address, "durable", b"first")  # which declares the queue:
    await node.stop()  # RabbitMQ writes that down a moment later, or when it stops
    await node.start()
    assert await take(address, "durable") == b"first"
    await publish(address, "durable", b"still here")
    await node.kill()
    assert not listens(address)
    await node.start()
    assert node.url == address
    assert await take(address, "durable") == b"still here"


async def test_virtual_hosts_do_not_see_each_other_and_a_stopped_node_is_gone(
    node: RabbitNode,
) -> None:
    await publish(node.url_of("first"), "mine", b"hello")
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await take(node.url_of("second"), "mine")
    await node.stop()
    assert not listens(node.url)


@pytest.mark.usefixtures("no_other_rabbitmq")
def test_workers_share_a_node_which_ends_with_the_last_of_them(tmp_path: Path) -> None:
    with other_worker(tmp_path) as (process, first_address):
        with shared_url(tmp_path, "master") as address:
            assert address == first_address
            process.kill()
            process.wait()
            assert listens(address)
        assert not listens(address)


@pytest.mark.usefixtures("no_other_rabbitmq")
async def test_a_killed_worker_leaves_no_node_behind_and_the_next_gets_a_new_one(
    tmp_path: Path,
) -> None:
    with other_worker(tmp_path) as (process, address):
        process.kill()
        process.wait()
        await until_gone(address)
    with shared_url(tmp_path, "master") as address:
        await publish(address, "anything", b"hello")


def test_one_virtual_host_is_not_shared_by_several_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSERA_AMQP_URL", "amqp://guest:guest@localhost/")
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    with pytest.raises(RabbitMQUnavailable, match="-n 0"), shared_url(tmp_path, "gw0"):
        pass
