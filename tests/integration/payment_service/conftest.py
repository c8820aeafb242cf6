"""One installation per test worker; each test has an organizer of its own."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.postgres import EmbeddedPostgres
from tests.integration.payment_service.auditing import Auditor, auditing, left_to_heal
from tests.integration.payment_service.bookkeeping import Books, open_books
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import Shop, open_shop


@pytest.fixture(scope="session")
async def running_shop(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with (
        installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation,
        open_shop(installation) as shop,
    ):
        yield shop
        assert await left_to_heal(shop) == []


@pytest.fixture
async def shop(running_shop: Shop) -> AsyncIterator[Shop]:
    """After each test nothing goes wrong any more, and every invariant holds once all is quiet."""
    yield replace(running_shop, organizer_id=f"org_{uuid.uuid4().hex}")
    await running_shop.sandbox.clear_faults()
    await running_shop.settled()


@pytest.fixture
async def books(postgres: EmbeddedPostgres) -> AsyncIterator[Books]:
    """Empty books, without a service."""
    async with open_books(postgres.url) as books:
        yield books


@pytest.fixture(scope="session")
async def audited_shop(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    """A shop in which no other test leaves charges lying about."""
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation:
        installation.variables["TESSERA_RECONCILIATION_PATIENCE_S"] = "1"
        async with open_shop(installation) as shop:
            yield shop


@pytest.fixture
async def auditor(audited_shop: Shop) -> AsyncIterator[Auditor]:
    async with auditing(audited_shop) as auditor:
        yield auditor
