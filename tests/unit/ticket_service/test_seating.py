"""Which seats are the best that are left, and who may take them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticket_service.seating import domain
from ticket_service.seating.domain import (
    AssignedSeat,
    Change,
    NoAdjacentSeats,
    Seating,
    SeatNotFound,
    SeatState,
    SeatTaken,
)
from ticket_service.seating.plan import PlannedSeat, SeatPlan
from ticket_service.venues.domain import BlockReason

AVAILABLE, HELD, SOLD, BLOCKED = SeatState
CREATED = datetime(2026, 11, 20, 19, 30, tzinfo=UTC)

types = st.sampled_from(["tt_a", "tt_b"])
quantities = st.integers(1, 6)


def hall(*rows: str, ranks: Sequence[int] = ()) -> list[PlannedSeat]:
    """Rows of seats: `aaa|aab`: three seats, an aisle, two more, and one of another ticket type."""
    seats = []
    for index, row in enumerate(rows):
        number = 0
        for place, letter in enumerate(row):
            if letter == "|":
                continue
            number += 1
            seats.append(
                PlannedSeat(
                    seat_id=f"seat_{index}_{number}",
                    section="Stalls",
                    row=str(index),
                    number=str(number),
                    rank=ranks[index] if ranks else index,
                    aisle=row[place + 1 : place + 2] == "|",
                    ticket_type_id=f"tt_{letter}",
                )
            )
    return seats


def seated(seats: Sequence[PlannedSeat], letters: str = "") -> Seating:
    """Who has the seats: everybody is welcome, unless the letters say otherwise."""
    plan = SeatPlan("evt", CREATED, seats)
    return Seating(plan, 7, (letters or "A" * len(seats)).encode())


def best(of: Seating, quantity: int, ticket_type_id: str = "tt_a", *, orphans: bool = False) -> str:
    """The numbers of the best seats, which are held then: `0: 3 4` of the row 0; or `none`."""
    try:
        found = of.take_best("hold", ticket_type_id, quantity, allow_orphans=orphans)
    except NoAdjacentSeats:
        return "none"
    [row] = {seat.row for seat in found}
    return f"{row}: {' '.join(seat.number for seat in found)}"


@st.composite
def halls(draw: st.DrawFn) -> tuple[list[PlannedSeat], str]:
    """A small hall of any shape, and who has its seats."""
    rows = draw(st.lists(st.text("aaab|", max_size=12), min_size=1, max_size=5))
    ranks = [draw(st.integers(0, 3)) for _ in rows]
    seats = hall("a", *rows, ranks=[3, *ranks])
    letters = draw(st.text("AAAHSB", min_size=len(seats), max_size=len(seats)))
    return seats, letters


def runs(seats: Sequence[PlannedSeat], letters: str, ticket_type_id: str) -> Iterator[list[int]]:
    """Available seats of a type that stand together: as plainly as it can be said."""
    run: list[int] = []
    for at, seat in enumerate(seats):
        before = seats[at - 1]
        if run and (before.aisle or before.row != seat.row or run[-1] != at - 1):
            yield run
            run = []
        if seat.ticket_type_id == ticket_type_id and letters[at] == "A":
            run = [*run, at]
    if run:
        yield run


def model(
    seats: Sequence[PlannedSeat],
    letters: str,
    ticket_type_id: str,
    quantity: int,
    *,
    orphans: bool,
) -> list[int]:
    """What `take_best` should take: every place is tried, and the best one chosen; [] is none."""
    places = []
    for run in runs(seats, letters, ticket_type_id):
        row = [at for at, seat in enumerate(seats) if seat.row == seats[run[0]].row]
        for left in range(len(run) - quantity + 1):
            place = run[left : left + quantity]
            right = len(run) - quantity - left
            alone = [left, right].count(1)
            if orphans or not alone:
                off_middle = abs((place[0] + place[-1]) / 2 - (row[0] + row[-1]) / 2)
                waste = left % quantity + right % quantity
                rank = seats[run[0]].rank
                places.append(((rank, row[0], waste, alone, off_middle, place[0]), place))
    return min(places)[1] if places else []


@given(halls(), types, quantities, st.booleans())
def test_the_best_seats_are_those_that_trying_every_place_finds(
    market: tuple[list[PlannedSeat], str], ticket_type_id: str, quantity: int, orphans: bool
) -> None:
    seats, letters = market
    seating = seated(seats, letters)
    expected = model(seats, letters, ticket_type_id, quantity, orphans=orphans)
    if not expected:
        with pytest.raises(NoAdjacentSeats):
            seating.take_best("hold", ticket_type_id, quantity, allow_orphans=orphans)
        assert seating.letters == letters
        return
    found = seating.take_best("hold", ticket_type_id, quantity, allow_orphans=orphans)
    assert [seat.seat_id for seat in found] == [seats[at].seat_id for at in expected]


@given(st.integers(1, 80), st.integers(1, 80), st.integers(0, 80), st.integers(1, 7), st.booleans())
def test_long_rows_have_their_best_seats_where_trying_every_place_finds_them(
    left: int, free: int, right: int, quantity: int, orphans: bool
) -> None:
    seats = hall("a" * (left + free + right))
    letters = "S" * left + "A" * free + "S" * right
    seating = seated(seats, letters)
    expected = model(seats, letters, "tt_a", quantity, orphans=orphans)
    numbers = " ".join(seats[at].number for at in expected)
    assert best(seating, quantity, orphans=orphans) == (f"0: {numbers}" if expected else "none")


@given(halls(), types, quantities)
def test_no_seat_is_left_alone_unless_asked(
    market: tuple[list[PlannedSeat], str], ticket_type_id: str, quantity: int
) -> None:
    seats, letters = market
    seating = seated(seats, letters)
    try:
        seating.take_best("hold", ticket_type_id, quantity, allow_orphans=False)
    except NoAdjacentSeats:
        return
    alone = [run for run in runs(seats, letters, ticket_type_id) if len(run) == 1]
    left = [run for run in runs(seats, seating.letters, ticket_type_id) if len(run) == 1]
    assert all(run in alone for run in left)


@given(halls(), st.lists(st.tuples(types, quantities, st.booleans(), st.booleans()), max_size=30))
def test_what_was_looked_at_before_does_not_mislead(
    market: tuple[list[PlannedSeat], str], steps: list[tuple[str, int, bool, bool]]
) -> None:
    """A seating remembers where it looked in vain, and what is free: neither may be out of date."""
    seats, letters = market
    seating, taken = seated(seats, letters), list[tuple[AssignedSeat, ...]]()
    for ticket_type_id, quantity, orphans, gives_back in steps:
        if gives_back and taken:
            seating.give_back([seat.seat_id for seat in taken.pop(quantity % len(taken))])
        now = seating.letters
        expected = model(seats, now, ticket_type_id, quantity, orphans=orphans)
        try:
            found = seating.take_best("hold", ticket_type_id, quantity, allow_orphans=orphans)
        except NoAdjacentSeats:
            assert expected == []
        else:
            taken.append(found)
            assert [seat.seat_id for seat in found] == [seats[at].seat_id for at in expected]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 4))
def test_rows_that_groups_fill_are_sold_to_the_last_group(rows: list[int], quantity: int) -> None:
    seats = hall(*("a" * (groups * quantity) for groups in rows))
    seating = seated(seats)
    for _ in range(sum(rows)):
        # Singles may leave two beside each other, which only pairs want.
        seating.take_best("hold", "tt_a", quantity, allow_orphans=quantity == 1)
    assert seating.letters == "H" * len(seats)


@pytest.mark.parametrize(
    ("rows", "letters", "quantity", "expected"),
    [
        (["aaaa", "aaaa"], "", 2, "0: 1 2"),
        (["aaaaaa"], "", 2, "0: 3 4"),
        (["aa", "aaaa"], "", 3, "none"),
        (["aa", "aaa"], "", 3, "1: 1 2 3"),
        (["aa|aa"], "", 3, "none"),
        (["aa|aaa"], "", 3, "0: 3 4 5"),
        (["aaba"], "", 3, "none"),
        (["aaaaa"], "", 2, "0: 1 2"),
        (["aaaaa"], "", 4, "none"),
        (["aaaaa"], "", 5, "0: 1 2 3 4 5"),
        (["a"], "", 1, "0: 1"),
        (["aa"], "", 1, "none"),
        (["aaaaaa"], "HHAAHH", 2, "0: 3 4"),
        (["aaaaaaaaa"], "AAAASAAAA", 4, "0: 1 2 3 4"),
        (["aaaa", "aaaa"], "AHAAAAAA", 2, "0: 3 4"),
        (["aaaa", "aaaa"], "AABAAAAA", 4, "1: 1 2 3 4"),
    ],
)
def test_groups_sit_together_in_the_best_row_that_has_room(
    rows: list[str], letters: str, quantity: int, expected: str
) -> None:
    assert best(seated(hall(*rows), letters), quantity) == expected


def test_rows_of_a_low_rank_are_the_best_wherever_they_stand() -> None:
    seating = seated(hall("aa", "aa", "aa", ranks=[5, -1, 5]))
    assert [best(seating, 2) for _ in range(4)] == ["1: 1 2", "0: 1 2", "2: 1 2", "none"]


def test_single_seats_may_stay_alone_when_asked_but_not_without_need() -> None:
    seating = seated(hall("aaaaa"))
    assert best(seating, 4) == "none"
    assert best(seating.copy(), 2, orphans=True) == "0: 1 2"
    assert best(seating, 4, orphans=True) == "0: 1 2 3 4"
    assert best(seating, 2, orphans=True) == "none"
    assert best(seating, 1, orphans=True) == "0: 5"


def test_a_row_without_room_is_looked_at_again_when_its_seats_change() -> None:
    seating = seated(hall("aaa"))
    assert best(seating, 2) == "none"
    seating.take("hold", "tt_a", ["seat_0_1"])
    assert best(seating, 2) == "0: 2 3"
    seating = seated(hall("aaaa"), "AHAA")
    assert best(seating, 3, orphans=True) == "none"
    seating.give_back(["seat_0_2"])
    assert best(seating, 3, orphans=True) == "0: 1 2 3"


def test_nobody_sits_where_another_ticket_type_is_sold() -> None:
    seating = seated(hall("aabb", "bbbb"))
    assert best(seating, 2, "tt_a") == "0: 1 2"
    assert best(seating, 2, "tt_a") == "none"
    assert best(seating, 2, "tt_b") == "0: 3 4"
    assert best(seating, 2, "tt_unknown") == "none"


def test_chosen_seats_are_named_in_the_order_in_which_they_were_chosen() -> None:
    seating = seated(hall("aa", "aa"))
    assert seating.take("hold", "tt_a", ["seat_1_2", "seat_0_1"]) == (
        AssignedSeat("seat_1_2", "Stalls", "1", "2"),
        AssignedSeat("seat_0_1", "Stalls", "0", "1"),
    )
    assert seating.letters == "HAAH"


@pytest.mark.parametrize(
    ("seat_ids", "refusal", "named"),
    [
        (["seat_0_1", "seat_0_2"], SeatTaken, {"seat_ids": "seat_0_2"}),
        (["seat_0_3", "seat_0_1", "seat_0_4"], SeatTaken, {"seat_ids": "seat_0_3,seat_0_4"}),
        (["seat_0_1", "seat_0_1"], SeatTaken, {}),
        (["seat_0_1", "seat_9_9"], SeatNotFound, {"seat_id": "seat_9_9"}),
        (["seat_0_1", "seat_0_5"], SeatNotFound, {"seat_id": "seat_0_5"}),
    ],
)
def test_chosen_seats_are_taken_all_or_none(
    seat_ids: list[str], refusal: type[Exception], named: dict[str, str]
) -> None:
    seating = seated(hall("aaaab"), "AHSBA")
    with pytest.raises(refusal) as refused:
        seating.take("hold", "tt_a", seat_ids)
    assert refused.value.metadata == named  # type: ignore[attr-defined]
    assert seating.letters == "AHSBA"
    assert seating.changes == {}


def test_an_error_names_a_few_of_many_seats() -> None:
    seating = seated(hall("a" * 100), "H" * 100)
    with pytest.raises(SeatTaken) as refused:
        seating.take("hold", "tt_a", [f"seat_0_{number}" for number in range(1, 101)])
    assert refused.value.metadata["seat_ids"].count(",") == domain.MAX_NAMED - 1


def test_seats_are_held_then_sold_and_come_back_from_both() -> None:
    seating = seated(hall("aaaa"), "HHSB")
    seating.sell(["seat_0_1"])
    seating.give_back(["seat_0_2", "seat_0_3"])
    assert seating.letters == "SAAB"


@pytest.mark.parametrize("letter", "AB")
def test_what_nobody_has_cannot_be_given_back_or_sold(letter: str) -> None:
    seating = seated(hall("a"), letter)
    with pytest.raises(AssertionError):
        seating.give_back(["seat_0_1"])
    with pytest.raises(AssertionError):
        seating.sell(["seat_0_1"])


def test_seats_whose_tickets_are_cancelled_may_stay_off_sale() -> None:
    seating = seated(hall("AA"), "SS")
    seating.withdraw(["seat_0_2"], BlockReason.HOUSE, "Refunded")
    assert seating.letters == "SB"
    assert seating.changes == {1: Change(SOLD, BLOCKED, None, BlockReason.HOUSE, "Refunded")}


@pytest.mark.parametrize("letter", "AHB")
def test_what_was_not_sold_is_not_withdrawn(letter: str) -> None:
    with pytest.raises(AssertionError):
        seated(hall("A"), letter).withdraw(["seat_0_1"], BlockReason.HOUSE)


def test_seats_are_blocked_all_or_none_and_not_under_anybody() -> None:
    seating = seated(hall("aabb"), "AHAA")
    with pytest.raises(SeatTaken):
        seating.block(["seat_0_1", "seat_0_2"], BlockReason.HOUSE)
    with pytest.raises(SeatNotFound):
        seating.block(["seat_0_1", "seat_9_9"], BlockReason.HOUSE)
    assert seating.letters == "AHAA"
    assert seating.block(["seat_0_1", "seat_0_3", "seat_0_4"], BlockReason.HOUSE) == {
        "tt_a": 1,
        "tt_b": 2,
    }
    assert seating.letters == "BHBB"


def test_a_blocked_seat_may_get_another_reason() -> None:
    seating = seated(hall("aa"), "BA")
    assert seating.block(["seat_0_1", "seat_0_2"], BlockReason.OTHER, "Camera") == {"tt_a": 1}
    assert seating.changes[0] == Change(BLOCKED, BLOCKED, reason=BlockReason.OTHER, note="Camera")


def test_unblocking_leaves_alone_what_is_not_blocked() -> None:
    seating = seated(hall("aaab"), "BHAB")
    every = ["seat_0_1", "seat_0_2", "seat_0_3", "seat_0_4"]
    assert seating.unblock(every) == {"tt_a": 1, "tt_b": 1}
    assert seating.letters == "AHAA"
    assert seating.unblock(every) == {}
    with pytest.raises(SeatNotFound):
        seating.unblock(["seat_9_9"])


def test_changes_tell_what_each_seat_was_and_whose_it_is() -> None:
    seating = seated(hall("aaaaaa"), "AHSBHA")
    seating.take("new", "tt_a", ["seat_0_1"])
    seating.sell(["seat_0_1", "seat_0_2"])
    seating.give_back(["seat_0_3", "seat_0_5"])
    seating.unblock(["seat_0_4"])
    seating.take("next", "tt_a", ["seat_0_5"])
    seating.block(["seat_0_6"], BlockReason.WHEELCHAIR, "By the door")
    assert seating.changes == {
        0: Change(AVAILABLE, SOLD, "new"),
        1: Change(HELD, SOLD),
        2: Change(SOLD, AVAILABLE),
        3: Change(BLOCKED, AVAILABLE),
        4: Change(HELD, HELD, "next"),
        5: Change(AVAILABLE, BLOCKED, None, BlockReason.WHEELCHAIR, "By the door"),
    }


def test_what_is_undone_is_no_change() -> None:
    seating = seated(hall("aa"))
    seating.take("hold", "tt_a", ["seat_0_1"])
    seating.give_back(["seat_0_1"])
    seating.block(["seat_0_2"], BlockReason.HOUSE)
    seating.unblock(["seat_0_2"])
    assert seating.changes == {}


@given(halls(), st.lists(st.tuples(types, quantities), max_size=10))
def test_a_copy_and_what_it_is_of_do_not_touch_each_other(
    market: tuple[list[PlannedSeat], str], steps: list[tuple[str, int]]
) -> None:
    seats, letters = market
    original = seated(seats, letters)
    for number, (ticket_type_id, quantity) in enumerate(steps):
        copy = original.copy()
        before = original.letters, dict(original.changes)
        with suppress(NoAdjacentSeats):
            copy.take_best(f"hold_{number}", ticket_type_id, quantity, allow_orphans=True)
        assert (original.letters, original.changes) == before
        original = copy
    states = {position: change.state for position, change in original.changes.items()}
    again = seated(seats, letters).at(8, states)
    assert (again.version, again.changes) == (8, {})
    assert again.letters == original.letters
    for ticket_type_id, quantity in steps:
        assert best(again, quantity, ticket_type_id) == best(original, quantity, ticket_type_id)
