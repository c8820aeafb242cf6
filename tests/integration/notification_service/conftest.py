"""A post office of each test's own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.notification_service.support import PostOffice, surroundings


@pytest.fixture
async def closed_office(
    postgres_url: str, tls_dir: Path, tmp_path: Path
) -> AsyncIterator[PostOffice]:
    """Everything but notification_service."""
    async with surroundings(postgres_url, tls_dir, tmp_path / "mail") as office:
        yield office


@pytest.fixture
async def office(closed_office: PostOffice) -> AsyncIterator[PostOffice]:
    """Everything, with notification_service."""
    async with closed_office.open():
        yield closed_office
