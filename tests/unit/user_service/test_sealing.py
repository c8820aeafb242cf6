"""What the installation's secret protects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.user.v1 import session_service_pb2

from user_service.sealing import Seal, WrongSecret

SEAL = Seal(b"one secret that is long enough....")
OTHER = Seal(b"another secret, just as long......")


@given(st.binary(max_size=100), st.text(max_size=20))
def test_what_was_sealed_opens_again(plain: bytes, name: str) -> None:
    assert SEAL.open(SEAL.close(plain, name), name) == plain


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(WrongSecret):
        OTHER.open(SEAL.close(b"key", "key_1"), "key_1")


def test_a_sealed_key_does_not_pass_for_another() -> None:
    with pytest.raises(WrongSecret):
        SEAL.open(SEAL.close(b"key", "key_1"), "key_2")


@given(st.integers(min_value=0, max_value=30))
def test_one_changed_byte_is_noticed(place: int) -> None:
    sealed = bytearray(SEAL.close(b"key", "key_1"))
    sealed[place] ^= 1
    with pytest.raises(WrongSecret):
        SEAL.open(bytes(sealed), "key_1")


def test_a_blinded_request_hides_its_password_and_nothing_else() -> None:
    request = session_service_pb2.CreateSessionRequest(
        email="ada@example.org", password="correct horse", idempotency_key="k"
    )
    blinded = SEAL.blinded(request)
    assert request.password == "correct horse"
    assert "correct horse" not in str(blinded)
    assert (blinded.email, blinded.idempotency_key) == ("ada@example.org", "k")
    assert SEAL.blinded(request) == blinded
    assert OTHER.blinded(request) != blinded
