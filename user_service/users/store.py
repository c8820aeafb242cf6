"""Every SQL statement about organizers and users."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction
from user_service.tables import organizers, users
from user_service.users.domain import (
    EmailTaken,
    NewUser,
    Role,
    User,
    UserNotFound,
    UserState,
    email_key,
)

_LOCK = "user_service.superadmin"


async def add_organizer(tx: Transaction, organizer_id: str, name: str) -> None:
    """Keep a new organizer."""
    await tx.execute(insert(organizers).values(id=organizer_id, name=name))


async def add_user(
    tx: Transaction, user_id: str, organizer_id: str | None, new: NewUser, password_hash: str
) -> User:
    """Keep a new user. Of two with one address, the second waits for the first to commit.

    Raises:
        EmailTaken: someone has this address.
    """
    row = upsert(users).values(
        id=user_id,
        organizer_id=organizer_id,
        email=new.email,
        full_name=new.full_name,
        role=new.role,
        password_hash=password_hash,
    )
    added = await tx.execute(row.on_conflict_do_nothing().returning(users.c.id))
    if added.first() is None:
        raise EmailTaken
    return await read_user(tx, user_id)


async def read_user(tx: Transaction, user_id: str) -> User:
    """A user.

    Raises:
        UserNotFound: nobody has this id.
    """
    row = (await tx.execute(_users().where(users.c.id == user_id))).first()
    if row is None:
        raise UserNotFound
    return _user(row)


async def lock_user(tx: Transaction, user_id: str) -> User:
    """A user, kept from others until the transaction ends.

    All that changes a user's sessions holds this lock too, so that none is made or refreshed
    while the user is being disabled.

    Raises:
        UserNotFound: nobody has this id.
    """
    lock = select(users.c.id).where(users.c.id == user_id).with_for_update(key_share=True)
    await tx.execute(lock)
    return await read_user(tx, user_id)


async def update_user(tx: Transaction, user: User) -> User:
    """Keep what may change of a locked user; its version grows."""
    changed = update(users).where(users.c.id == user.id)
    await tx.execute(
        changed.values(
            full_name=user.full_name,
            state=user.state,
            version=users.c.version + 1,
            updated_at=func.now(),
        )
    )
    return await read_user(tx, user.id)


async def find_password_hash(tx: Transaction, email: str) -> tuple[str, str] | None:
    """The id and password hash of the user with this address in any case, or None."""
    found = select(users.c.id, users.c.password_hash).where(
        func.lower(users.c.email) == email_key(email)
    )
    row = (await tx.execute(found)).first()
    return (row.id, row.password_hash) if row else None


async def replace_password_hash(tx: Transaction, user_id: str, old: str, new: str) -> None:
    """Keep a new hash of the same password, unless the password has been changed meanwhile."""
    same = (users.c.id == user_id) & (users.c.password_hash == old)
    await tx.execute(update(users).where(same).values(password_hash=new))


async def list_users(
    tx: Transaction, *, after: str, limit: int, email: str = "", organizer_id: str = ""
) -> Sequence[User]:
    """Users oldest first, from the one after the id `after`; of all or of one organizer."""
    query = _users().where(users.c.id > after).order_by(users.c.id).limit(limit)
    if email:
        query = query.where(func.lower(users.c.email) == email_key(email))
    if organizer_id:
        query = query.where(users.c.organizer_id == organizer_id)
    return [_user(row) for row in (await tx.execute(query)).all()]


async def has_superadmin(tx: Transaction) -> bool:
    """Whether there is a superadmin, in whatever state."""
    found = select(users.c.id).where(users.c.role == Role.SUPERADMIN).limit(1)
    return (await tx.execute(found)).first() is not None


async def lock_superadmin(tx: Transaction) -> None:
    """Let one replica at a time decide whether a superadmin must be made."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(_LOCK, 0))))


def _users() -> Select[Any]:
    joined = users.outerjoin(organizers, organizers.c.id == users.c.organizer_id)
    return select(users, organizers.c.name.label("organizer_name")).select_from(joined)


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        organizer_id=row.organizer_id or "",
        organizer_name=row.organizer_name or "",
        email=row.email,
        full_name=row.full_name,
        role=Role(row.role),
        state=UserState(row.state),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
