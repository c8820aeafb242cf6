"""What a watcher is told of a change."""

from dataclasses import replace
from datetime import UTC, datetime

from ticket_service.availability.domain import (
    MAX_CHANGED_SEATS,
    Availability,
    SeatChange,
    SeatChanges,
    SeatStates,
    Update,
    first,
    moved,
    update,
)
from ticket_service.catalog.domain import EventState

MAP, NEW_MAP = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
TAKEN = (SeatChange(3, "H"), SeatChange(4, "H"))


def at(version: int, seated_at: datetime = MAP) -> Availability:
    """An event whose seats are at a version; 0: it has none."""
    seats = SeatStates(seated_at, version) if version else None
    return Availability("evt_1", "org_1", EventState.PUBLISHED, {"typ_1": 5}, seats)


def changes(version: int, *changed: SeatChange) -> SeatChanges:
    return SeatChanges(SeatStates(MAP, version), changed)


def test_who_comes_is_told_all_that_remains_and_at_which_version_the_seats_are() -> None:
    assert first(at(7)) == Update(at(7), previous_seats_version=7)
    assert first(at(0)) == Update(at(0), previous_seats_version=0)
    assert (first(at(7)).seats_version, first(at(0)).seats_version) == (7, 0)


def test_changed_seats_are_told_with_the_version_they_change() -> None:
    assert moved(at(7), at(9)) == SeatStates(MAP, 7)
    assert update(at(7), at(9), changes(9, *TAKEN)) == Update(at(9), 7, TAKEN)


def test_seats_that_changed_since_the_stock_was_read_are_told_with_their_own_version() -> None:
    assert update(at(7), at(9), changes(10, *TAKEN)) == Update(at(10), 7, TAKEN)


def test_a_change_of_stock_alone_changes_no_seats() -> None:
    sold = replace(at(7), remaining={"typ_1": 4})
    assert moved(at(7), sold) is None
    assert update(at(7), sold) == Update(sold, 7)


def test_too_many_changed_seats_are_not_told_but_asked_for() -> None:
    many = tuple(SeatChange(position, "B") for position in range(MAX_CHANGED_SEATS + 1))
    assert update(at(7), at(9), changes(9, *many)) == Update(at(9), previous_seats_version=9)
    assert update(at(7), at(9), changes(9, *many[1:])).changed_seats == many[1:]


def test_an_event_that_is_seated_anew_starts_over() -> None:
    for before, now in (
        (at(7), at(1, NEW_MAP)),
        (at(7), at(9, NEW_MAP)),
        (at(0), at(1)),
        (at(7), at(0)),
    ):
        assert moved(before, now) is None
        assert update(before, now) == Update(now, previous_seats_version=0)


def test_a_map_that_is_replaced_while_it_is_read_is_told_at_the_next_look() -> None:
    assert update(at(7), at(9), None) == Update(at(7), 7)
