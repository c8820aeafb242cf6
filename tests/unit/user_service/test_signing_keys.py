"""When signing keys are published, sign, and are forgotten."""

from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from user_service.signing_keys.domain import (
    ACCESS_TOKEN_LIFETIME,
    PUBLISHED_AHEAD,
    SigningKey,
    forgotten,
    jwk,
    next_signs_from,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
LIFETIME = timedelta(days=30)


def key(name: str, signs_from: datetime) -> SigningKey:
    return SigningKey(name, b"public", b"sealed", signs_from)


def signing(keys: list[SigningKey], now: datetime) -> SigningKey:
    return max((k for k in keys if k.signs_from <= now), key=lambda k: k.signs_from)


def test_the_first_key_signs_at_once() -> None:
    assert next_signs_from([], START, LIFETIME) == START


def test_the_next_key_is_published_ten_minutes_before_it_signs() -> None:
    keys = [key("a", START)]
    due = START + LIFETIME - PUBLISHED_AHEAD
    assert next_signs_from(keys, due - timedelta(seconds=1), LIFETIME) is None
    assert next_signs_from(keys, due, LIFETIME) == START + LIFETIME


def test_a_late_rotation_still_publishes_ahead() -> None:
    late = START + timedelta(days=300)
    assert next_signs_from([key("a", START)], late, LIFETIME) == late + PUBLISHED_AHEAD


def test_a_key_waiting_to_sign_is_not_joined_by_another() -> None:
    keys = [key("a", START), key("b", START + LIFETIME)]
    assert next_signs_from(keys, START + LIFETIME - timedelta(minutes=5), LIFETIME) is None


@given(
    st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=45)), max_size=60),
    st.timedeltas(timedelta(days=1), timedelta(days=90)),
)
def test_every_token_can_be_verified_for_as_long_as_it_lives(
    pauses: list[timedelta], lifetime: timedelta
) -> None:
    now, keys, tokens = START, list[SigningKey](), list[tuple[str, datetime]]()
    for number, pause in enumerate(pauses):
        signs_from = next_signs_from(keys, now, lifetime)
        done = forgotten(keys, now)
        if signs_from is not None:
            assert signs_from == now or keys, "only the first key signs unannounced"
            assert not keys or signs_from >= now + PUBLISHED_AHEAD
            keys.append(key(f"key {number}", signs_from))
        keys = [k for k in keys if k.id not in done]
        assert len(keys) <= 3
        tokens.append((signing(keys, now).id, now + ACCESS_TOKEN_LIFETIME))
        published = {k.id for k in keys}
        assert all(by in published for by, expires_at in tokens if expires_at > now)
        now += pause


def test_a_public_key_is_a_json_web_key() -> None:
    private_key = Ed25519PrivateKey.generate()
    public = private_key.public_key().public_bytes_raw()
    token = jwt.encode({"sub": "usr_1"}, private_key, algorithm="EdDSA")
    known = jwt.PyJWK(jwk(SigningKey("key_1", public, b"", START)))
    assert known.key_id == "key_1"
    assert jwt.decode(token, known.key, algorithms=["EdDSA"]) == {"sub": "usr_1"}
