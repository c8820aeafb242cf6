"""What can be done with users: the only place where their transactions begin."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit import auth, paging
from kit.database import Database
from kit.errors import check_version
from kit.idempotency import Once
from kit.ids import new_id
from kit.settings import InvalidSetting
from user_service.passwords import Passwords
from user_service.sessions import store as sessions
from user_service.settings import Superadmin
from user_service.users import domain, store
from user_service.users.domain import EmailTaken, NewUser, Role, User, UserChange, UserState


@dataclass(frozen=True, slots=True)
class Page:
    """Some users, and the token of those that follow; empty on the last page."""

    users: Sequence[User]
    next_page_token: str


async def create_user(
    database: Database,
    passwords: Passwords,
    once: Once[User],
    *,
    organizer_name: str,
    email: str,
    password: str,
    full_name: str,
) -> User:
    """Register an organizer together with its first admin.

    Raises:
        EmailTaken: someone has this address.
        TooManySignIns: too many passwords wait to be hashed.
    """
    organizer = domain.tidy_name(organizer_name, "organizer_name")
    new = NewUser(
        domain.tidy_email(email), domain.tidy_name(full_name, "full_name"), domain.Role.ADMIN
    )
    password_hash = await passwords.hash(password)
    async with database.begin() as tx:
        await once.claim(tx)
        organizer_id = new_id("org")
        await store.add_organizer(tx, organizer_id, organizer)
        user = await store.add_user(tx, new_id("usr"), organizer_id, new, password_hash)
        return await once.record(tx, user)


async def create_member(
    database: Database,
    passwords: Passwords,
    once: Once[User],
    actor: auth.Claims,
    *,
    email: str,
    password: str,
    full_name: str,
    role: Role,
) -> User:
    """Add someone to the actor's organizer.

    Raises:
        EmailTaken: someone, perhaps of another organizer, has this address.
        SessionEnded: the actor has signed out or was disabled.
        TooManySignIns: too many passwords wait to be hashed.
    """
    new = NewUser(domain.tidy_email(email), domain.tidy_name(full_name, "full_name"), role)
    password_hash = await passwords.hash(password)
    async with database.begin() as tx:
        await sessions.require_live(tx, actor.session_id)
        await once.claim(tx)
        user = await store.add_user(tx, new_id("usr"), actor.organizer_id, new, password_hash)
        return await once.record(tx, user)


async def get_user(database: Database, actor: auth.Claims, user_id: str) -> User:
    """A user, perhaps the actor.

    Raises:
        UserNotFound: nobody has this id.
        SessionEnded: the actor has signed out or was disabled.
    """
    async with database.begin() as tx:
        await sessions.require_live(tx, actor.session_id)
        return await store.read_user(tx, user_id)


async def list_users(
    database: Database,
    actor: auth.Claims,
    *,
    page_size: int,
    page_token: str,
    email: str = "",
    organizer_id: str = "",
) -> Page:
    """Users oldest first: all, those of one organizer, or the one with an address.

    Raises:
        InvalidPageToken: another list gave the token.
        SessionEnded: the actor has signed out or was disabled.
    """
    question = f"users of {organizer_id} with {domain.email_key(email)}"
    (after,) = paging.decode(page_token, question, 1) or [""]
    size = paging.page_size(page_size)
    async with database.begin() as tx:
        await sessions.require_live(tx, actor.session_id)
        rows = await store.list_users(
            tx, after=after, limit=size + 1, email=email, organizer_id=organizer_id
        )
    users, next_page_token = paging.cut(rows, size, question, lambda user: [user.id])
    return Page(users, next_page_token)


async def update_user(
    database: Database, actor: auth.Claims, user_id: str, wanted: UserChange, if_match: str
) -> User:
    """Rename, disable or enable a user. Disabling ends their sessions.

    Raises:
        UserNotFound: nobody has this id.
        VersionMismatch: the user has changed since the version in `if_match`.
        CannotDisableYourself: the user is the actor.
        SessionEnded: the actor has signed out or was disabled.
    """
    if wanted.full_name is not None:
        name = domain.tidy_name(wanted.full_name, "full_name")
        wanted = UserChange(name, wanted.state)
    async with database.begin() as tx:
        await sessions.require_live(tx, actor.session_id)
        user = await store.lock_user(tx, user_id)
        check_version(if_match, user.version)
        changed = domain.change(user, wanted, by=actor.user_id)
        if changed == user:
            return user
        if changed.state is UserState.DISABLED:
            await sessions.end_sessions_of(tx, user_id)
        return await store.update_user(tx, changed)


async def ensure_superadmin(
    database: Database, passwords: Passwords, superadmin: Superadmin | None
) -> None:
    """Make the superadmin of the settings, unless there is one, whatever their address.

    Raises:
        InvalidSetting: someone else has signed up with that address.
    """
    if superadmin is None:
        return
    async with database.begin() as tx:
        if await store.has_superadmin(tx):
            return
    password_hash = await passwords.hash(superadmin.password)
    new = NewUser(domain.tidy_email(superadmin.email), "Superadmin", Role.SUPERADMIN)
    try:
        async with database.begin() as tx:
            await store.lock_superadmin(tx)
            if not await store.has_superadmin(tx):
                await store.add_user(tx, new_id("usr"), None, new, password_hash)
    except EmailTaken:
        raise InvalidSetting(
            f"TESSERA_SUPERADMIN_EMAIL is {superadmin.email}: "
            "someone has signed up with this address already, take another."
        ) from None
