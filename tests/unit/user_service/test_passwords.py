"""Passwords: hashed, compared, hashed again when the parameters change, and never too many."""

import asyncio
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from user_service.passwords import OWASP, Passwords
from user_service.sessions.domain import TooManySignIns

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
CHEAPER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, hash_len=16)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords(at_once=1, max_waiting=1, hasher=CHEAP)
    yield made
    made.close()


async def test_the_right_password_is_told_from_a_wrong_one(passwords: Passwords) -> None:
    stored = await passwords.hash("correct horse")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "Correct horse")


async def test_a_password_is_the_same_from_every_keyboard(passwords: Passwords) -> None:
    stored = await passwords.hash("cafe\u0301 au lait")
    assert await passwords.verify(stored, "caf\u00e9 au lait")


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash("correct horse") != await passwords.hash("correct horse")


async def test_without_a_hash_no_password_is_right(passwords: Passwords) -> None:
    assert not await passwords.verify(None, "correct horse")


async def test_a_broken_hash_refuses_every_password(passwords: Passwords) -> None:
    assert not await passwords.verify("not a hash", "correct horse")


async def test_only_a_hash_with_other_parameters_is_made_again(passwords: Passwords) -> None:
    assert await passwords.rehash(CHEAP.hash("correct horse"), "correct horse") is None
    renewed = await passwords.rehash(CHEAPER.hash("correct horse"), "correct horse")
    assert renewed is not None
    assert not CHEAP.check_needs_rehash(renewed)
    assert await passwords.verify(renewed, "correct horse")


async def test_who_finds_the_waiting_line_full_is_told_to_come_back(passwords: Passwords) -> None:
    three = (passwords.hash(f"password {number}") for number in range(3))
    answers = await asyncio.gather(*three, return_exceptions=True)
    assert [type(answer) for answer in answers] == [str, str, TooManySignIns]
    assert await passwords.hash("there is room again")


def test_the_parameters_are_those_that_owasp_recommends() -> None:
    found = extract_parameters(OWASP.hash("correct horse"))
    assert found.type is Type.ID
    assert (found.memory_cost, found.time_cost, found.parallelism) == (19 * 1024, 2, 1)
