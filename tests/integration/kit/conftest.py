"""A bench per kind of broker, on a shared server or on one that the test may kill."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.kit.support import Bench, PostgresServer, RabbitServer, Server
from tests.support.rabbitmq_node import RabbitNode


@pytest.fixture(params=["rabbitmq", "embedded"])
async def bench(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[Bench]:
    """The same test runs against each kind of broker."""
    amqp_url = request.getfixturevalue("amqp_url") if request.param == "rabbitmq" else ""
    bench = Bench(amqp_url, postgres_url)
    yield bench
    await bench.close()


@pytest.fixture(scope="module", params=["rabbitmq", "embedded"])
async def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    """A server that only this module's tests use, running."""
    # A short path, so that the server's socket has the same address each time it starts.
    with tempfile.TemporaryDirectory(prefix="tessera-") as directory:
        made: Server
        if request.param == "rabbitmq":
            request.getfixturevalue("amqp_url")  # skips, and says why, where there is no RabbitMQ
            node_directory = tmp_path_factory.mktemp("node")
            made = RabbitServer(RabbitNode(node_directory))
        else:
            made = PostgresServer(Path(directory))
        await made.start()
        yield made
        await made.kill()


@pytest.fixture
async def fragile(server: Server) -> AsyncIterator[Bench]:
    """A bench on the server that can be killed. A test that kills it starts it again."""
    bench = server.bench()
    yield bench
    await bench.close()
