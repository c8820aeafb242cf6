"""Making, replacing and publishing the keys that sign access tokens."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kit.database import Database
from kit.ids import new_id
from kit.settings import InvalidSetting
from user_service.sealing import Seal, WrongSecret
from user_service.signing_keys import domain, store
from user_service.signing_keys.domain import SigningKey


async def rotate(database: Database, seal: Seal, lifetime: timedelta) -> None:
    """Make the first key, or the next one if it is time; forget those that are done.

    Raises:
        InvalidSetting: the keys were sealed with another secret.
    """
    async with database.begin() as tx:
        await store.lock(tx)
        keys = await store.read_keys(tx)
        _check_secret(keys, seal)
        now = await store.read_clock(tx)
        signs_from = domain.next_signs_from(keys, now, lifetime)
        if signs_from is not None:
            await store.add_key(tx, _new_key(seal, signs_from))
        await store.delete_keys(tx, domain.forgotten(keys, now))


async def public_keys(database: Database) -> list[dict[str, str]]:
    """The keys that verify access tokens, as JSON Web Keys."""
    async with database.begin() as tx:
        return [domain.jwk(key) for key in await store.read_keys(tx)]


def _new_key(seal: Seal, signs_from: datetime) -> SigningKey:
    private_key = Ed25519PrivateKey.generate()
    key_id = new_id("key")
    return SigningKey(
        key_id,
        public_key=private_key.public_key().public_bytes_raw(),
        sealed_private_key=seal.close(private_key.private_bytes_raw(), key_id),
        signs_from=signs_from,
    )


def _check_secret(keys: Sequence[SigningKey], seal: Seal) -> None:
    try:
        for key in keys:
            seal.open(key.sealed_private_key, key.id)
    except WrongSecret:
        raise InvalidSetting(
            "TESSERA_SECRET_KEY is not the one that sealed the signing keys: set the former one, "
            "or empty the table signing_keys, and everyone signs in again."
        ) from None
