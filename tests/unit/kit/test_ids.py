"""Ids that say what they name and sort by age, and codes that people can read."""

import time
import uuid
from datetime import UTC, datetime

import pytest

from kit.ids import first_id, new_code, new_id, uuid7


def test_an_id_says_what_it_names() -> None:
    prefix, _, rest = new_id("evt").partition("_")
    assert prefix == "evt"
    assert len(rest) == 26
    assert set(rest) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_are_uuids_of_version_7_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= made.int >> 80 <= after


def test_ids_sort_by_age() -> None:
    older = new_id("evt")
    made_in = uuid7().int >> 80
    while uuid7().int >> 80 == made_in:
        pass
    assert older < new_id("evt")


def test_the_first_id_of_a_moment_parts_older_ids_from_younger_ones() -> None:
    older = new_id("evt")
    made_in = uuid7().int >> 80
    while uuid7().int >> 80 == made_in:
        pass
    parting = first_id("evt", datetime.fromtimestamp((made_in + 1) / 1000, UTC))
    assert older < parting < new_id("evt")


def test_no_two_ids_are_the_same() -> None:
    assert len({new_id("x") for _ in range(10_000)}) == 10_000


@pytest.mark.parametrize("length", [6, 20])
def test_a_code_has_no_letters_that_look_alike(length: int) -> None:
    code = new_code(length)
    assert len(code) == length
    assert not set("".join(new_code(length) for _ in range(200))) & set("01ILOU")
    assert code == code.upper()
