"""Everyone wants the same ticket: the shipped design and the plain one, in the same run."""

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import Mesh
from benchmarks.onsale import plain_mesh
from benchmarks.onsale.finding import Finding, Use, per_s, watched, wrong_answers
from benchmarks.onsale.pace import Pace
from benchmarks.onsale.stock import StockBook
from benchmarks.tables import Bound, Row, Table, Target

CLIENTS = 256
TARGET_PER_S = 2500
TARGET_P99_MS = 120
TARGET_RATIO = 6


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Holds a second through HTTP; each design sells an event of its own."""
    token = await shop.open_shop(mesh)
    shipped, shipped_use, wrong = await _sell(mesh, token, "holds", pace)
    async with plain_mesh.running(mesh) as beside:
        plain, plain_use, plain_wrong = await _sell(beside, token, "plain", pace)
    rows = [_row("shipped", shipped), _row("plain", plain)]
    speed, plain_speed = _speed(shipped), _speed(plain)
    ratio = round(speed / plain_speed, 2) if plain_speed else 0.0
    p99_ms = shipped.report["p99_ms"]
    targets = [
        Target("holds, one hot ticket type", speed, TARGET_PER_S, "holds/s", Bound.AT_LEAST),
        Target("holds, p99", p99_ms, TARGET_P99_MS, "ms", Bound.AT_MOST),
        Target("holds, against the plain design", ratio, TARGET_RATIO, "times", Bound.AT_LEAST),
    ]
    plain_is = (
        "Plain: a transaction for each hold, an RPC for each request,"
        f" {plain_mesh.POOL_SIZE} connections to the database."
    )
    notes = [
        f"{CLIENTS} connections by wrk. {plain_is}",
        *load.bottleneck_notes([shipped, plain]),
    ]
    title = "Holds a second, one hot ticket type, through HTTP"
    figures = {
        "holds_per_s": speed,
        "holds_p99_ms": p99_ms,
        "plain_holds_per_s": plain_speed,
        "plain_holds_p99_ms": plain.report["p99_ms"],
        "holds_ratio": ratio,
    }
    table = Table("holds", title, rows, notes)
    return Finding(figures, table, targets, [shipped_use, plain_use], [*wrong, *plain_wrong])


async def _sell(mesh: Mesh, token: str, name: str, pace: Pace) -> tuple[Load, Use, list[str]]:
    """Sell an event; answers the load, what it took, and what was wrong with the answers."""
    event = await shop.publish_event(mesh, token)
    plan = Requests(mesh.url, "POST", "/v1/holds", CLIENTS, pace.holds_s, event.hold())
    warm_up = await load.wrk(plan.lasting(pace.warm_up_s))
    await mesh.calm()
    found, use = await watched(mesh, name, load.wrk(plan))
    await mesh.calm()
    wrong = wrong_answers(name, found)
    async with StockBook.open(mesh) as book:
        counts = await book.counts(event.ticket_type_id)
    acknowledged = sum(each.report["statuses"].get("201", 0) for each in (warm_up, found))
    if acknowledged > counts.held:
        wrong.append(f"{name}: {acknowledged} holds were acknowledged, {counts.held} are there")
    return found, use, wrong


def _speed(found: Load) -> float:
    return per_s(found.report["statuses"].get("201", 0), found.report["duration_s"])


def _row(design: str, found: Load) -> Row:
    others = {s: n for s, n in found.report["statuses"].items() if s != "201"}
    return {
        "design": design,
        "holds_per_s": _speed(found),
        "p50_ms": found.report["p50_ms"],
        "p99_ms": found.report["p99_ms"],
        "wrk_percent": found.generator_percent,
        "others": ", ".join(f"{n} of {status}" for status, n in others.items()) or "none",
    }
