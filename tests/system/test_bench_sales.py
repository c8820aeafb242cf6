"""`make bench-sales` works, and keeps its promises; how fast it is is not a test's business."""

from pathlib import Path

from tests.support.benchmarks import run_benchmark

KEYS = {
    "paid_per_s",
    "mails_per_s",
    "payment_to_mail_p99_s",
    "errors",
    "gateway_cpu_ms",
    "ticket_service_cpu_ms",
    "payment_service_cpu_ms",
    "notification_service_cpu_ms",
    "user_service_cpu_ms",
    "postgres_cpu_ms",
    "sandbox_cpu_ms",
    "generator_cpu_ms",
}
TIMEOUT_S = 300


async def test_a_quick_run_finds_every_figure_and_nothing_wrong(tmp_path: Path) -> None:
    output = tmp_path / "sales.json"
    found = await run_benchmark("benchmarks.sales", "--quick", output=output, timeout_s=TIMEOUT_S)
    assert {key for key in KEYS if found[key] is None} == set()
    assert (found["errors"], found["wrong"]) == (0, {})
