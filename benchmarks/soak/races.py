"""Payments that land as their hold runs out: each ends in a ticket, or costs nothing.

Those who hold a ticket pay in the very moment in which it goes back on sale, and those who got none
take it if they can, so that the tickets of late payments may be somebody else's by then. Some
methods reserve the money, and others charge at once.
"""

import asyncio
import math
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from benchmarks import shop
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event
from benchmarks.soak import books
from benchmarks.soak.books import Books
from benchmarks.soak.browser import Browser, Json, Refused, order
from benchmarks.soak.finding import Finding

HOLD_S = 10
WITHIN_S = 0.05  # of the deadline, before and after
TICKETS, OTHERS = 20, 10  # of each round: those who hold one, and those who want one
_ROUNDS_AT_ONCE = 10
_EARLY_S, _LATE_S, _PAUSE_S = 0.1, 3.0, 0.05
_OUTCOME_WITHIN_S = 120


@dataclass(slots=True)
class Race:
    """All rounds, and how they ended."""

    browser: Browser
    books: Books
    stage: Stage
    token: str
    races: int
    dice: random.Random
    run: int = 0
    in_time: int = 0  # payments that did land within the time
    outcomes: Counter[str] = field(default_factory=Counter)
    orders: list[str] = field(default_factory=list)

    async def rounds(self) -> None:
        while self.run < self.races:
            event = await shop.publish_event(self.stage.mesh, self.token, stock=TICKETS)
            held = [await self._hold(event) for _ in range(TICKETS)]
            deadlines = [moment(hold["expires_at"]) for hold in held if hold]
            racing = [self._buy(hold) for hold in held if hold]
            racing += [self._wait_for(event, min(deadlines)) for _ in range(OTHERS)]
            await asyncio.gather(*racing)

    async def _hold(self, event: Event) -> Json | None:
        with suppress(Refused):
            return await self.browser.post("/v1/holds", event.request())
        return None

    async def _wait_for(self, event: Event, deadline: float) -> None:
        """Take the ticket of somebody who is late, in the moment in which it is there."""
        await asyncio.sleep(deadline - _EARLY_S - time.time())
        while time.time() < deadline + _LATE_S:
            if hold := await self._hold(event):
                self.outcomes["tickets came back"] += 1
                await self._buy(hold)
                return
            await asyncio.sleep(_PAUSE_S)

    async def _buy(self, hold: Json) -> None:
        """Pay for what is held, when it is about to be gone."""
        try:
            ordered = await order(self.browser, hold, "racer@customer.example")
            payment = await self.browser.payable(ordered)
        except Refused as refused:
            self.outcomes[f"no order: {refused}"] += 1
            return
        self.run += 1
        self.orders.append(ordered["id"])
        await self._pay(payment, moment(hold["expires_at"]))
        self.outcomes[await self.books.outcome(ordered["id"], _OUTCOME_WITHIN_S)] += 1

    async def _pay(self, payment: Json, deadline: float) -> None:
        """The money is there just before the deadline, or just after."""
        aim = deadline + self.dice.uniform(-WITHIN_S, WITHIN_S)
        charges_at_once = self.dice.random() < 0.5
        if charges_at_once:  # the bank is asked in time, and the customer agrees late
            url = "https://shop.example"
            await self.browser.confirm(payment, "pm_ideal", return_url=url)
        await asyncio.sleep(aim - time.time())
        if charges_at_once:
            status = await self.browser.authenticate(payment)
        else:
            status = await self.browser.confirm(payment, "pm_card_visa")
        self.outcomes["too late for Stripe"] += status != 200
        self.in_time += abs(time.time() - deadline) <= WITHIN_S


def moment(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


async def run(stage: Stage, races: int, seed: int) -> Finding:
    """So many payments at their deadline."""
    browser = Browser(stage.mesh.url, stage.mesh.stripe_url)
    token = await shop.open_shop(stage.mesh)
    async with books.opened(stage) as ledger:
        dice = random.Random(seed)
        race = Race(browser, ledger, stage, token, races, dice)
        began = time.perf_counter()
        async with books.watched(ledger):
            at_once = min(_ROUNDS_AT_ONCE, math.ceil(races / TICKETS))
            await asyncio.gather(*(race.rounds() for _ in range(at_once)))
        seconds = time.perf_counter() - began
        wrong, counts = await books.prove(stage, ledger, *race.orders)
        states = Counter((await ledger.states(race.orders)).values())
    browser.close()
    row = {
        "races": race.run,
        "seconds": round(seconds, 1),
        "per_s": round(race.run / seconds, 1),
        "within_50_ms": race.in_time,
        "paid": states["PAID"],
        "expired": states["EXPIRED"],
        "cancelled": states["CANCELLED"],
        **counts,
    }
    return Finding("races", "Payments as their hold runs out", row, race.outcomes, wrong)
