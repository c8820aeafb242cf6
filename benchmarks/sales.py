"""Complete sales a second, from hold to PAID, and what each costs in every part."""

import asyncio
import time
from collections.abc import Mapping

from benchmarks import load, shop
from benchmarks.customer import POLL_S
from benchmarks.load import Load, Sales
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.pace import Pace
from benchmarks.processes import LAUNCHER
from benchmarks.tables import Row, Table

CUSTOMERS = (1, 8, 32)
_MAILS_WITHIN_S = 120
_LOOK_S = 0.25


async def measure(mesh: Mesh, pace: Pace) -> list[Table]:
    """Customers buy ticket after ticket of one event; then the mails are waited for."""
    token = await shop.open_shop(mesh)
    event = await shop.publish_event(mesh, token)
    await _sell(mesh, Sales(mesh.url, mesh.stripe_url, event.hold(), 4, pace.warm_up_s))
    loads, speeds, costs = [], [], []
    for customers in CUSTOMERS:
        plan = Sales(mesh.url, mesh.stripe_url, event.hold(), customers, pace.sales_s)
        before = mesh.cpu()
        found, mails_late_s = await _sell(mesh, plan)
        loads.append(found)
        speeds.append(_speed(customers, found, mails_late_s))
        costs.append(_cost(customers, found, mesh.cpu().since(before)))
    looks = [
        f"Customers look every {POLL_S * 1000:.0f} ms whether the order is paid.",
        "mails_late_s: from the last sale to the last of all mails.",
        *load.bottleneck_notes(loads),
    ]
    cpu = [
        "CPU milliseconds for each sale, its mail included.",
        f"`{LAUNCHER}` is the Stripe sandbox, with the SMTP sink; `mesh` is without the generator.",
    ]
    return [
        Table("sales", "Sales a second, from hold to PAID, separate processes", speeds, looks),
        Table("sales_cpu", "CPU for each sale", costs, cpu),
    ]


async def _sell(mesh: Mesh, plan: Sales) -> tuple[Load, float]:
    """Sell, and wait for the mails; answers how long after the sales the last one came."""
    mails_before = mesh.mail_count()
    found = await load.sales(plan)
    ended = time.monotonic()
    while mesh.mail_count() - mails_before < found.report["paid"]:
        if time.monotonic() > ended + _MAILS_WITHIN_S:
            raise BenchmarkFailed(f"Mails are missing after {_MAILS_WITHIN_S} s.")
        await asyncio.sleep(_LOOK_S)
    return found, time.monotonic() - ended


def _speed(customers: int, found: Load, mails_late_s: float) -> Row:
    report = found.report
    errors = ", ".join(f"{n} of {what}" for what, n in report["errors"].items())
    return {
        "customers": customers,
        "sales_per_s": round(report["paid_in_time"] / report["duration_s"], 1),
        "p50_ms": report["p50_ms"],
        "p99_ms": report["p99_ms"],
        "looks_per_sale": round(report["looks"] / max(1, report["paid"]), 1),
        "mails_late_s": round(mails_late_s, 1),
        "generator_percent": found.generator_percent,
        "errors": errors or "none",
    }


def _cost(customers: int, found: Load, cpu_s: Mapping[str, float]) -> Row:
    sales = max(1, found.report["paid"])
    parts = {f"{part}_ms": round(used / sales * 1000, 1) for part, used in cpu_s.items()}
    return {
        "customers": customers,
        **parts,
        "mesh_ms": round(sum(cpu_s.values()) / sales * 1000, 1),
        "generator_ms": round(found.generator_cpu_s / sales * 1000, 1),
    }
