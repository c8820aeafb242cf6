"""Organizers and their people, over gRPC."""

import asyncio

import pytest
from sqlalchemy import func, select
from tessera.access.v1 import access_pb2
from tessera.user.v1 import user_pb2

from kit.rpc_errors import RemoteError
from tests.integration.user_service.support import (
    PASSWORD,
    ROOT,
    BackDoor,
    Person,
    any_email,
    any_key,
    refused,
)
from user_service.tables import organizers, users


async def test_who_registers_becomes_the_admin_of_a_new_organizer(visitor: Person) -> None:
    user = await visitor.register("Ada@Example.ORG", organizer_name=" Engines ", full_name=" Ada ")
    assert user.id.startswith("usr_")
    assert user.organizer_id.startswith("org_")
    assert (user.organizer_name, user.full_name) == ("Engines", "Ada")
    assert user.email == "Ada@example.org"
    assert user.role == access_pb2.ROLE_ADMIN
    assert user.state == user_pb2.USER_STATE_ACTIVE
    assert user.version == 1
    assert user.created_at == user.updated_at


async def test_an_address_is_taken_in_any_case(visitor: Person) -> None:
    email = any_email()
    await visitor.register(email)
    with refused("EMAIL_TAKEN"):
        await visitor.register(email.upper())


async def test_one_of_two_who_register_at_once_gets_the_address(
    visitor: Person, back_door: BackDoor
) -> None:
    email, name = any_email(), f"Race {any_key()}"
    spellings = (email, email.upper(), email.title(), email)
    answers = await asyncio.gather(
        *(visitor.register(spelling, organizer_name=name) for spelling in spellings),
        return_exceptions=True,
    )
    losers = [answer for answer in answers if isinstance(answer, RemoteError)]
    assert [loser.reason for loser in losers] == ["EMAIL_TAKEN"] * 3
    async with back_door.database.begin() as tx:
        left_behind = select(func.count()).where(organizers.c.name == name)
        assert (await tx.execute(left_behind)).scalar_one() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "not an address"),
        ("password", "too short"),
        ("full_name", "   "),
        ("full_name", "\u00a0"),
        ("organizer_name", ""),
        ("organizer_name", "\u2003"),
    ],
)
async def test_bad_input_is_refused_with_its_field(visitor: Person, field: str, value: str) -> None:
    with pytest.raises(RemoteError) as caught:
        await visitor.register(**{"email": any_email(), field: value})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert {violation.field for violation in caught.value.violations} == {field}


async def test_registering_twice_with_one_key_is_registering_once(visitor: Person) -> None:
    key, email = any_key(), any_email()
    first = await visitor.register(email, idempotency_key=key)
    assert await visitor.register(email, idempotency_key=key) == first


@pytest.mark.parametrize("field", ["email", "password", "full_name"])
async def test_a_key_belongs_to_one_request(visitor: Person, field: str) -> None:
    key, email = any_key(), any_email()
    await visitor.register(email, idempotency_key=key)
    other = {"email": any_email(), "password": "another password", "full_name": "Another"}
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await visitor.register(**{"email": email, field: other[field]}, idempotency_key=key)


async def test_of_concurrent_requests_with_one_key_one_has_an_effect(visitor: Person) -> None:
    key, email = any_key(), any_email()
    answers = await asyncio.gather(
        *(visitor.register(email, idempotency_key=key) for _ in range(6)), return_exceptions=True
    )
    refusals = [answer.reason for answer in answers if isinstance(answer, RemoteError)]
    registered = [answer for answer in answers if isinstance(answer, user_pb2.User)]
    assert set(refusals) <= {"IDEMPOTENCY_KEY_IN_USE"}
    assert len({user.id for user in registered}) == 1
    assert await visitor.register(email, idempotency_key=key) == registered[0]


async def test_an_admin_adds_people_to_their_own_organizer(admin: Person) -> None:
    me = await admin.me()
    added = [await admin.add_member("ADMIN"), await admin.add_member("STAFF")]
    assert [user.role for user in added] == [access_pb2.ROLE_ADMIN, access_pb2.ROLE_STAFF]
    assert {user.organizer_id for user in added} == {me.organizer_id}
    listed = await admin.members()
    assert list(listed.users) == [me, *added]
    assert listed.next_page_token == ""


async def test_a_member_is_added_once_per_key(admin: Person) -> None:
    key, email = any_key(), any_email()
    first = await admin.add_member("STAFF", email, key=key)
    assert await admin.add_member("STAFF", email, key=key) == first
    with refused("EMAIL_TAKEN"):
        await admin.add_member("STAFF", email)


async def test_nobody_is_added_as_a_superadmin(admin: Person) -> None:
    with pytest.raises(RemoteError) as caught:
        await admin.add_member("SUPERADMIN")
    assert caught.value.code == "INVALID_ARGUMENT"


async def test_members_come_page_by_page_while_more_are_added(admin: Person) -> None:
    expected = [(await admin.me()).id]
    expected += [(await admin.add_member("STAFF")).id for _ in range(3)]
    seen, token = [], ""
    for late in range(3):
        page = await admin.members(page_size=2, page_token=token)
        seen += [user.id for user in page.users]
        token = page.next_page_token
        if not late:
            expected.append((await admin.add_member("STAFF")).id)
        if not token:
            break
    assert seen == expected


async def test_a_page_token_works_for_the_list_that_gave_it(admin: Person, root: Person) -> None:
    await admin.add_member("STAFF")
    token = (await admin.members(page_size=1)).next_page_token
    with refused("INVALID_PAGE_TOKEN"):
        await root.list_users(page_token=token)
    with refused("INVALID_PAGE_TOKEN"):
        await admin.members(page_token="made up")


