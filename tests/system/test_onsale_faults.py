"""What dies in the minute of an on-sale: no hold is lost that somebody was told of, and none is
left that nobody was told of; and the sale goes on by itself.
"""

import asyncio
import os
import secrets
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from deploy.local import postgres
from deploy.local.postgres import EmbeddedPostgres
from kit.auth import GATEWAY
from kit.database import Database, service_url
from tests.support.invariants import assert_invariants
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, patiently, read, ticket_type

RESUMES_WITHIN_S = 10
BUYERS = 24
TOLD = {201, 409, 429, 503, 504}  # what a buyer may be answered in bad times, too
ROWS, ROW_SEATS = 40, 50


@dataclass
class House:
    """A mesh of processes, and its PostgreSQL, which writes everything down before it says so."""

    mesh: LocalMesh
    server: EmbeddedPostgres
    organizer: Shop

    @classmethod
    async def open(cls, folder: Path) -> "House":
        server = await postgres.start(folder / "postgres")
        mesh = LocalMesh(folder, separate=True, settings={"TESSERA_DATABASE_URL": server.url})
        await mesh.start()
        return cls(mesh, server, await Shop.open(mesh))

    async def close(self) -> None:
        await self.mesh.close()
        await self.server.stop()

    async def end_postgres(self, number: signal.Signals) -> None:
        os.kill(self.server.pid, number)
        await self.server.wait()
        await self.server.stop()

    async def start_postgres(self) -> None:
        self.server = await postgres.start(self.mesh.data_dir / "postgres")

    @asynccontextmanager
    async def tickets(self) -> AsyncIterator[Database]:
        """ticket_service's database."""
        database = Database(service_url(self.server.url, "ticket"), pool_size=2)
        yield database
        await database.close()


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    made = await House.open(tmp_path_factory.mktemp("onsale"))
    yield made
    await made.close()


async def on_sale(organizer: Shop, stock: int = 100_000) -> Json:
    """An event with tickets for all, a few that are soon gone, and seats; two share a quota."""
    event = await organizer.event(stock=stock, publish=False)
    path = f"/v1/events/{event['id']}"
    for name, total_stock in (("Few", 40), ("Seat", 0)):
        stalls = ticket_type(name=name, total_stock=total_stock)
        await organizer.post(f"{path}/ticket_types", stalls)
    plenty, few, seated = (await organizer.get(path))["ticket_types"]
    ids = [plenty["id"], few["id"]]
    quota = {"name": "House", "size": stock, "ticket_type_ids": ids}
    await organizer.post(f"{path}/quotas", quota)
    zones = [{"zone": "Parquet", "ticket_type_id": seated["id"]}]
    hall = {"hall_id": await _hall(organizer), "zones": zones}
    await organizer.post(f"{path}/seat_map", hall)
    return await organizer.post(f"{path}:publish", {})


async def _hall(organizer: Shop) -> str:
    venue = await organizer.post("/v1/venues", {"name": "Odeon", "address": "Stage Door 1"})
    path = f"/v1/venues/{venue['id']}/halls"
    hall = await organizer.post(path, {"name": "Main Hall"})
    seats = [{"number": str(number), "x": number, "y": 0} for number in range(ROW_SEATS)]
    rows = [{"name": str(n), "rank": n, "zone": "Parquet", "seats": seats} for n in range(ROWS)]
    layout = {
        "zones": [{"name": "Parquet", "color": "#800000"}],
        "sections": [{"name": "Stalls", "rows": rows}],
    }
    url = f"{path}/{hall['id']}/layout"
    read(await organizer.mesh.http.put(url, headers=organizer.headers, json=layout))
    return str(hall["id"])


