"""Selling: customers buy for a while, and the databases say what came of it."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks import load
from benchmarks.load import Load
from benchmarks.sales.book import OrderBook, Sold
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event

_CUSTOMERS = "benchmarks.sales.buyers"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Sale:
    """What one crowd did. Its customers' addresses begin with `prefix`.

    The report of its process: `started_s` since 1970, `duration_s`, how many purchases were
    `begun` and `confirmed`, how many began `late`, `errors` (how many of each) and `cpu_s`.
    """

    prefix: str
    found: Load
    sold: Sequence[Sold]  # every order, once all that had been confirmed were paid
    mails_at_end: int

    @property
    def duration_s(self) -> float:
        return float(self.found.report["duration_s"])

    @property
    def ended_s(self) -> float:
        return float(self.found.report["started_s"]) + self.duration_s

    @property
    def errors(self) -> Mapping[str, int]:
        errors: Mapping[str, int] = self.found.report["errors"]
        return errors

    @property
    def paid(self) -> int:
        """All that were paid, the last ones after the end."""
        return sum(each.paid_at_s is not None for each in self.sold)

    def paid_by(self, moment_s: float) -> int:
        return sum(each.paid_at_s is not None and each.paid_at_s <= moment_s for each in self.sold)

    def waiting_at(self, moment_s: float) -> int:
        """The orders that were open then: neither paid nor given up."""
        return sum(
            each.opened_at_s <= moment_s and (each.paid_at_s is None or each.paid_at_s > moment_s)
            for each in self.sold
        )

    @property
    def order_to_paid_s(self) -> list[float]:
        return sorted(
            each.paid_at_s - each.opened_at_s for each in self.sold if each.paid_at_s is not None
        )


async def in_turn(
    stage: Stage, event: Event, customers: int, duration_s: float, *, limit: int = 0
) -> Sale:
    """A closed loop: each customer buys again once the last order is paid.

    With a limit (0: none) of sales, `duration_s` is the longest that it may take.
    """
    plan = {"customers": customers, "duration_s": duration_s, "limit": limit}
    return await _sell(stage, event, "closed", plan)


async def by_the_clock(stage: Stage, event: Event, rate_per_s: float, duration_s: float) -> Sale:
    """An open loop: customers come at this rate, whatever happens to those before them."""
    return await _sell(stage, event, "open", {"rate_per_s": rate_per_s, "duration_s": duration_s})


async def _sell(stage: Stage, event: Event, kind: str, plan: Mapping[str, float]) -> Sale:
    prefix = f"sale-{next(_numbers)}-"
    whole = {
        **plan,
        "prefix": prefix,
        "url": stage.mesh.url,
        "stripe_url": stage.mesh.stripe_url,
        "hold": event.hold().decode(),
        "database_url": stage.database_url,
    }
    found = await load.generator(kind, whole, _CUSTOMERS)
    mails = stage.mails(prefix)
    ended_s = found.report["started_s"] + plan["duration_s"]
    async with OrderBook.open(stage) as book:
        sold = await book.sold(prefix)
    return Sale(prefix, found, sold, sum(mail.at_s <= ended_s for mail in mails))
