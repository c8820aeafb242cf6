"""What the gateway's tests share."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.gateway.support import World, world


@pytest.fixture
async def gateway() -> AsyncIterator[World]:
    """A gateway with services that answer what the test says."""
    async with world() as started:
        yield started
