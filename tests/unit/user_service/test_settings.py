"""A setting that cannot be used is one sentence that says which."""

from datetime import timedelta

import pytest

from kit.settings import Environment, InvalidSetting
from user_service.settings import Settings, Superadmin

SECRET = {"TESSERA_SECRET_KEY": "x" * 32}
ROOT = {
    "TESSERA_SUPERADMIN_EMAIL": "root@example.org",
    "TESSERA_SUPERADMIN_PASSWORD": "correct horse",
}


def test_a_secret_is_all_that_is_needed() -> None:
    settings = Settings.read(Environment(SECRET))
    assert settings.superadmin is None
    assert settings.refresh_token_lifetime == timedelta(days=30)
    assert settings.signing_key_lifetime == timedelta(days=30)


def test_the_superadmin_is_read() -> None:
    settings = Settings.read(Environment(SECRET | ROOT))
    assert settings.superadmin == Superadmin("root@example.org", "correct horse")


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"TESSERA_SECRET_KEY": ""}, "TESSERA_SECRET_KEY"),
        ({"TESSERA_SECRET_KEY": "short"}, "TESSERA_SECRET_KEY"),
        ({"TESSERA_REFRESH_TOKEN_DAYS": "0"}, "TESSERA_REFRESH_TOKEN_DAYS"),
        ({"TESSERA_SIGNING_KEY_DAYS": "-1"}, "TESSERA_SIGNING_KEY_DAYS"),
        ({"TESSERA_PASSWORD_HASHES_AT_ONCE": "many"}, "TESSERA_PASSWORD_HASHES_AT_ONCE"),
        ({"TESSERA_SUPERADMIN_PASSWORD": ""}, "set both"),
        ({"TESSERA_SUPERADMIN_EMAIL": ""}, "set both"),
        ({"TESSERA_SUPERADMIN_EMAIL": "root"}, "TESSERA_SUPERADMIN_EMAIL"),
        ({"TESSERA_SUPERADMIN_EMAIL": "a@b@c"}, "TESSERA_SUPERADMIN_EMAIL"),
        ({"TESSERA_SUPERADMIN_PASSWORD": "short"}, "TESSERA_SUPERADMIN_PASSWORD"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(variables: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        Settings.read(Environment(SECRET | ROOT | variables))