async def test_staff_neither_list_nor_add_members(staff: Person) -> None:
    with refused("ROLE_NOT_ALLOWED"):
        await staff.members()
    with refused("ROLE_NOT_ALLOWED"):
        await staff.add_member("STAFF")


async def test_users_are_the_superadmins_business(admin: Person, staff: Person) -> None:
    me = await admin.me()
    for person in (admin, staff):
        with refused("ROLE_NOT_ALLOWED"):
            await person.list_users()
        with refused("ROLE_NOT_ALLOWED"):
            await person.get(me.id)
        with refused("ROLE_NOT_ALLOWED"):
            await person.update(me.id, "full_name", full_name="Someone")


async def test_without_a_token_there_is_nothing_to_see(visitor: Person) -> None:
    with refused("TOKEN_MISSING"):
        await visitor.me()
    with refused("TOKEN_MISSING"):
        await visitor.members()
    with refused("TOKEN_MISSING"):
        await visitor.list_users()


async def test_the_superadmin_finds_anyone_by_id_or_address(root: Person, admin: Person) -> None:
    me = await admin.me()
    assert await root.get(me.id) == me
    assert list((await root.list_users(email=me.email.upper())).users) == [me]
    assert list((await root.list_users(email=any_email())).users) == []
    with refused("USER_NOT_FOUND"):
        await root.get("usr_nobody")


async def test_the_superadmin_sees_everyone_oldest_first(root: Person, visitor: Person) -> None:
    made = [(await visitor.register()).id for _ in range(3)]
    seen, token = [], ""
    while True:
        page = await root.list_users(page_size=200, page_token=token)
        seen += [user.id for user in page.users]
        token = page.next_page_token
        if not token:
            break
    assert seen[0] == (await root.me()).id
    assert [user_id for user_id in seen if user_id in made] == made


async def test_a_superadmin_belongs_to_no_organizer(root: Person) -> None:
    me = await root.me()
    assert (me.email, me.role) == (ROOT, access_pb2.ROLE_SUPERADMIN)
    assert (me.organizer_id, me.organizer_name) == ("", "")


async def test_only_what_the_mask_names_changes(root: Person, visitor: Person) -> None:
    user = await visitor.register()
    renamed = await root.update(
        user.id, "full_name", full_name=" Augusta ", state=user_pb2.USER_STATE_DISABLED
    )
    assert (renamed.full_name, renamed.state) == ("Augusta", user_pb2.USER_STATE_ACTIVE)
    assert renamed.version == 2
    assert renamed.updated_at.ToDatetime() > user.updated_at.ToDatetime()
    assert await root.get(user.id) == renamed


async def test_without_a_mask_what_is_present_changes(root: Person, visitor: Person) -> None:
    user = await visitor.register()
    assert (await root.update(user.id, "", full_name="Augusta")).full_name == "Augusta"


async def test_changing_nothing_keeps_the_version(root: Person, visitor: Person) -> None:
    user = await visitor.register()
    assert await root.update(user.id, "full_name", full_name=user.full_name) == user
    assert await root.update(user.id, "") == user


@pytest.mark.parametrize("mask", ["email", "role", "version", "full_name"])
async def test_what_cannot_be_changed_or_cleared_is_refused(
    root: Person, visitor: Person, mask: str
) -> None:
    user = await visitor.register()
    with refused("INVALID_ARGUMENT"):
        await root.update(user.id, mask)


async def test_if_match_lets_only_the_version_it_names_be_changed(
    root: Person, visitor: Person
) -> None:
    user = await visitor.register()
    await root.update(user.id, "full_name", full_name="First", if_match='"1"')
    with refused("VERSION_MISMATCH"):
        await root.update(user.id, "full_name", full_name="Second", if_match='"1"')
    third = await root.update(user.id, "full_name", full_name="Third", if_match="*")
    assert (third.full_name, third.version) == ("Third", 3)


async def test_of_two_conditional_changes_at_once_one_wins(root: Person, visitor: Person) -> None:
    user = await visitor.register()
    answers = await asyncio.gather(
        *(
            root.update(user.id, "full_name", full_name=name, if_match='"1"')
            for name in ("First", "Second")
        ),
        return_exceptions=True,
    )
    refusals = [answer.reason for answer in answers if isinstance(answer, RemoteError)]
    assert refusals == ["VERSION_MISMATCH"]
    assert (await root.get(user.id)).version == 2


async def test_a_disabled_user_is_out_at_once_until_enabled_again(
    root: Person, admin: Person
) -> None:
    me = await admin.me()
    session = await admin.sign_in(me.email)
    await root.update(me.id, "state", state=user_pb2.USER_STATE_DISABLED)
    with refused("SESSION_ENDED"):
        await admin.me()
    with refused("SESSION_ENDED"):
        await admin.add_member("STAFF")
    with refused("INVALID_REFRESH_TOKEN"):
        await admin.refresh(session.refresh_token)
    with refused("WRONG_CREDENTIALS"):
        await admin.sign_in(me.email)
    await root.update(me.id, "state", state=user_pb2.USER_STATE_ACTIVE)
    assert (await admin.sign_in(me.email)).user.state == user_pb2.USER_STATE_ACTIVE


async def test_the_superadmin_cannot_disable_themself(root: Person) -> None:
    me = await root.me()
    with refused("CANNOT_DISABLE_YOURSELF"):
        await root.update(me.id, "state", state=user_pb2.USER_STATE_DISABLED)


async def test_no_password_is_kept_as_it_was_typed(visitor: Person, back_door: BackDoor) -> None:
    user = await visitor.register()
    async with back_door.database.begin() as tx:
        stored = await tx.execute(select(users.c.password_hash).where(users.c.id == user.id))
        password_hash = stored.scalar_one()
    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in password_hash
