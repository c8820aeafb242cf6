"""The customers: a process that reads a plan (JSON) and prints a report, see `selling`.

It does little for each sale. That an order is paid it does not ask through the gateway, which would
cost both: it asks the database, about all orders at once.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks.sales.customer import Customer, SaleFailed
from kit.database import service_url

_LOOK_S = 0.1
_PAUSE_S = 0.05  # after something went wrong
_PAID_WITHIN_S = 60
_MOST_AT_ONCE = 500  # connections of customers who come by the clock
_LATE_S = 0.05
_ENDED = text("SELECT id, state FROM orders WHERE id = ANY(:ids) AND state <> 'PENDING'")


def main() -> None:
    """`python -m benchmarks.sales.buyers closed|open`, the plan on standard input."""
    kinds = {"closed": _buy_in_turn, "open": _buy_by_the_clock}
    plan = json.load(sys.stdin)
    used_before_s = time.process_time()
    report = asyncio.run(Crowd(plan).run(kinds[sys.argv[1]]))
    json.dump({**report, "cpu_s": time.process_time() - used_before_s}, sys.stdout)


class Crowd:
    """All customers, and what became of what they bought."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.errors: Counter[str] = Counter()
        self.begun = self.late = 0
        self._confirmed = 0
        self._free: list[Customer] = []
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def run(self, arrive: Callable[["Crowd"], Awaitable[None]]) -> dict[str, Any]:
        looking = asyncio.create_task(self._look())
        started_s = time.time()
        await arrive(self)
        looking.cancel()
        for customer in self._free:
            customer.close()
        return {
            "started_s": started_s,
            "duration_s": self.plan["duration_s"],
            "begun": self.begun,
            "confirmed": self._confirmed,
            "late": self.late,
            "errors": self.errors,
        }

    async def buy(self) -> None:
        """One customer comes, buys a ticket and waits until it is paid."""
        self.begun += 1
        email = f"{self.plan['prefix']}{self.begun}@customer.example"
        try:
            order_id = await self._order(email)
            self._confirmed += 1
            await self._paid(order_id)
        except SaleFailed as error:
            self.errors[str(error)] += 1
            await asyncio.sleep(_PAUSE_S)

    async def _order(self, email: str) -> str:
        customer = await self._connected()
        try:
            order_id = await customer.buy(email)
        except SaleFailed:
            customer.close()
            raise
        self._free.append(customer)
        return order_id

    async def _connected(self) -> Customer:
        """One who was here before, with the connections of then, or a new one."""
        while self._free:
            customer = self._free.pop()
            if customer.is_connected:
                return customer
            customer.close()
        plan = self.plan
        try:
            return await Customer.open(plan["url"], plan["stripe_url"], plan["hold"].encode())
        except OSError as error:
            raise SaleFailed(f"connect: {type(error).__name__}") from error

    async def _paid(self, order_id: str) -> None:
        self._waiting[order_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(_PAID_WITHIN_S):
                state = await self._waiting[order_id]
        except TimeoutError:
            raise SaleFailed("not paid in time") from None
        finally:
            del self._waiting[order_id]
        if state != "PAID":
            raise SaleFailed(state)

    async def _look(self) -> None:
        """Tell those who wait that their order is paid, or never will be."""
        url = service_url(self.plan["database_url"], "payment")
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            while True:
                await asyncio.sleep(_LOOK_S)
                if not self._waiting:
                    continue
                ids = list(self._waiting)
                for order_id, state in await connection.execute(_ENDED, {"ids": ids}):
                    if order_id in self._waiting and not self._waiting[order_id].done():
                        self._waiting[order_id].set_result(state)


async def _buy_in_turn(crowd: Crowd) -> None:
    """So many customers, each of whom buys again as soon as the last order is paid."""
    plan = crowd.plan
    end = time.perf_counter() + plan["duration_s"]
    limit = plan["limit"] or sys.maxsize

    async def buy_until_the_end() -> None:
        while time.perf_counter() < end and crowd.begun < limit:
            await crowd.buy()

    await asyncio.gather(*(buy_until_the_end() for _ in range(plan["customers"])))


async def _buy_by_the_clock(crowd: Crowd) -> None:
    """A new customer every so often, however slow the answers are."""
    plan = crowd.plan
    interval_s = 1 / plan["rate_per_s"]
    started = time.perf_counter()
    buying: set[asyncio.Task[None]] = set()
    for number in range(round(plan["duration_s"] * plan["rate_per_s"])):
        due = started + number * interval_s
        await asyncio.sleep(due - time.perf_counter())
        crowd.late += time.perf_counter() - due > _LATE_S
        if len(buying) >= _MOST_AT_ONCE:
            crowd.errors["turned away: too many wait"] += 1
            continue
        task = asyncio.create_task(crowd.buy())
        buying.add(task)
        task.add_done_callback(buying.discard)
    if buying:
        await asyncio.wait(buying)


if __name__ == "__main__":
    main()
