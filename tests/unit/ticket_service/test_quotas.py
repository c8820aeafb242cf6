"""What a quota leaves of the ticket types that share it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.ticket_service.test_catalog import TICKET_TYPE
from ticket_service.catalog.domain import TicketType, TicketTypeNotFound
from ticket_service.holds.domain import DuplicateTicketType
from ticket_service.quotas import domain
from ticket_service.quotas.domain import Quota

NOW = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)


def sold(ticket_type_id: str, taken: int) -> TicketType:
    """A ticket type of which so many are sold or held."""
    return replace(TICKET_TYPE, id=ticket_type_id, total_stock=1000, remaining=1000 - taken)


def quota(size: int, remaining: int, *ticket_type_ids: str) -> Quota:
    return Quota("quota", "evt", "Hall", size, remaining, ticket_type_ids, 1, NOW, NOW)


@given(size=st.integers(0, 200), taken=st.lists(st.integers(0, 100), max_size=4), extra=st.data())
def test_a_quota_leaves_its_size_less_what_is_out_of_its_ticket_types_together(
    size: int, taken: list[int], extra: st.DataObject
) -> None:
    types = [sold(f"tt{number}", each) for number, each in enumerate(taken)]
    members = [each for each in types if extra.draw(st.booleans())]
    ids = [each.id for each in members]
    out = sum(each.taken for each in members)
    if out > size:
        with pytest.raises(domain.QuotaBelowSold, match=f"^{out} "):
            domain.remaining(size, ids, types)
    else:
        assert domain.remaining(size, ids, types) + out == size


def test_a_quota_of_no_ticket_types_is_untouched() -> None:
    assert domain.remaining(5, [], [sold("a", 100)]) == 5


def test_a_quota_names_each_of_the_events_ticket_types_once() -> None:
    types = [sold("a", 1), sold("b", 1)]
    with pytest.raises(DuplicateTicketType) as refused:
        domain.remaining(5, ["a", "b", "a"], types)
    assert refused.value.violations[0].field == "ticket_type_ids[2]"
    with pytest.raises(TicketTypeNotFound) as missing:
        domain.remaining(5, ["a", "c"], types)
    assert missing.value.metadata == {"ticket_type_id": "c"}


def test_a_change_counts_the_ticket_types_that_the_quota_has_after_it() -> None:
    types = [sold("a", 3), sold("b", 4)]
    before = quota(5, 2, "a")
    assert domain.change(before, {"name": "Gallery"}, types) == replace(before, name="Gallery")
    assert domain.change(before, {"size": 3}, types).remaining == 0
    assert domain.change(before, {"ticket_type_ids": ["b"]}, types).remaining == 1
    assert domain.change(before, {"ticket_type_ids": []}, types).remaining == 5
    assert domain.change(before, {"ticket_type_ids": ["a", "b"], "size": 7}, types).remaining == 0
    for changes in ({"size": 2}, {"ticket_type_ids": ["a", "b"]}):
        with pytest.raises(domain.QuotaBelowSold):
            domain.change(before, changes, types)
