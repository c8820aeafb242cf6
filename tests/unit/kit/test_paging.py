"""Keyset paging: where the last page ended, for one question only."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import paging
from kit.paging import InvalidPageToken

letters = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(letters, min_size=1, max_size=3), letters)
def test_a_token_gives_back_its_key_to_the_same_question(key: list[str], question: str) -> None:
    assert paging.decode(paging.encode(key, question), question, len(key)) == key


@given(st.text(max_size=80))
def test_a_token_of_ones_own_making_is_refused(token: str) -> None:
    if token:
        with pytest.raises(InvalidPageToken):
            paging.decode(token, "q", 1)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    )
)
def test_a_token_of_any_json_is_refused_or_a_key(content: object) -> None:
    question, _, _ = json.loads(base64.b64decode(paging.encode(["", ""], "q")))
    for whole in (content, [question, content, "id"]):
        token = base64.urlsafe_b64encode(json.dumps(whole).encode()).decode()
        try:
            found = paging.decode(token, "q", 2)
        except InvalidPageToken:
            continue
        assert found is not None
        assert all("\0" not in part.encode().decode() for part in found)


def test_no_token_is_the_first_page() -> None:
    assert paging.decode("", "q", 1) is None


def test_a_token_is_refused_for_another_question_or_key() -> None:
    token = paging.encode(["a"], "q")
    for question, length in (("another", 1), ("q", 2)):
        with pytest.raises(InvalidPageToken) as refused:
            paging.decode(token, question, length)
        assert refused.value.violations[0].field == "page_token"


def test_a_page_is_full_or_the_last() -> None:
    def key(row: int) -> tuple[int]:
        return (row,)

    assert paging.cut([1, 2], 2, "q", key) == ([1, 2], "")
    page, token = paging.cut([1, 2, 3], 2, "q", key)
    assert page == [1, 2]
    assert paging.decode(token, "q", 1) == ["2"]


def test_the_page_size_has_a_default_and_a_limit() -> None:
    assert [paging.page_size(asked) for asked in (0, 1, 200, 201)] == [50, 1, 200, 200]


def test_a_time_in_a_key_is_read_back_and_needs_its_zone() -> None:
    moment = datetime(2026, 11, 20, 19, 30, 0, 123456, UTC)
    assert paging.moment(str(moment)) == moment
    for part in ("", "soon", "2026-11-20 19:30:00"):
        with pytest.raises(InvalidPageToken):
            paging.moment(part)
