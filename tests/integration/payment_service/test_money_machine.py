"""Money goes where a plain model says, whatever happens in which order.

Customers, admins, banks and Stripe's dashboard do what they like. Webhooks come when the machine
takes them there: shuffled, again and again, after everything else, after a restart. After each
step what everybody sees is compared with the model, and the invariants hold; when no webhook is
left, those between Stripe and the books do, too. `TESSERA_MONEY_EXAMPLES` asks for more of it.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tessera.payment.v1 import order_pb2

from deploy.local.postgres import EmbeddedPostgres
from tests.integration.payment_service import money_acts as acts
from tests.integration.payment_service import till
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.money_model import (
    CHARGED,
    HELD,
    TO_AUTHENTICATE,
    UNPAID,
    Attempt,
    Refund,
    Till,
)
from tests.integration.payment_service.money_seen import Letter, Postman, Sold, cents, compare
from tests.integration.payment_service.support import (
    Shop,
    intent_id,
    open_shop,
    opened_by,
)
from tests.integration.payment_service.test_restarts import down
from tests.integration.ticket_service.support import (
    eventually,
)
from tests.support.invariants import broken_invariants, broken_money, unsettled

Result = TypeVar("Result")

METHODS = ("pm_card_visa", "pm_card_visa", "at once", "pm_card_pendingRefund")
OTHERS = ("pm_card_visa_chargeDeclined", "pm_card_authenticationRequired")
MOST_ORDERS = 4
MOST_ATTEMPTS = 5  # for each
AMOUNTS = (1, 1000, 6270, 100_000)


@dataclass(frozen=True, slots=True)
class World:
    """Where machines run: in a thread beside the event loop, in a shop without webhooks."""

    loop: asyncio.AbstractEventLoop
    shop: Shop
    postman: Postman

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=120)


class MoneyMachine(RuleBasedStateMachine):
    """One organizer's sales."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.shop = replace(world.shop, organizer_id=f"org_{uuid.uuid4().hex}")
        self.till = Till()
        self.sold: list[Sold] = []
        self.event = world.run(acts.open_event(self.shop))

    @rule(seed=st.integers(0, 2**32 - 1))
    def step(self, seed: int) -> None:
        """Something happens: one rule, since of many Hypothesis leaves half out of an example.

        What it is about depends on what is there by then, which is not the same each time: so
        Hypothesis draws a seed, and nothing that would depend on that.
        """
        chance = Random(seed)
        chance.choice(self._possible())(chance)

    def _possible(self) -> list[Callable[[Random], None]]:
        """What may happen now; what leads to more, more often."""
        sold, attempts, post = self.sold, self._attempts(), self.world.postman
        weights = {
            self.order: 2 * (len(sold) < MOST_ORDERS),
            self.begin_another: any(len(each.model.attempts) < MOST_ATTEMPTS for each in sold),
            self.confirm: 8 * any(map(is_open, attempts)),
            self.authenticate: 4 * any(each.at_stripe == TO_AUTHENTICATE for each in attempts),
            self.cancel: any(each.model.state != "CANCELLED" for each in sold),
            self.expire: any(each.model.state == "PENDING" for each in sold),
            self.restart: bool(sold),
            self.refund: 4 * any(each.model.was_paid for each in sold),
            self.dispute: 4 * any(map(is_disputable, sold)),
            self.decide: 3 * any(each.dispute == "open" for each in attempts),
            self.refund_in_dashboard: 2 * any(map(is_refundable, attempts)),
            self.have_the_bank_move: 2 * any(map(may_move, self._given())),
            self.hear: 6 * bool(post.bag),
            self.hear_everything: 3 * bool(post.bag),
            self.hear_again: bool(post.known),
        }
        return [rule for rule, weight in weights.items() for _ in range(weight)]

    # Customers and admins

    def order(self, chance: Random) -> None:
        quantity = chance.randint(1, 2)
        voucher = chance.choice(("", "", "TENTH", "GUEST"))
        found, order = self.world.run(acts.order(self.shop, self.event, quantity, voucher))
        assert found == self.till.order(quantity, voucher)
        if order is None:
            return
        model = self.till.orders[-1]
        assert cents(order.total.amount) == model.total
        self.sold.append(Sold(model, order))
        if model.total:
            self._add_attempt(self.sold[-1], order)

    def _add_attempt(self, sold: Sold, answer: order_pb2.Order) -> None:
        attempt = Attempt(intent_id(answer), sold.model.total)
        sold.model.attempts.append(attempt)
        sold.payments[attempt] = answer

    def begin_another(self, chance: Random) -> None:
        few = [each for each in self.sold if len(each.model.attempts) < MOST_ATTEMPTS]
        sold = chance.choice(few)
        found, answer = self.world.run(acts.twice(partial(self.shop.attempt, sold.order)))
        assert found == self.till.begin(sold.model)
        if answer is None:
            return
        latest = sold.model.attempts[-1]
        assert (intent_id(answer) == latest.intent) == latest.is_untried
        if not latest.is_untried:
            self._add_attempt(sold, answer)

    def confirm(self, chance: Random) -> None:
        sold, attempt = self._some_attempt(chance, is_open)
        method = chance.choice(METHODS + METHODS + OTHERS)
        self.world.run(acts.confirm(self.shop, sold.payments[attempt], method))
        attempt.takes_time = method == "pm_card_pendingRefund"
        attempt.at_stripe = {
            "at once": CHARGED,
            "pm_card_visa_chargeDeclined": UNPAID,
            "pm_card_authenticationRequired": TO_AUTHENTICATE,
        }.get(method, HELD)

    def authenticate(self, chance: Random) -> None:
        _, attempt = self._some_attempt(chance, lambda each: each.at_stripe == TO_AUTHENTICATE)
        outcome = chance.choice(("succeeded", "failed"))
        path = f"/payment_intents/{attempt.intent}/authentication"
        self.world.run(self.shop.sandbox.ask(path, outcome=outcome))
        attempt.at_stripe = HELD if outcome == "succeeded" else UNPAID

    def cancel(self, chance: Random) -> None:
        sold, by_customer = self._some(chance), chance.random() < 0.5
        by = opened_by(sold.order) if by_customer else self.shop.admin
        ask = partial(self.shop.cancel, sold.order, by)
        found, _ = self.world.run(acts.twice(ask))
        assert found == self.till.cancel(sold.model, by_customer=by_customer)

    def expire(self, chance: Random) -> None:
        pending = [each for each in self.sold if each.model.state == "PENDING"]
        sold = chance.choice(pending)
        self.world.run(self.shop.reach_deadline(sold.order))
        self.till.expire(sold.model)

    def refund(self, chance: Random) -> None:
        sold = self._some(chance, lambda each: each.model.was_paid)
        numbers, minor = set[int](), None
        match chance.choice(("all", "amount", "tickets")):
            case "amount":
                minor = chance.choice(AMOUNTS)
            case "tickets":
                numbers = some_numbers(chance, sold.model.quantity)
        found, exists = self.world.run(acts.refund(self.shop, sold, minor, numbers))
        if exists:
            assert found == self.till.refund(sold.model, minor, numbers)

    def restart(self, chance: Random) -> None:
        """Webhooks that come after it are signed anew."""

        async def leave_and_return() -> None:
            async with down(self.shop, "payment_service"):
                pass

        self.world.run(leave_and_return())
        if self.world.postman.bag:
            self.hear(chance)

    # Banks, and Stripe's dashboard

    def dispute(self, chance: Random) -> None:
        sold = chance.choice(list(filter(is_disputable, self.sold)))
        kept = sold.model.kept
        assert kept
        kept.disputed = chance.choice((kept.net, -(-kept.net // 3)))
        self.world.run(till.dispute(self.shop, sold.payments[kept], minor=kept.disputed))
        kept.dispute = "open"

    def decide(self, chance: Random) -> None:
        _, attempt = self._some_attempt(chance, lambda each: each.dispute == "open")
        verdict = chance.choice(("won", "lost"))
        self.world.run(acts.decide(self.shop, attempt, verdict))
        attempt.dispute = verdict

    def refund_in_dashboard(self, chance: Random) -> None:
        sold, attempt = self._some_attempt(chance, is_refundable)
        minor = min(chance.choice(AMOUNTS), attempt.total - attempt.returned)
        made = self.world.run(till.in_dashboard(self.shop, sold.payments[attempt], minor))
        refund = Refund(attempt, minor, id=made.id)
        self.till.at_stripe(refund)
        assert made.status == refund.at_stripe

    def have_the_bank_move(self, chance: Random) -> None:
        """A refund that takes its time goes through, or the money comes back."""
        refund = chance.choice(list(filter(may_move, self._given())))
        if refund.at_stripe == "pending" and chance.random() < 0.5:
            self.world.run(self.shop.sandbox.ask("/settle", object=refund.id))
            refund.at_stripe = "succeeded"
        else:
            self.world.run(self.shop.sandbox.ask(f"/refunds/{refund.id}/fail"))
            refund.at_stripe = "failed"

    # Webhooks

    def hear(self, chance: Random) -> None:
        bag = self.world.postman.bag
        self._hear(bag.pop(chance.randint(0, len(bag) - 1)))

    def hear_again(self, chance: Random) -> None:
        known = self.world.postman.known
        self._take(known[chance.randint(0, len(known) - 1)])

    def hear_everything(self, chance: Random) -> None:
        self._hear_all(chance.shuffle)

    def _hear_all(self, arrange: Callable[[list[Letter]], None]) -> None:
        bag = self.world.postman.bag
        while bag:
            letters, bag[:] = bag[:], []
            arrange(letters)
            for letter in letters:
                self._hear(letter)
            self._settle()

    def _hear(self, letter: Letter) -> None:
        """What is refused now comes again later."""
        sold, attempt = self._about(letter)
        taken = True
        about = letter.about
        match about["object"]:
            case "payment_intent":
                declined = bool(about["last_payment_error"])
                self.till.hear(sold.model, attempt, about["status"], declined=declined)
            case "refund":
                (refund,) = [each for each in attempt.given if each.id == about["id"]]
                taken = self.till.hear_refund(sold.model, refund, about["status"])
            case "dispute":
                self.till.hear_dispute(sold.model, attempt, about["status"])
        assert self._take(letter) == taken
        (self.world.postman.known if taken else self.world.postman.bag).append(letter)
        self._settle()

    def _take(self, letter: Letter) -> bool:
        return self.world.run(letter.take_to(self.shop))

    def _about(self, letter: Letter) -> tuple[Sold, Attempt]:
        about = letter.about
        intent = about["id"] if about["object"] == "payment_intent" else about["payment_intent"]
        return next(
            (sold, attempt)
            for sold in self.sold
            for attempt in sold.model.attempts
            if attempt.intent == intent
        )

    # Choosing

    def _attempts(self) -> list[Attempt]:
        return [attempt for sold in self.sold for attempt in sold.model.attempts]

    def _given(self) -> list[Refund]:
        return [each for attempt in self._attempts() for each in attempt.given if each.id]

    def _some(self, chance: Random, rather: Callable[[Sold], bool] = lambda _: True) -> Sold:
        """Mostly one of those that something may become of."""
        wanted = [each for each in self.sold if rather(each)]
        return chance.choice([*self.sold, *wanted, *wanted, *wanted])

    def _some_attempt(
        self, chance: Random, that: Callable[[Attempt], bool]
    ) -> tuple[Sold, Attempt]:
        some = [
            (sold, attempt)
            for sold in self.sold
            for attempt in sold.model.attempts
            if that(attempt)
        ]
        return chance.choice(some)

    # What everybody sees

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self._settle()
        self.world.run(self._check())

    async def _check(self) -> None:
        await asyncio.gather(*(compare(self.shop, sold) for sold in self.sold))
        url, sandbox = self.shop.installation.database_url, self.shop.sandbox
        assert await broken_invariants(url, "payment") == []
        if self.world.postman.bag:
            return
        assert await broken_money(url, sandbox.url, sandbox.keys.secret_key) == []
        for sold in self.sold:
            booked = await till.books(self.shop, sold.order)
            assert booked.get("PROVIDER", 0) == sold.model.net
            assert sum(booked.values()) == 0

    def _settle(self) -> None:
        """Let the service come to rest, and collect what Stripe has to say by then."""
        self.world.run(self._rest())

    async def _rest(self) -> None:
        async def is_quiet() -> bool:
            return not await unsettled(self.shop.installation.database_url)

        await eventually(is_quiet, 60)
        await self.world.postman.collect()
        for sold in self.sold:
            await acts.name_refunds(self.shop, sold.model)

    def teardown(self) -> None:
        """In the end everything is heard, and all is well."""
        self._settle()
        self._hear_all(list.reverse)
        self.world.run(self._check())
        self.world.postman.known.clear()


def some_numbers(chance: Random, count: int) -> set[int]:
    """Some of the numbers of so many tickets, at least one."""
    return set(chance.sample(range(1, count + 1), chance.randint(1, count)))


def is_open(attempt: Attempt) -> bool:
    return attempt.at_stripe in {UNPAID, TO_AUTHENTICATE}


def is_refundable(attempt: Attempt) -> bool:
    return attempt.is_charged and not attempt.at_bank and attempt.net > 0


def is_disputable(sold: Sold) -> bool:
    kept = sold.model.kept
    return kept is not None and kept.net > 0 and not kept.dispute


def may_move(refund: Refund) -> bool:
    return refund.at_stripe in {"pending", "succeeded"}


@pytest.fixture
async def shop(postgres: EmbeddedPostgres, tls_dir: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop of its own, to which no webhook gets that the test does not take there."""
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with (
        installed(url, tls_dir, tmp_path / "stripe") as installation,
        open_shop(installation) as shop,
    ):
        await installation.sandbox.ask("/webhooks/faults", action="drop", times=None)
        yield shop


async def test_money_goes_where_a_plain_model_says(shop: Shop) -> None:
    world = World(asyncio.get_running_loop(), shop, Postman(shop))

    class Machine(MoneyMachine):
        def __init__(self) -> None:
            super().__init__(world)

    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=SETTINGS)


SETTINGS = settings(
    max_examples=int(os.environ.get("TESSERA_MONEY_EXAMPLES", "6")),
    stateful_step_count=30,
    database=None,  # services are at work at the same time: what failed once may not do so again
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
