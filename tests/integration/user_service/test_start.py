"""What happens at first start and at the next: the superadmin and the signing keys."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, update

from kit import auth
from kit.settings import InvalidSetting
from tests.integration.user_service.support import (
    PASSWORD,
    ROOT,
    BackDoor,
    Person,
    any_email,
    refused,
)
from tests.support.services import TestMesh, running_services
from user_service.app import build
from user_service.signing_keys import operations
from user_service.tables import signing_keys

MONTH = timedelta(days=30)


class Installation:
    """A database of its own, on which user_service is started again and again."""

    def __init__(self, url: str, tls_dir: Path) -> None:
        self._variables = {
            "TESSERA_DATABASE_URL": url,
            "TESSERA_SUPERADMIN_EMAIL": ROOT,
            "TESSERA_SUPERADMIN_PASSWORD": PASSWORD,
        }
        self._tls_dir = tls_dir

    @asynccontextmanager
    async def started(self, **settings: str) -> AsyncIterator[TestMesh]:
        changed = {f"TESSERA_{name}": value for name, value in settings.items()}
        variables = {**self._variables, **changed}
        async with running_services({"user_service": build}, variables, self._tls_dir) as mesh:
            yield mesh


@pytest.fixture
def installation(postgres_url: str, tls_dir: Path) -> Installation:
    return Installation(postgres_url, tls_dir)


@asynccontextmanager
async def behind(mesh: TestMesh) -> AsyncIterator[BackDoor]:
    door = BackDoor.to(mesh)
    yield door
    await door.database.close()


async def superadmins(person: Person) -> list[str]:
    return [user.email for user in (await person.list_users()).users if not user.organizer_id]


async def test_the_superadmin_is_made_once_and_never_overwritten(
    installation: Installation,
) -> None:
    async with installation.started() as mesh:
        before = (await Person(mesh).sign_in(ROOT)).user
    async with installation.started(
        SUPERADMIN_EMAIL=any_email(), SUPERADMIN_PASSWORD="another password"
    ) as mesh:
        session = await Person(mesh).sign_in(ROOT)
        assert session.user == before
        assert await superadmins(Person(mesh, session.access_token)) == [ROOT]


async def test_replicas_that_start_at_once_make_one_superadmin_and_one_key(
    installation: Installation,
) -> None:
    async with AsyncExitStack() as stack:
        replicas = await asyncio.gather(
            *(stack.enter_async_context(installation.started()) for _ in range(3))
        )
        people = [Person(mesh) for mesh in replicas]
        keys = [await person.keys() for person in people]
        assert len(keys[0]) == 1
        assert keys[0] == keys[1] == keys[2]
        token = (await people[0].sign_in(ROOT)).access_token
        assert await superadmins(Person(replicas[1], token)) == [ROOT]


async def test_without_the_settings_there_is_no_superadmin(installation: Installation) -> None:
    async with installation.started(SUPERADMIN_EMAIL="", SUPERADMIN_PASSWORD="") as mesh:
        with refused("WRONG_CREDENTIALS"):
            await Person(mesh).sign_in(ROOT)


async def test_an_organizers_address_does_not_become_the_superadmins(
    installation: Installation,
) -> None:
    async with installation.started(SUPERADMIN_EMAIL="", SUPERADMIN_PASSWORD="") as mesh:
        await Person(mesh).register(ROOT)
    with pytest.raises(InvalidSetting, match="TESSERA_SUPERADMIN_EMAIL"):
        async with installation.started():
            pass


async def test_tokens_outlive_a_restart(installation: Installation) -> None:
    async with installation.started() as mesh:
        session = await Person(mesh).sign_in(ROOT)
    async with installation.started() as mesh:
        assert (await Person(mesh, session.access_token).me()).email == ROOT
        assert (await Person(mesh).refresh(session.refresh_token)).user.email == ROOT


async def test_another_secret_is_refused_in_one_sentence(installation: Installation) -> None:
    async with installation.started():
        pass
    with pytest.raises(InvalidSetting, match="TESSERA_SECRET_KEY"):
        async with installation.started(SECRET_KEY="another secret that is long enough"):
            pass


async def test_private_keys_are_not_kept_in_the_clear(installation: Installation) -> None:
    async with installation.started() as mesh, behind(mesh) as door:
        (kept,) = await door.keys()
        _, private_key = await door.private_key()
        assert private_key.private_bytes_raw() not in kept.sealed_private_key
        assert private_key.public_key().public_bytes_raw() == kept.public_key


async def test_a_key_is_replaced_while_all_tokens_stay_valid(installation: Installation) -> None:
    async with installation.started() as mesh, behind(mesh) as door:
        person = Person(mesh)

        async def time_passes(duration: timedelta) -> None:
            earlier = signing_keys.c.signs_from - duration
            await door.change(update(signing_keys).values(signs_from=earlier))
            await operations.rotate(door.database, door.seal, MONTH)

        async def signing_key() -> str:
            token = (await person.sign_in(ROOT)).access_token
            await auth.TokenVerifier(person.keys).verify(token)
            tokens.append(token)
            return (await door.private_key())[0]

        tokens: list[str] = []
        first = await signing_key()
        await time_passes(MONTH)
        assert len(await person.keys()) == 2
        assert await signing_key() == first
        await time_passes(timedelta(minutes=11))
        second = await signing_key()
        assert second != first
        verifier = auth.TokenVerifier(person.keys)
        assert len([await verifier.verify(token) for token in tokens]) == 3
        await time_passes(timedelta(minutes=20))
        assert [key["kid"] for key in await person.keys()] == [second]


async def test_rotating_again_changes_nothing(installation: Installation) -> None:
    async with installation.started() as mesh, behind(mesh) as door:
        before = await door.keys()
        await asyncio.gather(
            *(operations.rotate(door.database, door.seal, MONTH) for _ in range(3))
        )
        assert await door.keys() == before
        past = func.now() - MONTH
        await door.change(update(signing_keys).values(signs_from=past))
        await asyncio.gather(
            *(operations.rotate(door.database, door.seal, MONTH) for _ in range(3))
        )
        assert len(await door.keys()) == 2
