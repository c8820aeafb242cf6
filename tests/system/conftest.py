"""The mesh that most tests share: all parts in one process, with a real RabbitMQ."""

from collections.abc import AsyncIterator

import pytest

from tests.support.mesh import LocalMesh
from tests.support.shop import Json, Shop


@pytest.fixture(scope="session")
async def mesh(tmp_path_factory: pytest.TempPathFactory, amqp_url: str) -> AsyncIterator[LocalMesh]:
    """A running mesh, one for all tests of this worker: each brings an organizer of its own."""
    made = LocalMesh(tmp_path_factory.mktemp("mesh"), settings={"TESSERA_AMQP_URL": amqp_url})
    await made.start()
    yield made
    await made.close()


@pytest.fixture(scope="module")
async def organizer(mesh: LocalMesh) -> Shop:
    """An organizer with a signed-in admin."""
    return await Shop.open(mesh)


@pytest.fixture(scope="module")
async def event(organizer: Shop) -> Json:
    """An event on sale: one ticket type, at most ten in one order."""
    return await organizer.event()
