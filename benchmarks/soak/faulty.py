"""Payments through a Stripe at its worst: none is lost, and nobody is charged twice."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks import shop
from benchmarks.sales.stage import Stage
from benchmarks.shop import Event
from benchmarks.soak import books
from benchmarks.soak.books import FAILED, Books
from benchmarks.soak.browser import OVER, Browser, Json, Refused, order
from benchmarks.soak.finding import Finding

HOLD_S = 90  # a webhook that is lost is made up for at the deadline
CUSTOMERS = 64
_ATTEMPTS = 10
_OUTCOME_WITHIN_S = HOLD_S + 120
CREATE, CAPTURE = "/v1/payment_intents", "/v1/payment_intents/*/capture"
CONFIRM = "/v1/payment_intents/*/confirm"
_HANGS = {"action": "hang", "when": "after", "seconds": 12.0}
# One of them meets every second payment or so: the call that goes wrong next, and how.
CALLS: tuple[Mapping[str, Any], ...] = (
    {"path": CAPTURE, **_HANGS},
    {"path": CAPTURE, "action": "drop", "when": "after"},
    {"path": CAPTURE, "action": "drop", "when": "before"},
    {"path": CAPTURE, "action": "error", "status": 429},
    {"path": CAPTURE, "action": "error", "status": 500, "when": "after"},
    {"path": CAPTURE, "action": "error", "status": 500},
    {"path": CAPTURE, "action": "error", "status": 503, "times": 3},
    {"path": CAPTURE, "action": "error", "status": 402, "code": "card_declined"},
    {"path": CREATE, "action": "drop", "when": "after"},
    {"path": CREATE, "action": "error", "status": 429, "times": 2},
    {"path": CREATE, "action": "error", "status": 500, "when": "after"},
    {"path": CONFIRM, "action": "drop", "when": "after"},
    {"path": CONFIRM, "action": "drop", "when": "before"},
)
WEBHOOKS: tuple[Mapping[str, Any], ...] = (
    {"action": "delay", "seconds": 2.0, "times": 3},
    {"action": "delay", "seconds": 0.5, "times": 3},
    {"action": "duplicate", "copies": 3, "times": 2},
    {"action": "duplicate", "copies": 2, "times": 2},
)
_LOST_WEBHOOK = {"action": "drop", "times": 1}
_SPOILT, _DISTURBED, _LOST = 0.5, 0.3, 0.005  # the share of payments
_METHODS = ("visa",) * 16 + ("declined", "declined", "authenticated", "ideal", "gives up")


@dataclass(slots=True)
class Crowd:
    """Customers who pay, and what became of that."""

    browser: Browser
    books: Books
    event: Event
    payments: int
    seed: int
    begun: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    confirmed: dict[str, str] = field(default_factory=dict)  # orders, and how they ended

    async def buy_in_turn(self) -> None:
        while self.begun < self.payments:
            self.begun += 1
            self.outcomes[await self._buy(random.Random(f"{self.seed} {self.begun}"))] += 1

    async def _buy(self, dice: random.Random) -> str:
        await self._spoil(dice)
        try:
            hold = await self.browser.post("/v1/holds", self.event.request())
            ordered = await order(self.browser, hold, f"soak-{self.begun}@customer.example")
        except Refused as refused:
            return f"no order: {refused}"
        method = dice.choice(_METHODS)
        if method == "gives up":
            path = f"/v1/orders/{ordered['id']}:cancel"
            await self.browser.post(path, {}, ordered["access_token"])
            return "given up"
        outcome = await self._pay(ordered, method)
        self.confirmed[ordered["id"]] = outcome
        return outcome

    async def _pay(self, ordered: Json, method: str) -> str:
        """Until it is paid: a capture that the bank declines takes another attempt."""
        latest = ordered
        for _ in range(_ATTEMPTS):
            try:
                payment = await self.browser.payable(latest)
            except Refused as refused:
                return f"not payable: {refused}"
            await self._confirm(payment, method)
            outcome = await self.books.outcome(ordered["id"], _OUTCOME_WITHIN_S)
            if outcome != FAILED:
                return outcome
            path = f"/v1/orders/{ordered['id']}/payments"
            try:
                another = await self.browser.post(path, {}, ordered["access_token"])
                latest = {**ordered, "payment": another}
            except Refused as refused:
                return f"no other attempt: {refused}"
        return outcome

    async def _confirm(self, payment: Json, method: str) -> None:
        browser = self.browser
        if method == "declined":
            await browser.confirm(payment, "pm_card_visa_chargeDeclined")
        if method == "authenticated":
            status = await browser.confirm(payment, "pm_card_authenticationRequired")
            await browser.authenticate(payment)
        elif method == "ideal":
            status = await browser.confirm(payment, "pm_ideal", return_url="https://shop.example")
            await browser.authenticate(payment)
        else:
            status = await browser.confirm(payment, "pm_card_visa")
        if status not in {200, OVER}:
            self.outcomes[f"confirm: {status}"] += 1

    async def _spoil(self, dice: random.Random) -> None:
        """Have something go wrong with the next calls and webhooks."""
        if dice.random() < _SPOILT:
            fault = dice.choice(CALLS)
            await self.browser.sandbox("/faults", method="POST", **fault)
            self.faults[f"{fault['action']} {fault.get('status', '')}".strip()] += 1
        if dice.random() < _DISTURBED:
            fault = dice.choice(WEBHOOKS)
            await self.browser.sandbox("/webhooks/faults", **fault)
            self.faults[f"webhook {fault['action']}"] += 1
        if dice.random() < _LOST:
            await self.browser.sandbox("/webhooks/faults", **_LOST_WEBHOOK)
            self.faults["webhook lost"] += 1


async def run(stage: Stage, payments: int, seed: int) -> Finding:
    """So many payments; each order ends paid, once, or its customer gave it up."""
    token = await shop.open_shop(stage.mesh)
    browser = Browser(stage.mesh.url, stage.mesh.stripe_url)
    async with books.opened(stage) as ledger:
        event = await shop.publish_event(stage.mesh, token)
        crowd = Crowd(browser, ledger, event, payments, seed)
        began = time.perf_counter()
        async with books.watched(ledger):
            await asyncio.gather(*(crowd.buy_in_turn() for _ in range(CUSTOMERS)))
        seconds = time.perf_counter() - began
        await browser.clear_faults()
        wrong, counts = await books.prove(stage, ledger, *crowd.confirmed)
        states = await ledger.states(crowd.confirmed)
    browser.close()
    lost = Counter(state for state in states.values() if state != "PAID")
    wrong.update({f"confirmed payments ended {state}": n for state, n in lost.items()})
    wrong.update(
        {what: n for what, n in crowd.outcomes.items() if what not in {"PAID", "given up"}}
    )
    row = {
        "payments": payments,
        "seconds": round(seconds, 1),
        "per_s": round(payments / seconds, 1),
        "faults": crowd.faults.total(),
        "paid": sum(state == "PAID" for state in states.values()),
        "given_up": crowd.outcomes["given up"],
        "lost": lost.total(),
        **counts,
    }
    return Finding("faulty", "Payments through a faulty Stripe", row, crowd.faults, wrong)
