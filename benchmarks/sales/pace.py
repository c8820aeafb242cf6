"""How much each measure does: thorough, or quick for trying."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in seconds, and counts."""

    warm_up_s: float
    alone_s: float  # one customer
    paid_s: float  # many customers
    steady_s: float
    backlog: int  # mails that wait when the mail server is back
    mails_s: float  # that their sending is watched


THOROUGH = Pace(warm_up_s=5, alone_s=5, paid_s=60, steady_s=60, backlog=3600, mails_s=60)
QUICK = Pace(warm_up_s=1, alone_s=1, paid_s=3, steady_s=3, backlog=60, mails_s=3)
