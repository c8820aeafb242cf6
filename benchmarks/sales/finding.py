"""What a measure found: figures, what they cost, and what was wrong."""

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.mesh import Mesh
from benchmarks.processes import LAUNCHER, POSTGRES
from benchmarks.sales.arrivals import Arrival
from benchmarks.sales.selling import Sale
from benchmarks.sales.stage import SANDBOX, SINK
from benchmarks.tables import Row, Table, Target
from kit.auth import GATEWAY

Result = TypeVar("Result")

# By their names in the figures: what a sale costs Tessera, and what plays Stripe and the customers.
PARTS = {
    "gateway": GATEWAY,
    "ticket_service": "ticket_service",
    "payment_service": "payment_service",
    "notification_service": "notification_service",
    "user_service": "user_service",
    "postgres": POSTGRES,
}
OTHERS = {"sandbox": SANDBOX, "sink": SINK, "launcher": LAUNCHER}


@dataclass(frozen=True, slots=True)
class Use:
    """The CPU seconds that a load took, of each process."""

    load: str
    count: int  # of the sales or mails that it was for
    seconds: float  # by the clock
    cpu_s: Mapping[str, float]
    generator_cpu_s: float

    def ms(self) -> dict[str, float]:
        """Milliseconds each, by part; `mesh` is all of Tessera with its database."""
        each = 1000 / max(1, self.count)
        named = {**PARTS, **OTHERS}
        ms = {name: self.cpu_s.get(process, 0.0) * each for name, process in named.items()}
        mesh = sum(ms[name] for name in PARTS)
        return {**ms, "generator": self.generator_cpu_s * each, "mesh": mesh}

    def row(self) -> Row:
        used_s = sum(self.cpu_s.values()) + self.generator_cpu_s
        return {
            "load": self.load,
            "count": self.count,
            **{f"{name}_ms": round(ms, 2) for name, ms in self.ms().items()},
            "cores": round(used_s / self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure's. `figures` go into the JSON under their names.

    `wrong` are broken promises, and how often each was.
    """

    figures: Mapping[str, float | int | None]
    table: Table
    targets: Sequence[Target]
    uses: Sequence[Use]
    wrong: Mapping[str, int]


async def watched(mesh: Mesh, work: Awaitable[Result]) -> tuple[Result, float, dict[str, float]]:
    """What comes of some work, the seconds it took, and what every process used meanwhile."""
    before = mesh.cpu()
    result = await work
    after = mesh.cpu()
    return result, after.read_at_s - before.read_at_s, after.since(before)


def broken_promises(name: str, sale: Sale, mails: Sequence[Arrival]) -> dict[str, int]:
    """Purchases that failed, and paid orders whose tickets did not come by mail exactly once."""
    sent = Counter(mail.recipient for mail in mails if mail.has_pdf)
    paid = {each.email for each in sale.sold if each.paid_at_s is not None}
    counts = {
        **sale.errors,
        "orders were not paid": len(sale.sold) - len(paid),
        "paid orders have no mail with their tickets": len(paid - sent.keys()),
        "mails came for orders that are not paid": len(sent.keys() - paid),
        "mails came twice": sum(count > 1 for count in sent.values()),
        "mails came without tickets": sum(not mail.has_pdf for mail in mails),
    }
    return {f"{name}: {what}": count for what, count in counts.items() if count}


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Of numbers in ascending order; None when there are none."""
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else None


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
