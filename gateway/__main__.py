"""Starts the gateway as a process of its own; nothing else."""

import sys

from granian import Granian
from granian.constants import Interfaces

from gateway import contract
from gateway.routes import routes
from gateway.settings import Settings
from kit import open_files
from kit.auth import GATEWAY
from kit.rpc_client import Mesh
from kit.settings import Environment, InvalidSetting
from kit.tls import Identity

_GRACE_S = 5
_BACKLOG = 4096
# Granian counts connections, not requests: idle ones would keep others waiting for half a minute.
_MAX_CONNECTIONS = 16_384


def main() -> None:
    """Serve until SIGINT or SIGTERM; the requests at work are answered first."""
    open_files.allow_many()
    environment = Environment()
    try:
        settings = Settings.load(environment)
        mesh = Mesh(environment, Identity.load(environment.path("TLS_DIR"), GATEWAY))
        mesh.check({route.service for route in routes(contract.methods())})
    except InvalidSetting as error:
        sys.exit(str(error))
    Granian(
        "gateway.app:create",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        workers_kill_timeout=settings.call_timeout_s + _GRACE_S,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
