"""What tests share: one embedded PostgreSQL and one mesh authority per test run."""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.local import postgres as embedded
from deploy.local.certificates import ensure_certificates
from deploy.local.environment import SERVICES
from tests.support.rabbitmq import url_for_tests


@pytest.fixture(scope="session")
async def postgres(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[embedded.EmbeddedPostgres]:
    """An embedded PostgreSQL of this worker's own, not durable: nobody pulls its plug."""
    server = await embedded.start(tmp_path_factory.mktemp("postgres"), durable=False)
    yield server
    await server.stop()


@pytest.fixture
def postgres_url(postgres: embedded.EmbeddedPostgres) -> str:
    """A database address of this test's own: services append their name to it."""
    return postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")


@pytest.fixture(scope="session")
def tls_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of a mesh."""
    directory = tmp_path_factory.mktemp("tls")
    ensure_certificates(directory, ("gateway", *SERVICES))
    return directory


@pytest.fixture(scope="session")
def amqp_url(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[str]:
    """A virtual host of this worker's own in a real RabbitMQ."""
    with url_for_tests(tmp_path_factory.getbasetemp(), worker_id) as url:
        yield url
