"""Runs services inside a test: real gRPC with mTLS, real PostgreSQL, in the test's event loop."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.environment import SERVICES, free_port
from kit.rpc_client import Mesh
from kit.service import Build, running
from kit.settings import Environment
from kit.tls import Identity


@dataclass(frozen=True, slots=True)
class TestMesh:
    """Where services run and how to call them, as any of them."""

    __test__ = False

    variables: dict[str, str]
    tls_dir: Path
    clients: dict[str, Mesh] = field(default_factory=dict)

    def as_service(self, name: str) -> Mesh:
        """Channels that call with this service's certificate."""
        if name not in self.clients:
            identity = Identity.load(self.tls_dir, name)
            self.clients[name] = Mesh(Environment(self.variables), identity)
        return self.clients[name]


@asynccontextmanager
async def running_services(
    builds: dict[str, Build], variables: dict[str, str], tls_dir: Path
) -> AsyncIterator[TestMesh]:
    """Start services in the order given; stop them in reverse."""
    everything = {
        **{f"TESSERA_{name.upper()}_ADDRESS": f"127.0.0.1:{free_port()}" for name in SERVICES},
        "TESSERA_TLS_DIR": str(tls_dir),
        "TESSERA_DATABASE_POOL": "5",
        "TESSERA_SECRET_KEY": "a-secret-of-the-tests-that-is-long-enough",
        **variables,
    }
    mesh = TestMesh(everything, tls_dir)
    async with AsyncExitStack() as stack:
        for name, build in builds.items():
            await stack.enter_async_context(running(name, build, Environment(everything)))
        yield mesh
        for client in mesh.clients.values():
            await client.close()
