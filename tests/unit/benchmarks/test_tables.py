"""How figures are shown."""

import pytest

from benchmarks.tables import Bound, Row, Table, Target

ROWS: list[Row] = [
    {"part": "gateway", "memory_mb": 70.31, "cpu_percent": 0.2},
    {"part": "whole mesh", "memory_mb": 584.6, "cpu_percent": None},
]


def test_words_stand_left_and_numbers_right() -> None:
    assert Table("idle", "Idle", ROWS, ["Memory is PSS."]).render().splitlines() == [
        "Idle",
        "",
        "part        memory_mb  cpu_percent",
        "----------  ---------  -----------",
        "gateway          70.3          0.2",
        "whole mesh        585            -",
        "Memory is PSS.",
    ]


def test_a_target_says_whether_it_is_met() -> None:
    met, missed = Target("memory", 399.9, 400, "MB"), Target("memory", 400.0, 400, "MB")
    assert met.render() == "PASS  memory: 399.9 MB (target: under 400 MB)"
    assert missed.render() == "MISS  memory: 400 MB (target: under 400 MB)"


@pytest.mark.parametrize(
    ("bound", "met", "missed"),
    [
        (Bound.UNDER, 399.9, 400.0),
        (Bound.AT_MOST, 400.0, 400.1),
        (Bound.AT_LEAST, 400.0, 399.9),
    ],
)
def test_a_target_is_on_one_side_of_its_limit(bound: Bound, met: float, missed: float) -> None:
    assert Target("holds", met, 400, "holds/s", bound).is_met
    assert not Target("holds", missed, 400, "holds/s", bound).is_met


def test_a_table_of_targets_says_the_same() -> None:
    assert Target("holds", 2600.4, 2500, "holds/s", Bound.AT_LEAST).row() == {
        "measure": "holds",
        "target": "at least 2,500 holds/s",
        "figure": "2,600 holds/s",
        "verdict": "PASS",
    }


def test_the_json_has_each_figure_under_its_column() -> None:
    target = Target("CPU", 0.4, 3, "%")
    found = Table("idle", "Idle", ROWS, (), [target]).json()
    assert found["rows"][0] == {"part": "gateway", "memory_mb": 70.31, "cpu_percent": 0.2}
    assert found["targets"] == [
        {"name": "CPU", "value": 0.4, "limit": 3, "bound": "under", "unit": "%", "is_met": True}
    ]
