"""What is on the shelf, and what the database is told of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticket_service.stock.domain import Shelf, SoldOut, Stock

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)


def shelf(remaining: int, quota: int) -> Shelf:
    """Two ticket types under one quota, and the first under one of its own."""
    stocks = [Stock(key, key, 0, remaining, 10, None, None) for key in ("a", "b")]
    return Shelf(stocks, {"both": quota, "own": 9}, {"a": ["both", "own"], "b": ["both"]})


@given(remaining=st.integers(0, 9), quota=st.integers(0, 9), quantity=st.integers(1, 9))
def test_no_more_is_taken_than_the_least_of_what_applies(
    remaining: int, quota: int, quantity: int
) -> None:
    there = shelf(remaining, quota)
    if quantity > min(remaining, quota):
        with pytest.raises(SoldOut):
            there.take("a", quantity)
        assert (there.taken, there.taken_of_quotas) == ({}, {})
    else:
        there.take("a", quantity)
        assert there.left("b") == min(remaining, quota - quantity)
        assert there.taken == {"a": quantity}
        assert there.taken_of_quotas == {"both": quantity, "own": quantity}


def test_what_is_put_back_is_there_to_take() -> None:
    there = shelf(0, 0)
    there.take("a", -2)
    assert there.left("a") == 2
    assert there.left("b") == 0  # of which none is left


def test_what_is_withdrawn_leaves_what_is_left_and_shrinks_all_that_it_was_part_of() -> None:
    there = shelf(3, 2)
    there.withdraw("a", 2)
    there.withdraw("b", 1)
    assert (there.left("a"), there.left("b")) == (2, 2)
    assert there.taken == {}
    assert there.withdrawn == {"a": 2, "b": 1}
    assert there.withdrawn_of_quotas == {"both": 3, "own": 2}
