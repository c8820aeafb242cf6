"""Many holds expire in the same second, while another event is sold."""

import asyncio
import time
from collections.abc import Sequence

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.onsale import batch
from benchmarks.onsale.finding import Finding, Use, per_s, watched, wrong_answers
from benchmarks.onsale.lateness import Seen, latest_s, too_early
from benchmarks.onsale.pace import Pace
from benchmarks.onsale.stock import StockBook
from benchmarks.shop import Event
from benchmarks.tables import Bound, Table, Target

CLIENTS = 64  # of the other event
TARGET_LATE_S = 5
_SETTLE_S = 1  # until the sale has its speed
_LOOK_S = 0.02
_PATIENCE_S = 30


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Hold a whole event, sell another one, and see when the first one's stock is back."""
    token = await shop.open_shop(mesh)
    held = await shop.publish_event(mesh, token, pace.expiring)
    other = await shop.publish_event(mesh, token)
    filled = await batch.fill(mesh, held, pace.expiring)
    async with StockBook.open(mesh) as book:
        deadlines = await book.deadlines(held.id)
        if filled.report["holds"] != pace.expiring or len(deadlines) != pace.expiring:
            raise BenchmarkFailed(f"Not every hold was made: {dict(filled.report)}")
        before_s = min(pace.sale_before_s, deadlines[0] - time.time() - _SETTLE_S)
        if before_s <= 0:
            raise BenchmarkFailed("It took too long to make the holds that are to expire.")
        starts_at_s = deadlines[0] - before_s - _SETTLE_S
        await asyncio.sleep(starts_at_s - time.time())
        lasts_s = deadlines[-1] - starts_at_s + pace.sale_before_s
        plan = Requests(mesh.url, "POST", "/v1/holds", CLIENTS, lasts_s, other.hold())
        (sale, use), seen = await asyncio.gather(
            watched(mesh, "expiry", load.wrk(plan)), returned(book, held, 0, deadlines)
        )
        speeds = await _speeds(book, other, deadlines[0], seen[-1].at_s, before_s)
    wrong = wrong_answers("expiry", sale)
    if early := too_early(deadlines, seen):
        wrong.append(f"expiry: {early} tickets were back before their deadline")
    return _finding(deadlines, seen, speeds, (sale, use), wrong)


async def returned(
    book: StockBook, event: Event, remained: int, deadlines: Sequence[float]
) -> list[Seen]:
    """Look until the tickets of all these deadlines are back on top of those that `remained`.

    Raises:
        BenchmarkFailed: they do not come back.
    """
    seen: list[Seen] = []
    while not seen or seen[-1].back < len(deadlines):
        at_s, remaining = await book.remaining(event.ticket_type_id)
        seen.append(Seen(at_s, remaining - remained))
        if at_s > deadlines[-1] + _PATIENCE_S:
            missing = len(deadlines) - seen[-1].back
            raise BenchmarkFailed(f"{missing} tickets are not back {_PATIENCE_S} s after.")
        await asyncio.sleep(_LOOK_S)
    return seen


async def _speeds(
    book: StockBook, other: Event, first_s: float, back_s: float, before_s: float
) -> tuple[float, float]:
    """The other event's holds a second: before the first deadline, and until all stock is back."""
    until_s = max(back_s, first_s + 1)
    before = await book.holds_made(other.id, first_s - before_s, first_s)
    during = await book.holds_made(other.id, first_s, until_s)
    return per_s(before, before_s), per_s(during, until_s - first_s)


def _finding(
    deadlines: Sequence[float],
    seen: Sequence[Seen],
    speeds: tuple[float, float],
    sold: tuple[Load, Use],
    wrong: Sequence[str],
) -> Finding:
    late_s = round(latest_s(deadlines, seen), 2)
    (before, during), (sale, use) = speeds, sold
    figures = {
        "expiry_late_s": late_s,
        "expiry_sale_holds_per_s": during,
        "expiry_sale_ratio": round(during / before, 2) if before else 0.0,
    }
    row = {
        "holds": len(deadlines),
        "deadlines_within_s": round(deadlines[-1] - deadlines[0], 2),
        "late_s": late_s,
        "sale_before_per_s": before,
        "sale_meanwhile_per_s": during,
        "ratio": figures["expiry_sale_ratio"],
        "sale_p99_ms": sale.report["p99_ms"],
    }
    target = Target("holds that expire together", late_s, TARGET_LATE_S, "s late", Bound.AT_MOST)
    meanwhile = "meanwhile: from the first deadline until all stock was back, or a second"
    notes = [
        f"The sale is another event's, {CLIENTS} connections; {meanwhile}.",
        *load.bottleneck_notes([sale]),
    ]
    table = Table("expiry", "Holds that expire during a sale", [row], notes)
    return Finding(figures, table, [target], [use], wrong)
