"""What a proof found."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.tables import Row, Table


@dataclass(frozen=True, slots=True)
class Finding:
    """One proof's figures, what happened how often, and broken promises: there must be none."""

    name: str
    title: str
    row: Row
    happened: Mapping[str, int]
    wrong: Counter[str]

    @property
    def table(self) -> Table:
        happened = ", ".join(f"{what}: {n}" for what, n in sorted(self.happened.items()))
        return Table(self.name, self.title, [self.row], [f"{happened}."])

    def json(self) -> dict[str, Any]:
        return {**self.row, "happened": dict(self.happened), "wrong": self.wrong}
