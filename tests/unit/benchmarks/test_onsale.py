"""How the on-sale measures tell a promise that was kept from one that was broken."""

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.load import Load
from benchmarks.onsale.finding import Use, wrong_answers
from benchmarks.onsale.lateness import Seen, latest_s, too_early
from benchmarks.onsale.rush import Rush
from benchmarks.onsale.seats import Sale
from benchmarks.onsale.stock import Counts

USE = Use("rush", 1, 0.1, {})


def load(**changes: Any) -> Load:
    """Ten holds and ninety refusals, all as they should be."""
    report = {
        "answers": 100,
        "duration_s": 1,
        "statuses": {"201": 10, "409": 90},
        "reasons": {"SOLD_OUT": 90},
        "moments": {"first_sent_s": 0.0, "last_created_s": 2.0},
        "lost": 0,
        "p99_ms": 20,
    }
    return Load({**report, **changes}, 0.1, 0.1)


SOLD_OUT = Counts(total=10, remaining=0, held=10, released=0, issued=0)
RUSH = Rush("rush", load(), USE, [f"hold_{n}" for n in range(10)], 10, SOLD_OUT, late_holds=0)


def test_what_a_sale_may_answer_is_not_wrong() -> None:
    assert wrong_answers("rush", load(statuses={"201": 1, "409": 1, "429": 1, "503": 1})) == []


def test_other_answers_and_lost_connections_are_wrong() -> None:
    found = wrong_answers("rush", load(statuses={"201": 1, "500": 2}, lost=3))
    assert found == ["rush: 2 of 500", "rush: 3 of lost connections"]


def test_a_rush_that_sold_everything_is_neither_over_nor_undersold() -> None:
    assert (RUSH.oversold, RUSH.undersold, RUSH.wrong()) == (0, 0, [])


def test_more_holds_than_tickets_are_oversold() -> None:
    assert replace(RUSH, stock=8).oversold == 2


def test_more_tickets_in_the_database_than_there_are_is_oversold() -> None:
    assert replace(RUSH, counts=replace(SOLD_OUT, issued=3)).oversold == 3


def test_tickets_left_after_sold_out_was_said_are_undersold() -> None:
    assert replace(RUSH, counts=replace(SOLD_OUT, held=6, remaining=4)).undersold == 4


def test_tickets_left_while_nobody_was_refused_are_not_undersold() -> None:
    left = replace(SOLD_OUT, held=6, remaining=4)
    assert replace(RUSH, found=load(reasons={}), counts=left).undersold == 0


def test_a_hold_made_after_sold_out_was_said_is_undersold() -> None:
    assert replace(RUSH, late_holds=2).undersold == 2


def test_a_hold_made_of_what_a_lost_caller_returned_is_not_undersold() -> None:
    assert replace(RUSH, late_holds=2, counts=replace(SOLD_OUT, released=2)).undersold == 0


def test_a_hold_that_two_customers_got_is_wrong() -> None:
    assert replace(RUSH, hold_ids=["hold_1", "hold_1"]).wrong() == [
        "rush: two customers got the same hold"
    ]


def test_an_acknowledged_hold_that_is_not_there_is_wrong() -> None:
    lost = replace(RUSH, counts=replace(SOLD_OUT, held=9, remaining=1))
    assert lost.wrong() == ["rush: holds were acknowledged that are not there"]


HALL = Sale(load(), USE, 2, [["seat_1", "seat_2"], ["seat_3", "seat_4"]], taken_twice=0)


def test_a_hall_sold_to_the_last_pair_is_not_wrong() -> None:
    assert HALL.wrong() == []
    assert HALL.seconds == 2


@pytest.mark.parametrize(
    ("sold", "wrong"),
    [
        ([["seat_1", "seat_2"], ["seat_2", "seat_3"]], "1 seats were given to two customers"),
        ([["seat_1", "seat_2"], ["seat_3"]], "a pair has not two seats"),
        ([["seat_1", "seat_2"]], "1 pairs of 2 were sold"),
    ],
)
def test_seats_given_twice_or_not_at_all_are_wrong(sold: list[list[str]], wrong: str) -> None:
    assert replace(HALL, sold=sold).wrong() == [f"seats: {wrong}"]


DEADLINES = [100.0, 100.5, 101.0]


def test_the_latest_ticket_counts() -> None:
    seen = [Seen(99.0, 0), Seen(100.1, 1), Seen(103.0, 2), Seen(103.1, 3)]
    assert latest_s(DEADLINES, seen) == 2.5


def test_tickets_that_are_back_together_are_as_late_as_the_first_of_them() -> None:
    assert latest_s(DEADLINES, [Seen(100.0, 0), Seen(102.0, 3)]) == 2.0


def test_a_ticket_that_is_back_before_its_deadline_is_too_early() -> None:
    assert too_early(DEADLINES, [Seen(100.6, 2), Seen(101.0, 3)]) == 0
    assert too_early(DEADLINES, [Seen(100.4, 2), Seen(101.0, 3)]) == 1
