"""One user_service for all tests here: they share it as strangers share an installation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.postgres import EmbeddedPostgres
from tests.integration.user_service.support import PASSWORD, ROOT, BackDoor, Person
from tests.support.services import TestMesh, running_services
from user_service.app import build


@pytest.fixture(scope="session")
async def mesh(postgres: EmbeddedPostgres, tls_dir: Path) -> AsyncIterator[TestMesh]:
    """A user_service with a superadmin."""
    variables = {
        "TESSERA_DATABASE_URL": postgres.url,
        "TESSERA_SUPERADMIN_EMAIL": ROOT,
        "TESSERA_SUPERADMIN_PASSWORD": PASSWORD,
    }
    async with running_services({"user_service": build}, variables, tls_dir) as mesh:
        yield mesh


@pytest.fixture(scope="session")
async def back_door(mesh: TestMesh) -> AsyncIterator[BackDoor]:
    """Its database."""
    back_door = BackDoor.to(mesh)
    yield back_door
    await back_door.database.close()


@pytest.fixture
def visitor(mesh: TestMesh) -> Person:
    """Someone who has not signed in."""
    return Person(mesh)


@pytest.fixture
async def admin(visitor: Person) -> Person:
    """The first admin of a new organizer, signed in."""
    user = await visitor.register()
    return visitor.with_token((await visitor.sign_in(user.email)).access_token)


@pytest.fixture
async def staff(admin: Person) -> Person:
    """A member of staff of the same organizer, signed in."""
    user = await admin.add_member("STAFF")
    return admin.with_token((await admin.sign_in(user.email)).access_token)


@pytest.fixture
async def root(visitor: Person) -> Person:
    """The superadmin, signed in."""
    return visitor.with_token((await visitor.sign_in(ROOT)).access_token)
