"""A service's gRPC server and the port it listens on."""

from pathlib import Path

import pytest

from deploy.local.environment import free_port
from kit.auth import TokenVerifier
from kit.rpc_server import Guard, Server
from kit.settings import InvalidSetting
from kit.tls import Identity
from tests.support.tokens import TokenIssuer


async def test_a_second_server_does_not_share_the_port_of_the_first(tls_dir: Path) -> None:
    identity = Identity.load(tls_dir, "ticket_service")
    guard = Guard(TokenVerifier(TokenIssuer().keys))
    address = f"127.0.0.1:{free_port()}"
    first, second = Server(identity, guard, []), Server(identity, guard, [])
    await first.start(address)
    with pytest.raises(InvalidSetting, match="is the port in use"):
        await second.start(address)
    await first.stop(0)
