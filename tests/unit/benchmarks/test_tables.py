"""How figures are shown."""

from benchmarks.tables import Row, Table, Target

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


def test_the_json_has_each_figure_under_its_column() -> None:
    target = Target("CPU", 0.4, 3, "%")
    found = Table("idle", "Idle", ROWS, (), [target]).json()
    assert found["rows"][0] == {"part": "gateway", "memory_mb": 70.31, "cpu_percent": 0.2}
    assert found["targets"] == [
        {"name": "CPU", "value": 0.4, "limit": 3, "unit": "%", "is_met": True}
    ]
