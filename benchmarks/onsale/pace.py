"""How much each measure does: thorough, or quick for trying."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in seconds, and counts."""

    warm_up_s: float
    holds_s: float  # for each design
    batch_s: float
    reads_s: float
    rush_tickets: int
    rush_hold_s: int  # long enough for a rush and for issuing half of its tickets
    hall_rows: int
    live_holds: int
    watchers: int
    watched_s: float
    expiring: int  # holds
    expiry_hold_s: int
    sale_before_s: float  # the other event's, before the first deadline and after the last


THOROUGH = Pace(
    warm_up_s=3,
    holds_s=15,
    batch_s=15,
    reads_s=15,
    rush_tickets=10_000,
    rush_hold_s=120,
    hall_rows=100,
    live_holds=100_000,
    watchers=1000,
    watched_s=10,
    expiring=10_000,
    expiry_hold_s=20,
    sale_before_s=8,
)
QUICK = Pace(
    warm_up_s=0.5,
    holds_s=2,
    batch_s=2,
    reads_s=2,
    rush_tickets=200,
    rush_hold_s=8,
    hall_rows=4,
    live_holds=2000,
    watchers=50,
    watched_s=1,
    expiring=500,
    expiry_hold_s=8,
    sale_before_s=2,
)
