"""How many mails with tickets go out a second, when there are many to send."""

from collections.abc import Sequence

from benchmarks.mesh import BenchmarkFailed
from benchmarks.sales import selling
from benchmarks.sales.arrivals import Arrival
from benchmarks.sales.finding import Finding, Use, broken_promises, watched
from benchmarks.sales.pace import Pace
from benchmarks.sales.paid import CUSTOMERS
from benchmarks.sales.selling import Sale
from benchmarks.sales.stage import Stage, until
from benchmarks.shop import Event
from benchmarks.tables import Bound, Table, Target

TARGET_PER_S = 40
_SELL_WITHIN_S = 600
_SEND_WITHIN_S = 600


async def measure(stage: Stage, event: Event, pace: Pace) -> Finding:
    """Sell while the mail server is away; then watch what goes out once it is back."""
    await stage.sink.stop()
    sale = await selling.in_turn(stage, event, CUSTOMERS, _SELL_WITHIN_S, limit=pace.backlog)
    if not sale.paid:
        raise BenchmarkFailed(f"Nothing was sold: {dict(sale.errors)}")
    await stage.mesh.calm()
    await stage.sink.start()
    sent, seconds, cpu_s = await watched(stage.mesh, _send(stage, sale, pace.mails_s))
    await stage.mails_are(sale.prefix, sale.paid, _SEND_WITHIN_S)
    row = {
        "sold_per_s": sold_per_s(sale),
        "backlog": sale.paid,
        "watched_s": round(sent[-1].at_s - sent[0].at_s, 1),
        "sent": len(sent),
        "mails_per_s": mails_per_s(sent),
    }
    notes = ["sold_per_s: from hold to PAID, as long as the mail server was away."]
    table = Table("mails", "Mails with tickets, once the mail server is back", [row], notes)
    target = Target("mails", mails_per_s(sent), TARGET_PER_S, "mails/s", Bound.AT_LEAST)
    figures = {"mails_per_s": mails_per_s(sent), "paid_per_s_without_mail": sold_per_s(sale)}
    use = Use("mails", len(sent), seconds, cpu_s, 0.0)
    wrong = broken_promises("mails", sale, stage.mails(sale.prefix))
    return Finding(figures, table, [target], [use], wrong)


def mails_per_s(sent: Sequence[Arrival]) -> float:
    """From the first mail to the last."""
    seconds = sent[-1].at_s - sent[0].at_s
    return round((len(sent) - 1) / seconds, 1) if seconds else 0.0


def sold_per_s(sale: Sale) -> float:
    """From the first order to the last payment."""
    paid = [each.paid_at_s for each in sale.sold if each.paid_at_s is not None]
    return round(len(paid) / (max(paid) - min(each.opened_at_s for each in sale.sold)), 1)


async def _send(stage: Stage, sale: Sale, duration_s: float) -> list[Arrival]:
    """The mails that go out within so long of the first one."""

    def sent() -> list[Arrival]:
        mails = stage.mails(sale.prefix)
        return [mail for mail in mails if mail.at_s <= mails[0].at_s + duration_s]

    def is_over() -> bool:
        mails = stage.mails(sale.prefix)
        return len(mails) >= sale.paid or len(sent()) < len(mails)

    await until(is_over, _SEND_WITHIN_S, "Not enough mails came")
    return sent()
