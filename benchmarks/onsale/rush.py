"""Ten requests for every ticket; half of what was held expires, and is sold in a second rush."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.onsale.expiry import TARGET_LATE_S, returned
from benchmarks.onsale.finding import Finding, Use, watched, wrong_answers
from benchmarks.onsale.lateness import latest_s, too_early
from benchmarks.onsale.pace import Pace
from benchmarks.onsale.purchases import buy
from benchmarks.onsale.stock import Counts, StockBook
from benchmarks.shop import Event
from benchmarks.tables import Bound, Row, Table, Target

CLIENTS = 256
REQUESTS_PER_TICKET = 10
_WITHIN_S = 300


@dataclass(frozen=True, slots=True)
class Rush:
    """One rush: what was answered, what it took, and where the tickets were afterwards."""

    name: str
    found: Load
    use: Use
    hold_ids: Sequence[str]
    stock: int  # what remained before
    counts: Counts  # afterwards
    late_holds: int  # made after somebody had been told "sold out"

    @property
    def oversold(self) -> int:
        """How many tickets were given out that did not exist, by the answers or the database."""
        return max(len(self.hold_ids) - self.stock, self.counts.oversold, 0)

    @property
    def undersold(self) -> int:
        """How often "sold out" was not true (I7): tickets were left, or somebody got them later.

        Nothing is returned during a rush, save what was held for a caller who had gone.
        """
        refused = self.found.report["reasons"].get("SOLD_OUT", 0)
        left = min(self.counts.remaining, refused)
        return int(left + max(0, self.late_holds - self.counts.released))

    def wrong(self) -> list[str]:
        """What was answered that must not be."""
        wrong = wrong_answers(self.name, self.found)
        if len(set(self.hold_ids)) != len(self.hold_ids):
            wrong.append(f"{self.name}: two customers got the same hold")
        if self.stock - self.counts.remaining < len(self.hold_ids):
            wrong.append(f"{self.name}: holds were acknowledged that are not there")
        return wrong

    def row(self) -> Row:
        report = self.found.report
        others = {name: n for name, n in report["reasons"].items() if name != "SOLD_OUT"}
        return {
            "rush": self.name,
            "tickets": self.stock,
            "requests": report["answers"],
            "seconds": round(report["duration_s"], 1),
            "held": len(self.hold_ids),
            "sold_out": report["reasons"].get("SOLD_OUT", 0),
            "others": ", ".join(f"{n} of {name}" for name, n in others.items()) or "none",
            "p99_ms": report["p99_ms"],
            "oversold": self.oversold,
            "undersold": self.undersold,
        }


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Rush, buy half of what was held, wait until the other half has expired, rush again."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token, pace.rush_tickets)
    async with StockBook.open(mesh) as book:
        first = await _rush(mesh, book, event, "rush")
        soonest_s = (await book.deadlines(event.id))[0]
        bought = first.hold_ids[::2]
        bought_in_s = await buy(mesh, bought)
        if time.time() > soonest_s:
            raise BenchmarkFailed("Holds expired before half of them could be bought.")
        deadlines = await book.deadlines(event.id)
        seen = await returned(book, event, first.counts.remaining, deadlines)
        second = await _rush(mesh, book, event, "resale")
    wrong = [*first.wrong(), *second.wrong()]
    if early := too_early(deadlines, seen):
        wrong.append(f"rush: {early} tickets were back before their deadline")
    figures = {
        "oversold": max(first.oversold, second.oversold),
        "undersold": first.undersold + second.undersold,
        "rush_expiry_late_s": round(latest_s(deadlines, seen), 2),
        "rush_bought_per_s": round(len(bought) / bought_in_s, 1),
    }
    notes = [
        f"In between, {len(bought)} were bought ({figures['rush_bought_per_s']} a second),",
        f"and {len(deadlines)} expired: back {figures['rush_expiry_late_s']} s late at most.",
        *load.bottleneck_notes([first.found, second.found]),
    ]
    title = "A rush, the expiry of half, and the resale"
    table = Table("rush", title, [first.row(), second.row()], notes)
    return Finding(figures, table, _targets(figures), [first.use, second.use], wrong)


def _targets(figures: Mapping[str, float]) -> list[Target]:
    late_s = figures["rush_expiry_late_s"]
    return [
        Target("oversold", figures["oversold"], 0, "tickets", Bound.AT_MOST),
        Target("undersold", figures["undersold"], 0, "tickets", Bound.AT_MOST),
        Target("stock of the rush that expired", late_s, TARGET_LATE_S, "s late", Bound.AT_MOST),
    ]


async def _rush(mesh: Mesh, book: StockBook, event: Event, name: str) -> Rush:
    """Ask for every ticket that remains, many times over; everyone gets an answer."""
    _, stock = await book.remaining(event.ticket_type_id)
    limit = stock * REQUESTS_PER_TICKET
    keep = mesh.data_dir / f"{name}.jsonl"
    plan = Requests(
        mesh.url, "POST", "/v1/holds", min(CLIENTS, limit), _WITHIN_S, event.hold(), limit, keep
    )
    found, use = await watched(mesh, name, load.wrk(plan))
    if found.report["answers"] != limit:
        raise BenchmarkFailed(f"Of {limit} requests, {found.report['answers']} were answered.")
    await mesh.calm()
    told_s = found.report["moments"].get("first_sold_out_s", math.inf)
    return Rush(
        name=name,
        found=found,
        use=use,
        hold_ids=[json.loads(line)["id"] for line in keep.read_text().splitlines()],
        stock=stock,
        counts=await book.counts(event.ticket_type_id),
        late_holds=await book.holds_made(event.id, told_s, time.time()),
    )
