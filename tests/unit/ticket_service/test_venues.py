"""Which layouts make sense, what is said of those that do not, and which seats keep their ids."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticket_service.venues import domain
from ticket_service.venues.domain import Layout, Rest, Row, Seat, Section, Size, Zone

SEAT = Seat(id="", number="1", x=0.0, y=0.0, zone="", aisle=False, block_reason=None)
REST = Rest(frozenset({"Gold"}), frozenset({"Balcony"}), Size(0, 0, 0))


def seats(*numbers: str, zone: str = "") -> list[Seat]:
    return [replace(SEAT, number=number, zone=zone) for number in numbers]


def row(name: str = "A", *, zone: str = "Gold", of: Sequence[Seat] = (SEAT,)) -> Row:
    return Row(name, 0, zone, of)


def section(name: str = "Stalls", *rows: Row) -> Section:
    return Section("", name, rows or (row(),))


def layout(*sections: Section, zones: Sequence[Zone] = (Zone("Gold", ""),)) -> Layout:
    return Layout(zones, sections)


def refused(check: Callable[[], object]) -> dict[str, str]:
    """What the check found: descriptions by place."""
    with pytest.raises(domain.InvalidLayout) as caught:
        check()
    first = caught.value.violations[0]
    assert caught.value.message == f"{first.field}: {first.description}"
    return {violation.field: violation.description for violation in caught.value.violations}


def found_in(given: Layout) -> dict[str, str]:
    return refused(lambda: domain.check_layout(given))


def test_a_layout_without_seats_zones_or_sections_is_one() -> None:
    assert domain.check_layout(Layout([], [])).seats == 0
    assert domain.check_layout(layout(section("Stalls", row("A", of=[])))).seats == 0


def test_a_number_that_is_used_twice_is_named_where_it_is_used_again() -> None:
    stalls = section("Stalls", row("A"), row("B", of=seats("1", "2", "1")))
    assert found_in(layout(section("Balcony"), stalls)) == {
        "sections[1].rows[1].seats[2].number": "is used twice in this row"
    }


def test_names_are_unique_among_their_siblings_only() -> None:
    same = Section("", "Gold", [row("Gold", of=seats("Gold"))])
    domain.check_layout(layout(same, replace(same, name="Silver")))
    twice = layout(
        section("A", row("1"), row("1")), section("A"), zones=[Zone("Gold", ""), Zone("Gold", "")]
    )
    assert found_in(twice) == {
        "zones[1].name": "is used twice in this hall",
        "sections[1].name": "is used twice in this hall",
        "sections[0].rows[1].name": "is used twice in this section",
    }


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("", "must not be blank"), (" \t", "must not be blank"), ("ř" * 101, "must be at most 100")],
)
def test_everything_has_a_name_of_1_to_100_characters(name: str, wrong: str) -> None:
    zones = [Zone("Gold", ""), Zone(name, "")]
    found = found_in(layout(section(name, row(name, of=seats(name))), zones=zones))
    assert set(found) == {
        "zones[1].name",
        "sections[0].name",
        "sections[0].rows[0].name",
        "sections[0].rows[0].seats[0].number",
    }
    assert all(description.startswith(wrong) for description in found.values())
    good = "ř" * 100
    domain.check_layout(
        layout(section(good, row(good, zone=good, of=seats(good))), zones=[Zone(good, "")])
    )


def test_a_seat_has_a_zone_of_its_own_or_of_its_row() -> None:
    domain.check_layout(layout(section("A", row(zone="", of=seats("1", zone="Gold")))))
    missing = section("A", row(zone="", of=[*seats("1", zone="Gold"), *seats("2")]))
    assert found_in(layout(missing)) == {
        "sections[0].rows[0].seats[1].zone": "must be given: its row has none"
    }


def test_a_zone_must_be_one_of_the_layouts_and_a_rows_is_blamed_once() -> None:
    unknown = section("A", row("1", zone="Lead", of=seats("1", "2")), row("2", of=seats("3")))
    assert found_in(layout(unknown)) == {
        "sections[0].rows[0].zone": "is not one of the hall's zones"
    }
    of_seat = section("A", row(of=[*seats("1"), *seats("2", zone="gold")]))
    assert found_in(layout(of_seat)) == {
        "sections[0].rows[0].seats[1].zone": "is not one of the hall's zones"
    }


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_seat_stands_somewhere(value: float) -> None:
    lost = [replace(SEAT, x=value), replace(SEAT, number="2", y=value)]
    assert found_in(layout(section("A", row(of=lost)))) == {
        "sections[0].rows[0].seats[0].x": "must be a finite number",
        "sections[0].rows[0].seats[1].y": "must be a finite number",
    }


def test_a_color_is_six_digits_or_none() -> None:
    domain.check_layout(layout(zones=[Zone("A", "#c0392b"), Zone("B", "#C0392B"), Zone("C", "")]))
    for color in ("red", "#fff", "#c0392bff", "#c0392g", "c0392b", " #c0392b", "#c0392b\n"):
        found = found_in(layout(zones=[Zone("A", color)]))
        assert found == {"zones[0].color": "must be written like #c0392b, or empty"}


def test_an_answer_names_fifty_places_at_most() -> None:
    hopeless = layout(section("A", row(of=seats(*[""] * 200))))
    assert len(found_in(hopeless)) == domain.MAX_NAMED


def hall_of(row_count: int, seats_each: int, text: str = "") -> Layout:
    of = seats(*(f"{number}{text}" for number in range(seats_each)))
    return layout(section("A", *(row(str(index), of=of) for index in range(row_count))))


def test_a_hall_has_at_most_50000_seats() -> None:
    assert domain.check_layout(hall_of(50, 1000)).seats == 50_000
    over = hall_of(50, 1000)
    over = replace(over, sections=[*over.sections, section("B")])
    assert found_in(over) == {"sections": "would give the hall more than 50,000 seats"}


def test_a_hall_has_at_most_10000_rows() -> None:
    assert domain.check_layout(hall_of(10_000, 0)).rows == 10_000
    assert found_in(hall_of(10_001, 0)) == {"sections": "would give the hall more than 10,000 rows"}


def test_a_halls_names_fit_into_one_message() -> None:
    domain.check_layout(hall_of(100, 100, "ř" * 40))
    found = found_in(hall_of(100, 100, "ř" * 60))  # two bytes each
    assert found == {"sections": "have too long names: let seats take the zone of their row"}
    each_zoned = seats(*map(str, range(1000)), zone="Gold")
    size = domain.check_layout(layout(section("A", row(of=each_zoned)))).text_bytes
    assert size == len("A" + "Gold") + 1000 * len("Gold") + len("".join(map(str, range(1000))))


def test_a_sections_places_are_told_from_the_section() -> None:
    bad = section("Balcony", row("A", zone="Lead"), row("A", of=seats("1", "1")))
    assert refused(lambda: domain.check_section(bad, REST)) == {
        "name": "is used twice in this hall",
        "rows[1].name": "is used twice in this section",
        "rows[0].zone": "is not one of the hall's zones",
        "rows[1].seats[1].number": "is used twice in this row",
    }


def test_a_section_must_leave_the_hall_within_its_limits() -> None:
    assert domain.check_section(section(), replace(REST, size=Size(9_999, 49_999, 0))) == Size(
        10_000, 50_000, len("AGold1")
    )
    full = replace(REST, size=Size(10_000, 50_000, domain.MAX_TEXT_BYTES))
    with pytest.raises(domain.InvalidLayout) as caught:
        domain.check_section(section(), full)
    assert [violation.field for violation in caught.value.violations] == ["rows"] * 3
    names = frozenset(map(str, range(domain.MAX_SECTIONS)))
    with pytest.raises(domain.TooManySections):
        domain.check_section(section(), replace(REST, section_names=names))


names = st.sampled_from(("A", "B", "C"))
numbers = st.lists(names, unique=True, max_size=3)
rows = st.dictionaries(names, numbers, max_size=3)
layouts = st.dictionaries(names, rows, max_size=3).map(
    lambda found: layout(
        *(
            Section("", name, [row(each, of=seats(*of)) for each, of in inside.items()])
            for name, inside in found.items()
        )
    )
)
NOTHING = Layout((), ())


def places(of: Layout) -> dict[tuple[str, ...], str]:
    """Every id, by where it is."""
    found: dict[tuple[str, ...], str] = {}
    for each in of.sections:
        found[each.name,] = each.id
        for line in each.rows:
            found |= {(each.name, line.name, seat.number): seat.id for seat in line.seats}
    return found


@given(layouts)
def test_every_section_and_seat_gets_an_id_of_its_own(given: Layout) -> None:
    found = places(domain.settle(given, NOTHING))
    assert len(set(found.values())) == len(found)
    for place, new in found.items():
        assert new.startswith("sec_" if len(place) == 1 else "seat_")


@given(layouts)
def test_a_layout_that_is_brought_again_changes_nothing(given: Layout) -> None:
    settled = domain.settle(given, NOTHING)
    assert domain.settle(given, settled) == settled
    assert domain.settle(settled, settled) == settled


@given(layouts, layouts)
def test_what_is_where_it_was_keeps_its_id_and_nothing_else_does(
    before: Layout, after: Layout
) -> None:
    current = domain.settle(before, NOTHING)
    old = places(current)
    new = places(domain.settle(after, current))
    assert {place for place in new if new[place] in old.values()} == set(old) & set(new)
    assert all(new[place] == old[place] for place in set(old) & set(new))


@given(layouts)
def test_ids_that_are_sent_are_not_taken(given: Layout) -> None:
    forged = domain.settle(given, NOTHING)
    assert not set(places(forged).values()) & set(places(domain.settle(forged, NOTHING)).values())


def test_a_renamed_sections_seats_keep_their_ids() -> None:
    current = domain.settle_section(section("Stalls", row("A", of=seats("1", "2"))), None)
    renamed = domain.settle_section(replace(current, name="Parterre"), current)
    assert renamed == replace(current, name="Parterre")
