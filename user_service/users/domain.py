"""What a user is: someone who signs in, for an organizer or for the installation."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound


class EmailTaken(AlreadyExists):
    """Someone has signed up with this e-mail address already."""


class UserNotFound(NotFound):
    """There is no such user."""


class BlankName(InvalidArgument):
    """A name takes at least one visible character."""


class CannotDisableYourself(FailedPrecondition):
    """You cannot disable yourself: ask another superadmin."""


class Role(StrEnum):
    """What a user may do; access.proto says more."""

    SUPERADMIN = "SUPERADMIN"
    ADMIN = "ADMIN"
    STAFF = "STAFF"


class UserState(StrEnum):
    """Whether a user may sign in."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class User:
    """A person who signs in."""

    id: str
    organizer_id: str  # empty for a superadmin
    organizer_name: str
    email: str
    full_name: str
    role: Role
    state: UserState
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class NewUser:
    """What is known of a user before there is one. Everything is tidy already."""

    email: str
    full_name: str
    role: Role


@dataclass(frozen=True, slots=True)
class UserChange:
    """The fields to change; None leaves one as it is."""

    full_name: str | None = None
    state: UserState | None = None


def tidy_email(email: str) -> str:
    """An address as it is kept: trimmed, its domain in lower case, its local part as written.

    RFC 5321, 2.4: domains ignore case; the local part is the receiving host's business.
    """
    local, at, domain = email.strip().rpartition("@")
    return local + at + domain.lower()


def email_key(email: str) -> str:
    """What two spellings of one address have in common. Here no two users differ by case alone."""
    return tidy_email(email).lower()


def tidy_name(name: str, field: str) -> str:
    """A name without the space around it; `field` is what BlankName blames."""
    if not name.strip():
        raise BlankName.of(field)
    return name.strip()


def change(user: User, wanted: UserChange, *, by: str) -> User:
    """The user with a change made by the user with the id `by`; its version is the store's.

    Raises:
        CannotDisableYourself: or nobody may be left to undo it.
    """
    state = wanted.state or user.state
    if state is UserState.DISABLED and user.id == by:
        raise CannotDisableYourself
    full_name = user.full_name if wanted.full_name is None else wanted.full_name
    return replace(user, full_name=full_name, state=state)
