"""One ticket_service, in three replicas, per test worker; each test has organizers of its own."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.environment import free_port
from deploy.local.postgres import EmbeddedPostgres
from kit.database import Database, service_url
from tests.integration.ticket_service.support import Organizer, Shop, TicketApi
from tests.integration.ticket_service.vouchers import Vouchers
from tests.support.invariants import assert_invariants
from tests.support.services import running_services
from tests.support.tokens import TokenIssuer
from ticket_service.app import build


@pytest.fixture(scope="session")
async def running_shop(postgres: EmbeddedPostgres, tls_dir: Path) -> AsyncIterator[Shop]:
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    issuer, users = TokenIssuer(), f"127.0.0.1:{free_port()}"
    vouchers, payments = Vouchers(), f"127.0.0.1:{free_port()}"  # type: ignore[abstract]
    variables = {
        "TESSERA_DATABASE_URL": url,
        "TESSERA_DATABASE_POOL": "10",
        "TESSERA_USER_SERVICE_ADDRESS": users,
        "TESSERA_PAYMENT_SERVICE_ADDRESS": payments,
    }
    hasty = {**variables, "TESSERA_HOLD_SECONDS": "1"}
    database = Database(service_url(url, "ticket"), pool_size=5)
    async with (
        issuer.serving(users, tls_dir),
        vouchers.serving(payments, tls_dir, issuer),
        running_services({"ticket_service": build}, variables, tls_dir) as first,
        running_services({"ticket_service": build}, variables, tls_dir) as second,
        running_services({"ticket_service": build}, hasty, tls_dir) as third,
    ):
        yield Shop(
            public=TicketApi(first.as_service("gateway").channel("ticket_service")),
            twin=TicketApi(second.as_service("gateway").channel("ticket_service")),
            hasty=TicketApi(third.as_service("gateway").channel("ticket_service")),
            internal=TicketApi(first.as_service("payment_service").channel("ticket_service")),
            issuer=issuer,
            vouchers=vouchers,
            database=database,
            database_url=url,
        )
        await database.close()


@pytest.fixture
async def shop(running_shop: Shop) -> AsyncIterator[Shop]:
    """After each test, every invariant still holds."""
    yield running_shop
    await assert_invariants(running_shop.database_url, "ticket")


@pytest.fixture
def organizer(shop: Shop) -> Organizer:
    return shop.organizer()
