"""Where user_service is put together."""

import asyncio

from tessera.user.v1 import session_service_pb2_grpc, user_service_pb2_grpc

from kit import auth
from kit.rpc_server import Guard
from kit.service import Host, Service
from user_service.passwords import Passwords
from user_service.sealing import Seal
from user_service.sessions import operations as sessions
from user_service.sessions.operations import Issuer
from user_service.sessions.rpc import SessionService
from user_service.settings import Settings
from user_service.signing_keys import operations as signing_keys
from user_service.users import operations as users
from user_service.users.rpc import UserService

TIDIED_EVERY_S = 3600


async def build(host: Host) -> Service:
    """Everything, wired once; at first start also the signing key and the superadmin."""
    settings, database = Settings.read(host.environment), host.database
    seal = Seal(settings.secret_key)
    passwords = Passwords(at_once=settings.hashes_at_once)
    issuer = Issuer(seal, settings.refresh_token_lifetime)

    async def rotate_keys() -> None:
        await signing_keys.rotate(database, seal, settings.signing_key_lifetime)

    async def rotate_keys_hourly() -> None:
        await rotate_keys()
        await asyncio.sleep(TIDIED_EVERY_S)

    async def forget_old_hourly() -> None:
        await sessions.forget_old(database)
        await asyncio.sleep(TIDIED_EVERY_S)

    async def stop() -> None:
        passwords.close()

    await rotate_keys()
    await users.ensure_superadmin(database, passwords, settings.superadmin)

    # Other services ask for the keys by RPC; this one has them.
    verifier = auth.TokenVerifier(lambda: signing_keys.public_keys(database))
    return Service(
        servicers=[
            (
                UserService(database, passwords, seal),
                user_service_pb2_grpc.add_UserServiceServicer_to_server,
            ),
            (
                SessionService(database, passwords, issuer, verifier),
                session_service_pb2_grpc.add_SessionServiceServicer_to_server,
            ),
        ],
        guard=Guard(verifier),
        workers={"rotate_keys": rotate_keys_hourly, "forget_old": forget_old_hourly},
        on_stop=stop,
    )
