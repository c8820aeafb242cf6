"""What a user is, and how they may change."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from user_service.users.domain import (
    BlankName,
    CannotDisableYourself,
    Role,
    User,
    UserChange,
    UserState,
    change,
    email_key,
    tidy_email,
    tidy_name,
)

ADA = User(
    id="usr_ada",
    organizer_id="org_1",
    organizer_name="Engines",
    email="ada@example.org",
    full_name="Ada",
    role=Role.ADMIN,
    state=UserState.ACTIVE,
    version=1,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)

emails = st.emails()


def test_an_address_keeps_its_local_part_as_written() -> None:
    assert tidy_email("  Ada.Lovelace@Example.ORG ") == "Ada.Lovelace@example.org"


@given(emails)
def test_tidying_an_address_twice_is_tidying_it_once(email: str) -> None:
    assert tidy_email(tidy_email(email)) == tidy_email(email)


@given(emails)
def test_spellings_of_one_address_share_its_key(email: str) -> None:
    assert email_key(f" {email.upper()} ") == email_key(email.upper().lower())


@given(st.text())
def test_anything_typed_as_an_address_has_a_key(text: str) -> None:
    assert email_key(email_key(text)) == email_key(text)


def test_names_lose_the_space_around_them() -> None:
    assert tidy_name("  Ada Lovelace\n", "full_name") == "Ada Lovelace"


@pytest.mark.parametrize("blank", ["", " ", "\u00a0", "\u2003\t"])
def test_a_name_of_spaces_is_refused_with_its_field(blank: str) -> None:
    with pytest.raises(BlankName) as caught:
        tidy_name(blank, "organizer_name")
    assert caught.value.violations[0].field == "organizer_name"


def test_a_change_touches_only_what_it_names() -> None:
    renamed = change(ADA, UserChange(full_name="Augusta Ada"), by="usr_root")
    assert (renamed.full_name, renamed.state) == ("Augusta Ada", UserState.ACTIVE)
    disabled = change(ADA, UserChange(state=UserState.DISABLED), by="usr_root")
    assert (disabled.full_name, disabled.state) == ("Ada", UserState.DISABLED)
    assert change(ADA, UserChange(), by="usr_root") == ADA


def test_nobody_disables_themself() -> None:
    with pytest.raises(CannotDisableYourself):
        change(ADA, UserChange(state=UserState.DISABLED), by=ADA.id)
