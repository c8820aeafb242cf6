"""A mesh for each module: all parts in one process, with a real RabbitMQ."""

from collections.abc import AsyncIterator

import pytest

from tests.support.mesh import LocalMesh


@pytest.fixture(scope="module")
async def mesh(tmp_path_factory: pytest.TempPathFactory, amqp_url: str) -> AsyncIterator[LocalMesh]:
    """A running mesh."""
    made = LocalMesh(tmp_path_factory.mktemp("mesh"), settings={"TESSERA_AMQP_URL": amqp_url})
    await made.start()
    yield made
    await made.close()
