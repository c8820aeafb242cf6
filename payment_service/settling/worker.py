"""The worker that settles orders: some at once, so that a slow one delays no other."""

import asyncio
import contextvars

from kit import delivery
from kit.rpc_client import deadline
from payment_service.orders import store as orders
from payment_service.orders.store import Claim
from payment_service.payments.store import Sale
from payment_service.settling import operations
from payment_service.settling.operations import Means

AT_ONCE = 64  # mostly they wait for Stripe
LEFT_OVER_AT_ONCE = 16
SHORTEST_SLEEP_S = 0.05
LONGEST_SLEEP_S = 2.0


class Settler:
    """Settles orders as they need it; those whose payment is just heard of, at once.

    Orders that nobody pays (any more) leave payments over, which Stripe is asked about or has to
    cancel. That is left to another one, `of_left_over`, so that they take no place, and no turn,
    of orders that are paid; however many expire at once.
    """

    def __init__(self, means: Means, *, of_left_over: bool = False) -> None:
        self._means = means
        self._of_left_over = of_left_over
        self._at_once = LEFT_OVER_AT_ONCE if of_left_over else AT_ONCE
        self._running: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, Claim] = {}  # of orders that were claimed anew meanwhile
        self._is_stopping = False

    @property
    def has_room(self) -> bool:
        return len(self._running) < self._at_once and not self._is_stopping

    def start(self, claim: Claim, sale: Sale | None = None) -> None:
        """Settle a claimed order, whose sale may be known, in the background."""
        if claim.order_id in self._running:
            self._again[claim.order_id] = claim
            return
        context = contextvars.copy_context()
        context.run(deadline.set, None)  # it is not the work of who happens to be asking
        task = asyncio.create_task(
            self._settle(claim, sale), name=f"settle {claim.order_id}", context=context
        )
        self._running[claim.order_id] = task
        task.add_done_callback(lambda _: self._running.pop(claim.order_id))

    async def settle_due(self) -> None:
        """Start with the orders that are due; then sleep until there may be more."""
        free = self._at_once - len(self._running)
        claims, due_in_s = await operations.claim_due(
            self._means.database, free, left_over=self._of_left_over
        )
        for claim in claims:
            self.start(claim)
        if not self.has_room:
            await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        elif not claims:
            sleep_s = LONGEST_SLEEP_S if due_in_s is None else max(due_in_s, SHORTEST_SLEEP_S)
            signal = orders.LEFT_OVER if self._of_left_over else orders.DUE
            await self._means.database.wait(signal, min(sleep_s, LONGEST_SLEEP_S))

    async def stop(self) -> None:
        """Let what has begun come to an end."""
        self._is_stopping = True
        await delivery.finish(set(self._running.values()))

    async def _settle(self, claim: Claim, sale: Sale | None) -> None:
        next_claim: Claim | None = claim
        while next_claim is not None:
            await operations.settle_claimed(
                self._means, next_claim, sale, leaves_over=not self._of_left_over
            )
            next_claim, sale = self._again.pop(claim.order_id, None), None
