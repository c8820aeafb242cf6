"""ticket_service and payment_service, side by side, with a Stripe of their own."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import stripe
from sqlalchemy import text

from deploy.local.environment import SERVICES, free_port
from kit.database import Database, service_url
from kit.rpc_client import Mesh
from kit.service import Build, Host, Service, running
from kit.settings import Environment
from kit.tls import Identity
from payment_service.app import build as build_payment_service
from tests.integration.stripe_sandbox import support as stripe_sandbox
from tests.integration.stripe_sandbox.support import Sandbox
from tests.support.tokens import TokenIssuer
from ticket_service.app import build as build_ticket_service

BUILDS: Mapping[str, Build] = {
    "ticket_service": build_ticket_service,
    "payment_service": build_payment_service,
}


class Installation:
    """ticket_service and payment_service, each of which can be stopped and started again."""

    def __init__(
        self, database_url: str, tls_dir: Path, sandbox: Sandbox, issuer: TokenIssuer, users: str
    ) -> None:
        self.database_url = database_url
        self.tls_dir = tls_dir
        self.sandbox = sandbox
        self.issuer = issuer
        self.variables = {
            **{f"TESSERA_{name.upper()}_ADDRESS": f"127.0.0.1:{free_port()}" for name in SERVICES},
            "TESSERA_USER_SERVICE_ADDRESS": users,
            "TESSERA_TLS_DIR": str(tls_dir),
            "TESSERA_DATABASE_URL": database_url,
            "TESSERA_DATABASE_POOL": "5",
            "TESSERA_SECRET_KEY": "a-secret-of-the-tests-that-is-long-enough",
            "TESSERA_STRIPE_API_BASE": sandbox.url,
            "TESSERA_STRIPE_SECRET_KEY": sandbox.keys.secret_key,
            "TESSERA_STRIPE_PUBLISHABLE_KEY": sandbox.keys.publishable_key,
            "TESSERA_STRIPE_WEBHOOK_SECRET": sandbox.keys.webhook_secret,
        }
        self._meshes: dict[str, Mesh] = {}
        self._services: dict[str, AsyncExitStack] = {}
        self.hosts: dict[str, Host] = {}
        self._databases: dict[str, Database] = {}

    def mesh(self, name: str) -> Mesh:
        """Channels that call with this service's certificate."""
        if name not in self._meshes:
            identity = Identity.load(self.tls_dir, name)
            self._meshes[name] = Mesh(Environment(self.variables), identity)
        return self._meshes[name]

    def database(self, area: str) -> Database:
        """One service's database."""
        if area not in self._databases:
            url = service_url(self.database_url, area)
            self._databases[area] = Database(url, pool_size=5)
        return self._databases[area]

    async def start(self, name: str) -> None:
        async def build(host: Host) -> Service:
            self.hosts[name] = host
            return await BUILDS[name](host)

        self._services[name] = AsyncExitStack()
        service = running(name, build, Environment(self.variables))
        await self._services[name].enter_async_context(service)

    async def stop(self, name: str) -> None:
        await self._services.pop(name).aclose()

    async def close(self) -> None:
        for name in list(self._services)[::-1]:
            await self.stop(name)
        for mesh in self._meshes.values():
            await mesh.close()
        for database in self._databases.values():
            await database.close()

    async def execute(self, area: str, sql: str, **values: Any) -> Any:
        """Run one statement in a service's database; answers its rows, if it has any."""
        async with self.database(area).begin() as tx:
            result = await tx.execute(text(sql), values)
            return result.all() if result.returns_rows else []


@asynccontextmanager
async def installed(
    database_url: str, tls_dir: Path, data_dir: Path
) -> AsyncIterator[Installation]:
    """An installation whose services are still to be started, with a Stripe of its own."""
    transport = stripe.HTTPXClient(timeout=10)
    issuer, users = TokenIssuer(), f"127.0.0.1:{free_port()}"
    async with (
        stripe_sandbox.running(stripe_sandbox.settings(data_dir), transport) as sandbox,
        issuer.serving(users, tls_dir),
    ):
        installation = Installation(database_url, tls_dir, sandbox, issuer, users)
        try:
            yield installation
        finally:
            await installation.close()
            await transport.close_async()  # type: ignore[no-untyped-call]  # the SDK's
