"""How soon the mail comes after the payment, at a pace that leaves the mesh room."""

from benchmarks import load
from benchmarks.mesh import BenchmarkFailed
from benchmarks.sales import selling
from benchmarks.sales.finding import Finding, Use, broken_promises, percentile, rounded, watched
from benchmarks.sales.pace import Pace
from benchmarks.sales.selling import Sale
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event
from benchmarks.tables import Bound, Table, Target

RATE_PER_S = 30
TARGET_S = 5
_MAILS_WITHIN_S = 300


async def measure(stage: Stage, event: Event, pace: Pace) -> Finding:
    """Customers come by the clock; each mail is compared with its order's payment."""
    await stage.mesh.calm()
    sale, seconds, cpu_s = await watched(stage.mesh, _play(stage, event, pace.steady_s))
    mails = stage.mails(sale.prefix)
    late = payment_to_mail_s(sale, {mail.recipient: mail.at_s for mail in mails})
    paid = [each * 1000 for each in sale.order_to_paid_s]
    row = {
        "sales_per_s": RATE_PER_S,
        "paid": sale.paid,
        "order_to_paid_p50_ms": rounded(percentile(paid, 50), 1),
        "order_to_paid_p99_ms": rounded(percentile(paid, 99), 1),
        "payment_to_mail_p50_s": rounded(percentile(late, 50), 3),
        "payment_to_mail_p99_s": rounded(percentile(late, 99), 3),
        "slowest_s": rounded(percentile(late, 100), 3),
        "begun_late": sale.found.report["late"],
        "generator_percent": sale.found.generator_percent,
        "errors": sum(sale.errors.values()),
    }
    notes = [
        "From the moment in `paid_at` to the moment when the mail server has all of the mail.",
        *load.bottleneck_notes([sale.found]),
    ]
    use = Use(f"{RATE_PER_S} a second", sale.paid, seconds, cpu_s, sale.found.generator_cpu_s)
    p99_s = percentile(late, 99)
    assert p99_s is not None
    return Finding(
        {"payment_to_mail_p99_s": round(p99_s, 3)},
        Table("steady", "From payment to mail, customers by the clock", [row], notes),
        [Target("payment to mail, p99", p99_s, TARGET_S, "s", Bound.AT_MOST)],
        [use],
        broken_promises("steady", sale, mails),
    )


def payment_to_mail_s(sale: Sale, arrived_s: dict[str, float]) -> list[float]:
    """How long each mail took, in ascending order; those that are missing are told elsewhere."""
    return sorted(
        arrived_s[each.email] - each.paid_at_s
        for each in sale.sold
        if each.paid_at_s is not None and each.email in arrived_s
    )


async def _play(stage: Stage, event: Event, duration_s: float) -> Sale:
    sale = await selling.by_the_clock(stage, event, RATE_PER_S, duration_s)
    if not sale.paid:
        raise BenchmarkFailed(f"Nothing was sold: {dict(sale.errors)}")
    await stage.mails_are(sale.prefix, sale.paid, _MAILS_WITHIN_S)
    return sale
