"""How many orders a second come from hold to PAID, for as long as one likes."""

from benchmarks import load
from benchmarks.mesh import BenchmarkFailed
from benchmarks.sales import selling
from benchmarks.sales.finding import Finding, Use, broken_promises, percentile, rounded, watched
from benchmarks.sales.pace import Pace
from benchmarks.sales.selling import Sale
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event
from benchmarks.tables import Bound, Row, Table, Target

CUSTOMERS = 64
TARGET_PER_S = 60
_MAILS_WITHIN_S = 600


async def measure(stage: Stage, event: Event, pace: Pace) -> Finding:
    """One customer after the other, then a crowd; the mails go out meanwhile, as far as they do."""
    rows, uses = [], []
    wrong: dict[str, int] = {}
    figures: dict[str, float | int | None] = {}
    for customers, duration_s in ((1, pace.alone_s), (CUSTOMERS, pace.paid_s)):
        await stage.mesh.calm()
        played, seconds, cpu_s = await watched(
            stage.mesh, _play(stage, event, customers, duration_s)
        )
        sale, mails_late_s = played
        name = f"paid by {customers}"
        uses.append(Use(name, sale.paid, seconds, cpu_s, sale.found.generator_cpu_s))
        rows.append(_row(customers, sale, mails_late_s))
        wrong |= broken_promises(name, sale, stage.mails(sale.prefix))
        figures = {
            "paid_per_s": per_s(sale),
            "paid_backlog": sale.waiting_at(sale.ended_s),
            "order_to_paid_p99_s": rounded(percentile(sale.order_to_paid_s, 99), 3),
            **{f"{part}_cpu_ms": round(ms, 2) for part, ms in uses[-1].ms().items()},
        }
    notes = [
        "waiting: open orders at the end, at most one for each customer.",
        "mails_per_s: those that went out meanwhile; mails_late_s: from the end to the last one.",
        *load.bottleneck_notes([sale.found]),
    ]
    table = Table("paid", "Orders a second, from hold to PAID", rows, notes)
    target = Target("paid orders", per_s(sale), TARGET_PER_S, "orders/s", Bound.AT_LEAST)
    return Finding(figures, table, [target], uses, wrong)


def per_s(sale: Sale) -> float:
    """Only what was paid within the time counts."""
    return round(sale.paid_by(sale.ended_s) / sale.duration_s, 1)


async def _play(
    stage: Stage, event: Event, customers: int, duration_s: float
) -> tuple[Sale, float]:
    """Sell, and wait for the mails; answers how long after the end the last one came."""
    sale = await selling.in_turn(stage, event, customers, duration_s)
    if not sale.paid:
        raise BenchmarkFailed(f"Nothing was sold: {dict(sale.errors)}")
    await stage.mails_are(sale.prefix, sale.paid, _MAILS_WITHIN_S)
    return sale, max(mail.at_s for mail in stage.mails(sale.prefix)) - sale.ended_s


def _row(customers: int, sale: Sale, mails_late_s: float) -> Row:
    return {
        "customers": customers,
        "paid_per_s": per_s(sale),
        "p50_ms": rounded(percentile([each * 1000 for each in sale.order_to_paid_s], 50), 1),
        "p99_ms": rounded(percentile([each * 1000 for each in sale.order_to_paid_s], 99), 1),
        "waiting": sale.waiting_at(sale.ended_s),
        "mails_per_s": round(sale.mails_at_end / sale.duration_s, 1),
        "mails_late_s": round(mails_late_s, 1),
        "generator_percent": sale.found.generator_percent,
        "errors": sum(sale.errors.values()),
    }
