"""The gateway's settings."""

import pytest

from gateway.settings import Settings
from kit.settings import Environment, InvalidSetting


def test_nothing_needs_to_be_set() -> None:
    assert Settings.load(Environment({})) == Settings()


def test_origins_are_a_list() -> None:
    variables = {"TESSERA_CORS_ORIGINS": "https://a.example, https://b.example"}
    settings = Settings.load(Environment(variables))
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize("port", ["http", "-1", "65536"])
def test_a_port_that_is_none_is_named(port: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_HTTP_PORT"):
        Settings.load(Environment({"TESSERA_HTTP_PORT": port}))