@dataclass
class Rush:
    """Buyers who ask for tickets one after the other; every third gives back what they got."""

    mesh: LocalMesh
    event: Json
    statuses: Counter[int] = field(default_factory=Counter)
    held: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=BUYERS)
        async with httpx.AsyncClient(base_url=self.mesh.url, limits=limits, timeout=60) as http:
            buyers = [asyncio.create_task(self._buy(http, number)) for number in range(BUYERS)]
            yield
            for buyer in buyers:
                buyer.cancel()
            for ended in await asyncio.gather(*buyers, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def sells(self, more: int, timeout_s: float = 60) -> None:
        """Return when so many more holds were made."""
        enough = self.statuses[201] + more

        async def sold() -> bool:
            return self.statuses[201] >= enough

        await until(sold, timeout_s)

    async def _buy(self, http: httpx.AsyncClient, number: int) -> None:
        plenty, few, seated = (kind["id"] for kind in self.event["ticket_types"])
        wishes = (
            [{"ticket_type_id": plenty, "quantity": 1}],
            [{"ticket_type_id": few, "quantity": 1}, {"ticket_type_id": plenty, "quantity": 2}],
            [{"ticket_type_id": seated, "quantity": 2}],
        )
        body = {"event_id": self.event["id"], "items": wishes[number % 3]}
        while True:
            answer = await http.post("/v1/holds", json=body)
            self.statuses[answer.status_code] += 1
            if answer.status_code != 201:
                await asyncio.sleep(0.2)  # sooner than `Retry-After` says: they are impatient
                continue
            hold_id = answer.json()["id"]
            self.held.append(hold_id)
            if len(self.held) % 3 == 0:
                answer = await http.delete(f"/v1/holds/{hold_id}")
                self.statuses[answer.status_code if answer.is_error else 409] += 1
                if answer.is_success:
                    self.released.append(hold_id)


async def assert_nothing_is_lost(house: House, rush: Rush) -> None:
    """Every hold that a buyer was told of is there, and so is every release."""
    assert set(rush.statuses) <= TOLD, rush.statuses
    async with house.tickets() as database, database.begin() as tx:
        query = text("SELECT id, state FROM holds WHERE id = ANY(:ids)")
        states = {row.id: row.state for row in await tx.execute(query, {"ids": rush.held})}
    assert set(states) == set(rush.held)
    assert {states[hold_id] for hold_id in rush.released} <= {"RELEASED"}
    assert {states[hold_id] for hold_id in rush.held} <= {"ACTIVE", "RELEASED"}
    await assert_invariants(house.server.url, "ticket")


async def test_ticket_service_that_dies_in_the_middle_of_batches_loses_no_hold(
    house: House,
) -> None:
    rush = Rush(house.mesh, await on_sale(house.organizer))
    async with rush.running():
        for _ in range(3):
            await rush.sells(100)
            await house.mesh.kill_service("ticket_service")
            await rush.sells(BUYERS, RESUMES_WITHIN_S)
    assert rush.statuses[503]
    await assert_nothing_is_lost(house, rush)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_postgresql_that_is_started_again_loses_no_hold(
    house: House, stop: signal.Signals
) -> None:
    await house.mesh.ready()
    rush = Rush(house.mesh, await on_sale(house.organizer))

    async def is_felt() -> bool:
        return rush.statuses[503] > 0

    async with rush.running():
        await rush.sells(100)
        await house.end_postgres(stop)
        await until(is_felt)
        await house.start_postgres()
        await rush.sells(BUYERS, RESUMES_WITHIN_S)
    await assert_nothing_is_lost(house, rush)


async def test_a_gateway_that_dies_leaves_no_hold_behind(house: House) -> None:
    await house.mesh.ready()
    event = await on_sale(house.organizer, stock=100)
    plenty = event["ticket_types"][0]
    items = [{"ticket_type_id": plenty["id"], "quantity": 1}]
    body = {"event_id": event["id"], "items": items}
    async with house.tickets() as database:
        async with database.begin() as tx:
            # The batch waits for the ticket type until its caller is gone.
            lock = text("SELECT id FROM ticket_types WHERE event_id = :id FOR UPDATE")
            await tx.execute(lock, {"id": event["id"]})
            asking = [
                asyncio.create_task(house.mesh.http.post("/v1/holds", json=body)) for _ in range(9)
            ]
            await until(lambda: _somebody_waits(database))
            await house.mesh.kill_service(GATEWAY)
            await asyncio.wait(asking)
        assert all(isinstance(each.exception(), httpx.TransportError) for each in asking)

        async def all_is_back() -> bool:
            async with database.begin() as tx:
                made = text("SELECT state FROM holds WHERE event_id = :id")
                states = set((await tx.execute(made, {"id": event["id"]})).scalars())
            return states == {"RELEASED"}

        await until(all_is_back)
    key = {"Idempotency-Key": secrets.token_hex(8)}
    await patiently(house.mesh, "/v1/holds", body, key)
    await assert_invariants(house.server.url, "ticket")


async def _somebody_waits(database: Database) -> bool:
    async with database.begin() as tx:
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool((await tx.execute(waiting)).scalar_one())
