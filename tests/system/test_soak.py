"""`make soak`, for as long as a test may take: it keeps its promises, and says so."""

from pathlib import Path

from tests.support.benchmarks import run_benchmark

PAYMENTS, RACES = 150, 40
SEED = 1  # no webhook is lost: that would take until the deadline
TIMEOUT_S = 400


async def test_a_short_run_loses_no_payment_and_charges_nobody_twice(tmp_path: Path) -> None:
    counts = ("--payments", str(PAYMENTS), "--races", str(RACES), "--seed", str(SEED))
    output = tmp_path / "soak.json"
    found = await run_benchmark("benchmarks.soak", *counts, output=output, timeout_s=TIMEOUT_S)
    faulty, races = found["faulty"], found["races"]
    assert faulty["paid"] + faulty["given_up"] == faulty["payments"] == PAYMENTS
    assert faulty["faults"] > PAYMENTS // 3
    assert races["races"] >= RACES
    assert races["paid"] + races["expired"] + races["cancelled"] == races["races"]
    for proof in (faulty, races):
        assert proof["examined"] > 0
        assert (proof["twice"], proof["healed"], proof["reported"], proof["wrong"]) == (0, 0, 0, {})
