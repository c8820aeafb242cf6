"""Best-available pairs until the hall is full."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import load, shop
from benchmarks.load import Load, Requests
from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.onsale.finding import Finding, Use, watched, wrong_answers
from benchmarks.onsale.pace import Pace
from benchmarks.onsale.stock import StockBook
from benchmarks.shop import Event
from benchmarks.tables import Bound, Table, Target

CLIENTS = 64
ROW_SEATS = 50
TARGET_PAIRS_PER_S = 600
_ZONE = "Parquet"
_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Sale:
    """A hall that was sold, pair by pair."""

    found: Load
    use: Use
    pairs: int  # that the hall has
    sold: Sequence[Sequence[str]]  # the seats of each answer
    taken_twice: int  # by the database

    @property
    def seconds(self) -> float:
        """From the first request to the last pair."""
        moments = self.found.report["moments"]
        return float(moments.get("last_created_s", 0) - moments["first_sent_s"])

    def wrong(self) -> list[str]:
        wrong = wrong_answers("seats", self.found)
        seats = Counter(seat for pair in self.sold for seat in pair)
        if twice := sum(1 for count in seats.values() if count > 1):
            wrong.append(f"seats: {twice} seats were given to two customers")
        if self.taken_twice:
            wrong.append(f"seats: {self.taken_twice} seats have two holds in the database")
        if any(len(pair) != 2 for pair in self.sold):
            wrong.append("seats: a pair has not two seats")
        if len(self.sold) != self.pairs:
            wrong.append(f"seats: {len(self.sold)} pairs of {self.pairs} were sold")
        return wrong


async def measure(mesh: Mesh, pace: Pace) -> Finding:
    """Sell one hall twice: a few seats to warm up, then all of it."""
    token = await shop.open_shop(mesh)
    hall_id = await _build_hall(mesh, token, pace.hall_rows)
    seats = pace.hall_rows * ROW_SEATS
    warm_up = await _seat_event(mesh, token, hall_id, seats)
    await load.wrk(_plan(mesh, warm_up, CLIENTS * 4))
    event = await _seat_event(mesh, token, hall_id, seats)
    await mesh.calm()
    sale = await _sell(mesh, event, seats // 2)
    speed = round(len(sale.sold) / sale.seconds, 1)
    row = {
        "seats": seats,
        "connections": CLIENTS,
        "pairs": len(sale.sold),
        "pairs_per_s": speed,
        "p50_ms": sale.found.report["p50_ms"],
        "p99_ms": sale.found.report["p99_ms"],
        "wrk_percent": sale.found.generator_percent,
        "refused": ", ".join(f"{n} of {name}" for name, n in sale.found.report["reasons"].items()),
    }
    table = Table(
        "seats",
        "Best-available pairs, until the hall is full",
        [row],
        [f"{pace.hall_rows} rows of {ROW_SEATS} seats, one zone."],
    )
    targets = [
        Target("best-available pairs", speed, TARGET_PAIRS_PER_S, "pairs/s", Bound.AT_LEAST),
        Target("pairs sold", len(sale.sold), sale.pairs, "pairs", Bound.AT_LEAST),
    ]
    figures = {"seat_pairs_per_s": speed, "seat_pairs_sold": len(sale.sold)}
    return Finding(figures, table, targets, [sale.use], sale.wrong())


async def _sell(mesh: Mesh, event: Event, pairs: int) -> Sale:
    """Ask for every pair, and once more on each connection."""
    plan = _plan(mesh, event, pairs + CLIENTS)
    found, use = await watched(mesh, "seats", load.wrk(plan))
    if found.report["answers"] != plan.limit:
        raise BenchmarkFailed(f"Of {plan.limit} pairs, {found.report['answers']} were answered.")
    assert plan.keep is not None
    answers = [json.loads(line) for line in plan.keep.read_text().splitlines()]
    async with StockBook.open(mesh) as book:
        taken_twice = await book.seats_taken_twice(event.id)
    return Sale(found, use, pairs, [_seats_of(hold) for hold in answers], taken_twice)


def _plan(mesh: Mesh, event: Event, requests: int) -> Requests:
    keep = mesh.data_dir / f"{event.id}.jsonl"
    body = event.hold(quantity=2)
    return Requests(mesh.url, "POST", "/v1/holds", CLIENTS, _WITHIN_S, body, requests, keep)


def _seats_of(hold: dict[str, Any]) -> list[str]:
    return [seat["seat_id"] for item in hold["items"] for seat in item["seats"]]


async def _build_hall(mesh: Mesh, token: str, rows: int) -> str:
    """A hall with so many rows, the first ones best; answers its id."""
    venue = await mesh.call("POST", "/v1/venues", {"name": "Opera", "address": "Ring 2"}, token)
    halls = f"/v1/venues/{venue['id']}/halls"
    hall = await mesh.call("POST", halls, {"name": "Great hall"}, token)
    layout = {
        "zones": [{"name": _ZONE}],
        "sections": [{"name": _ZONE, "rows": [_row(number) for number in range(1, rows + 1)]}],
    }
    await mesh.call("PUT", f"{halls}/{hall['id']}/layout", layout, token)
    return str(hall["id"])


def _row(number: int) -> dict[str, Any]:
    seats = [{"number": str(seat), "x": seat, "y": number} for seat in range(1, ROW_SEATS + 1)]
    return {"name": str(number), "rank": number, "zone": _ZONE, "seats": seats}


async def _seat_event(mesh: Mesh, token: str, hall_id: str, seats: int) -> Event:
    """An event that sells the hall's only zone."""
    event = await shop.publish_event(mesh, token, seats)
    zones = [{"zone": _ZONE, "ticket_type_id": event.ticket_type_id}]
    body = {"hall_id": hall_id, "zones": zones}
    await mesh.call("POST", f"/v1/events/{event.id}/seat_map", body, token)
    return event
