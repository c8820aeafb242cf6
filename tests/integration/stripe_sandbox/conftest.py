"""One sandbox and one shop for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import stripe

from deploy.local.environment import free_port
from deploy.local.stripe_sandbox import load_keys
from tests.integration.stripe_sandbox.support import (
    Sandbox,
    Shop,
    running,
    served,
    settings,
)

HERE = Path(__file__).parent
# The SDK hands its encoded body to httpx in a way that httpx would rather see done differently.
SDK_WARNING = "ignore:Use 'content=<...>' to upload raw bytes/text content:DeprecationWarning"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings(SDK_WARNING))


@pytest.fixture(scope="session")
async def transport() -> AsyncIterator[stripe.HTTPXClient]:
    client = stripe.HTTPXClient(timeout=10)
    yield client
    await client.close_async()  # type: ignore[no-untyped-call] # the SDK leaves it untyped


@pytest.fixture
async def sandbox(tmp_path: Path, transport: stripe.HTTPXClient) -> AsyncIterator[Sandbox]:
    async with running(settings(tmp_path), transport) as running_sandbox:
        yield running_sandbox


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Listens, with the webhook secret of the sandbox that `tmp_path` belongs to."""
    receiver = Shop(free_port(), load_keys(settings(tmp_path)).webhook_secret)
    async with served(receiver.app(), receiver.port):
        yield receiver


@pytest.fixture
async def connected(
    tmp_path: Path, shop: Shop, transport: stripe.HTTPXClient
) -> AsyncIterator[Sandbox]:
    """A sandbox that sends its webhooks to `shop`."""
    async with running(settings(tmp_path, shop.url), transport) as running_sandbox:
        yield running_sandbox
