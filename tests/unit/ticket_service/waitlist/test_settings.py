"""How long tickets are kept for somebody on a waiting list."""

from datetime import timedelta

import pytest

from kit.settings import Environment, InvalidSetting
from ticket_service.settings import Settings


def settings(**variables: str) -> Settings:
    given = {"DATABASE_URL": "postgresql:///tessera", **variables}
    return Settings.read(Environment({f"TESSERA_{key}": value for key, value in given.items()}))


def test_an_offer_lives_longer_than_a_hold_since_it_is_read_in_a_mail() -> None:
    assert settings().offer_lifetime == timedelta(minutes=30)
    assert settings().hold_lifetime == timedelta(minutes=15)
    assert settings(OFFER_SECONDS="86400").offer_lifetime == timedelta(days=1)


@pytest.mark.parametrize("seconds", ["0", "-1", "604801", "soon"])
def test_an_offer_has_an_end_that_can_be_waited_for(seconds: str) -> None:
    with pytest.raises(InvalidSetting, match="TESSERA_OFFER_SECONDS"):
        settings(OFFER_SECONDS=seconds)
