"""How long each measure takes: thorough, or quick for trying."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations in seconds, and counts."""

    starts: int  # with data present; the median counts
    settle_s: float  # between being ready and being idle
    idle_s: float
    warm_up_s: float
    requests_s: float  # for each kind and number of connections
    encodings_s: float  # for each way to encode


THOROUGH = Pace(starts=3, settle_s=10, idle_s=20, warm_up_s=2, requests_s=10, encodings_s=1)
QUICK = Pace(starts=1, settle_s=1, idle_s=3, warm_up_s=0.5, requests_s=1, encodings_s=0.1)
