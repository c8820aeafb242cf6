"""What a measure found: figures, what they cost, and what was wrong."""

from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.load import Load
from benchmarks.mesh import Mesh
from benchmarks.processes import POSTGRES
from benchmarks.tables import Row, Table, Target

# What a sale may answer: a hold, sold out, or to come again.
SALE_STATUSES = frozenset({"201", "409", "429", "503"})
_PARTS = ("gateway", "ticket_service")


@dataclass(frozen=True, slots=True)
class Use:
    """The CPU seconds that a load took, of each part of the mesh and of what sent it."""

    load: str
    seconds: float  # by the clock
    generator_cpu_s: float
    cpu_s: Mapping[str, float]

    def of(self, part: str) -> float:
        """A part's CPU seconds; what stands in for it counts as the part."""
        return sum(used for name, used in self.cpu_s.items() if name.endswith(part))

    def row(self) -> Row:
        parts = {part: self.of(part) for part in (*_PARTS, POSTGRES)}
        return {
            "load": self.load,
            "seconds": round(self.seconds, 1),
            "generator_cpu_s": round(self.generator_cpu_s, 2),
            **{f"{part}_cpu_s": round(used, 2) for part, used in parts.items()},
            "others_cpu_s": round(sum(self.cpu_s.values()) - sum(parts.values()), 2),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure's. `figures` go into the JSON under their names; `wrong` are broken promises."""

    figures: Mapping[str, float | int | None]
    table: Table
    targets: Sequence[Target]
    uses: Sequence[Use]
    wrong: Sequence[str] = ()


async def watched(mesh: Mesh, name: str, sending: Awaitable[Load]) -> tuple[Load, Use]:
    """A load, and what everything used meanwhile."""
    before = mesh.cpu()
    found = await sending
    after = mesh.cpu()
    seconds = after.read_at_s - before.read_at_s
    return found, Use(name, seconds, found.generator_cpu_s, after.since(before))


def wrong_answers(name: str, found: Load, allowed: Collection[str] = SALE_STATUSES) -> list[str]:
    """Answers that no client should get, and connections that broke."""
    counts = {**found.report["statuses"], "lost connections": found.report["lost"]}
    return [f"{name}: {n} of {what}" for what, n in counts.items() if n and what not in allowed]


def per_s(count: float, seconds: float) -> float:
    return round(count / seconds, 1) if seconds > 0 else 0.0
