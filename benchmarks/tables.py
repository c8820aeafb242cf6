"""What a measure finds: a table of figures, as people read it and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

Value = str | int | float | None
Row = Mapping[str, Value]


class Bound(StrEnum):
    """On which side of its limit a figure must stay."""

    UNDER = "under"
    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must keep to a limit."""

    name: str
    value: float
    limit: float
    unit: str
    bound: Bound = Bound.UNDER

    @property
    def is_met(self) -> bool:
        if self.bound is Bound.AT_LEAST:
            return self.value >= self.limit
        return self.value < self.limit or (self.bound is Bound.AT_MOST and self.value == self.limit)

    def render(self) -> str:
        """`PASS  memory, idle: 312 MB (target: under 400 MB)`."""
        row = self.row()
        return f"{row['verdict']}  {self.name}: {row['figure']} (target: {row['target']})"

    def row(self) -> Row:
        """For a table of targets."""
        return {
            "measure": self.name,
            "target": f"{self.bound} {_number(self.limit)} {self.unit}",
            "figure": f"{_number(self.value)} {self.unit}",
            "verdict": "PASS" if self.is_met else "MISS",
        }

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": self.value,
            "limit": self.limit,
            "bound": self.bound,
            "unit": self.unit,
            "is_met": self.is_met,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """One measure's rows. All have the same columns, which name their unit last (`p50_ms`)."""

    name: str  # its key in the JSON
    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default=())
    targets: Sequence[Target] = field(default=())

    def render(self) -> str:
        """As text: numbers to the right, words to the left."""
        columns = list(self.rows[0])
        cells = [columns] + [[_text(row[column]) for column in columns] for row in self.rows]
        widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
        is_number = [not isinstance(self.rows[0][column], str) for column in columns]
        lines = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, is_number, strict=True)
            ).rstrip()
            for line in cells
        ]
        rule = "  ".join("-" * width for width in widths)
        targets = [target.render() for target in self.targets]
        return "\n".join([self.title, "", lines[0], rule, *lines[1:], *self.notes, *targets])

    def json(self) -> dict[str, Any]:
        return {
            "title": self.title,
            "rows": [dict(row) for row in self.rows],
            "notes": list(self.notes),
            "targets": [target.json() for target in self.targets],
        }


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _text(value: Value) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
