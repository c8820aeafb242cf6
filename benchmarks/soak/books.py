"""What payment_service's database says about many orders, and that all is well in the end."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.mesh import BenchmarkFailed, Mesh
from benchmarks.sales.stage import Stage
from kit.database import service_url
from tests.support.invariants import broken_invariants, broken_money, undelivered, unsettled

SHOWN = 10
_LOOK_S = 0.2
_REST_WITHIN_S = 600
_RECONCILED_WITHIN_S = 1800
_HOW = text("""
    SELECT orders.id, orders.state, bool_and(payments.state IN ('FAILED', 'CANCELLED')) AS failed
    FROM orders JOIN payments ON payments.order_id = orders.id
    WHERE orders.id = ANY(:ids) GROUP BY orders.id
""")
_STATES = text("SELECT id, state FROM orders WHERE id = ANY(:ids)")
_UNDECIDED = text("""
    SELECT (SELECT count(*) FROM orders WHERE state = 'PENDING')
         + (SELECT count(*) FROM refunds WHERE state IN ('CREATED', 'PENDING'))
""")
_TWICE = text("""
    SELECT order_id FROM payments WHERE state = 'SUCCEEDED' AND refunded_minor < amount_minor
    GROUP BY order_id HAVING count(*) > 1
""")
PENDING, FAILED = "PENDING", "FAILED"


@dataclass(slots=True)
class Books:
    """Looks at the orders that somebody waits for: all of them with one statement."""

    connection: AsyncConnection
    _waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)

    async def outcome(self, order_id: str, within_s: float) -> str:
        """The order's state, once it is no longer PENDING; FAILED when its payments have."""
        self._waiting[order_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(within_s):
                return await self._waiting[order_id]
        except TimeoutError:
            return PENDING
        finally:
            del self._waiting[order_id]

    async def look(self) -> None:
        """Tell those who wait, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for row in await self.connection.execute(_HOW, {"ids": list(self._waiting)}):
                waiting = self._waiting.get(row.id)
                if waiting and not waiting.done() and (row.state != PENDING or row.failed):
                    waiting.set_result(FAILED if row.state == PENDING else row.state)

    async def states(self, order_ids: Collection[str]) -> dict[str, str]:
        found = await self.connection.execute(_STATES, {"ids": list(order_ids)})
        return {row.id: row.state for row in found}

    async def charged_twice(self) -> list[str]:
        return list((await self.connection.execute(_TWICE)).scalars())

    async def undecided(self) -> int:
        """How many orders and refunds wait for something."""
        return int((await self.connection.execute(_UNDECIDED)).scalar_one())


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Books]:
    """The books, and somebody who looks into them."""
    url = service_url(stage.database_url, "payment")
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield Books(connection)
    finally:
        await engine.dispose()


@asynccontextmanager
async def watched(books: Books) -> AsyncIterator[None]:
    """While somebody waits for outcomes."""
    looking = asyncio.create_task(books.look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def prove(stage: Stage, books: Books, *order_ids: str) -> tuple[Counter[str], dict[str, int]]:
    """Wait until all has come to rest: what is wrong, and what the reconciliation found."""
    wrong = Counter(await _rest(stage, books))
    url = stage.database_url
    broken = await broken_invariants(url)
    broken += await broken_money(url, stage.mesh.stripe_url, stage.keys.secret_key)
    wrong.update(broken[:SHOWN])
    if len(broken) > SHOWN:
        wrong["more rows that break an invariant"] += len(broken) - SHOWN
    print("Reconciling …", flush=True)
    run = await _reconcile(stage.mesh)
    wrong.update(
        f"reconciliation: {each['kind']} of {each['subject']}: {each['detail']}"
        for each in run.get("findings", ())[:SHOWN]
    )
    twice = await books.charged_twice()
    if twice:
        wrong["orders were charged twice"] += len(twice)
    left = sum(state == PENDING for state in (await books.states(order_ids)).values())
    if left:
        wrong["orders are still pending"] += left
    counts = {"twice": len(twice), "broken": len(broken)}
    counts |= {name: int(run.get(name, 0)) for name in ("examined", "healed", "reported")}
    return wrong, counts


async def _rest(stage: Stage, books: Books) -> list[str]:
    """Nothing, once nobody has anything to do; what is left when that takes too long."""
    deadline = time.monotonic() + _REST_WITHIN_S
    while True:
        left = await unsettled(stage.database_url)
        for area in ("ticket", "payment"):
            left += await undelivered(stage.database_url, area)
        if undecided := await books.undecided():
            left.append(f"{undecided} orders or refunds wait")
        if not left or time.monotonic() > deadline:
            return left[:SHOWN]
        await asyncio.sleep(1)


async def _reconcile(mesh: Mesh) -> dict[str, Any]:
    """Have Stripe and the books compared; what was found."""
    settings = mesh.settings("user_service")
    credentials = {
        "email": settings["SUPERADMIN_EMAIL"],
        "password": settings["SUPERADMIN_PASSWORD"],
    }
    session = await mesh.call("POST", "/v1/sessions", credentials)
    token = str(session["access_token"])
    path, deadline = "/v1/reconciliations", time.monotonic() + _RECONCILED_WITHIN_S
    while any(run["state"] == "RUNNING" for run in await _runs(mesh, path, token)):
        await asyncio.sleep(1)  # the nightly one, at first start
    run = await mesh.call("POST", path, {}, token)
    while run["state"] == "RUNNING":
        if time.monotonic() > deadline:
            raise BenchmarkFailed("The reconciliation does not come to an end.")
        await asyncio.sleep(1)
        run = await mesh.call("GET", f"{path}/{run['id']}", token=token)
    found: dict[str, Any] = run
    return found


async def _runs(mesh: Mesh, path: str, token: str) -> list[dict[str, Any]]:
    page = await mesh.call("GET", path, token=token)
    found: list[dict[str, Any]] = page.get("reconciliations", [])
    return found
