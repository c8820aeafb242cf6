"""Two replicas of ticket_service do what a plain model does, whatever happens in which order.

After each step, all that customers and admins can see is compared with the model, through one
replica or the other. Hypothesis looks for the shortest way to a difference.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import cycle
from random import Random
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    hold_pb2,
    hold_service_pb2,
    quota_pb2,
)

from kit.rpc_errors import RemoteError, from_proto
from tests.integration.ticket_service.lines import join, lapse, leave
from tests.integration.ticket_service.stock_model import MAX_PER_ORDER, Hold, Stock, Wish
from tests.integration.ticket_service.stock_seen import look
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    outcome,
    patch,
    stalls,
)
from ticket_service.holds import operations as holds

Result = TypeVar("Result")
Request = Sequence[Wish]

ROWS = ("AAAA|A", "ABB")  # few seats and tickets: what is left is soon too little
UNSEATED = (3, 2)

KINDS = range(2 + len(UNSEATED))
SEATS = range(sum(len(row.replace("|", "")) for row in ROWS))
SEVERAL_KINDS = st.sets(st.sampled_from(KINDS), min_size=2)


def some(chance: Random, among: Sequence[int], most: int) -> set[int]:
    """At least one."""
    return set(chance.sample(among, chance.randint(1, most)))


def quantity(chance: Random) -> int:
    return chance.choice((1, 1, 2, 2, 3, MAX_PER_ORDER + 1))


def requests(chance: Random) -> list[Request]:
    return [request(chance) for _ in range(chance.randint(1, 4))]


def request(chance: Random) -> Request:
    """Mostly what somebody might wish, of one type or two; or seats of any type as if of one."""
    if chance.random() < 0.25:
        return [seats_of(chance.choice(KINDS), some(chance, SEATS, 2))]
    return [wish_for(kind, chance) for kind in chance.sample(KINDS, chance.randint(1, 2))]


def wish_for(kind: int, chance: Random) -> Wish:
    own = [seat for seat, of in enumerate(Stock(ROWS, UNSEATED).kind_of) if of == kind]
    if own and chance.random() < 0.5:
        return seats_of(kind, some(chance, own, 2))
    return Wish(kind, quantity(chance), orphans=chance.random() < 0.5)


def seats_of(kind: int, seats: set[int]) -> Wish:
    return Wish(kind, len(seats), tuple(seats))


@dataclass(frozen=True, slots=True)
class World:
    """Where machines run: in a thread beside the event loop, on an organizer's events."""

    loop: asyncio.AbstractEventLoop
    replicas: Iterator[Shop]
    organizer: Organizer
    hall_id: str

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=60)


class StockMachine(RuleBasedStateMachine):
    """One event, from the moment when it goes on sale."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Stock(ROWS, UNSEATED)
        self.event, self.seat_ids = world.run(self._open())

    async def _open(self) -> tuple[event_pb2.Event, list[str]]:
        shop, organizer = self.shop, self.world.organizer
        draft = await shop.draft(organizer)
        for name, stock in zip("ABCD", (0, 0, *UNSEATED), strict=True):
            values = {"name": name, "total_stock": stock, "max_per_order": MAX_PER_ORDER}
            await shop.add_type(organizer, draft.id, **values)
        published = await shop.publish(organizer, draft.id)
        seated = event_pb2.Event(id=draft.id, ticket_types=published.ticket_types[:2])
        await shop.seat_event(organizer, seated, self.world.hall_id)
        return published, await shop.seats(draft.id)

    @property
    def shop(self) -> Shop:
        """The next replica."""
        return next(self.world.replicas)

    @initialize(size=st.integers(2, 8), shared=SEVERAL_KINDS, sold=SEVERAL_KINDS)
    def sell_out(self, size: int, shared: set[int], sold: set[int]) -> None:
        """Where nothing is left, and limits are shared, is where it gets interesting."""
        self._limit(size, shared)
        left = [kind for kind in sold for _ in range(self.model.left(kind))]
        self._hold_in_turn([(Wish(kind, 1, orphans=True),) for kind in left])

    @rule(seed=st.integers(0, 2**32 - 1))
    def step(self, seed: int) -> None:
        """Something happens: one rule, since of many Hypothesis leaves half out of an example.

        What it is about depends on what is there by then, and so on who won a race, who need not
        win it again: so Hypothesis draws a seed, and nothing that would depend on that.
        """
        chance = Random(seed)
        chance.choice(self._possible())(chance)

    def _possible(self) -> list[Callable[[Random], None]]:
        """What may happen now; what leads to more, more often."""
        admins = [self.change_the_stock, self.limit, self.block_or_unblock]
        customers = [self.hold, self.hold_at_both_replicas_at_once, self.join_the_line]
        possible: list[Callable[[Random], None]] = [*customers, *admins]
        if self.model.holds:
            possible += [self.hold, self.release, self.expire, self.issue, self.issue, self.cancel]
        if any(hold.tickets for hold in self.model.holds):
            possible += [self.cancel, self.transfer]
        if self.model.line:
            possible += [self.join_the_line, self.release, self.expire, self.leave_the_line]
        return possible

    # What customers do.

    def hold(self, chance: Random) -> None:
        self._hold_in_turn(requests(chance))

    def _hold_in_turn(self, asked: Sequence[Request]) -> None:
        found = self.world.run(self._hold(asked))
        expected = [
            self.model.hold(wishes, hold_id, got)
            for wishes, (_, hold_id, got) in zip(asked, found, strict=True)
        ]
        assert [reason for reason, _, _ in found] == expected

    def hold_at_both_replicas_at_once(self, chance: Random) -> None:
        """Either may have been first."""
        asked = request(chance), request(chance)

        async def race() -> list[Any]:
            found = await asyncio.gather(*(self._hold([each]) for each in asked))
            return [each for [each] in found]

        found = self.world.run(race())
        for order in ((0, 1), (1, 0)):
            model = deepcopy(self.model)
            if all(
                model.hold(asked[number], found[number][1], found[number][2]) == found[number][0]
                for number in order
            ):
                self.model = model
                return
        raise AssertionError(found)

    async def _hold(self, asked: Sequence[Request]) -> list[tuple[str, str, list[tuple[int, ...]]]]:
        """Each request's outcome, its hold's id, and the seats that it got of each type."""
        requests = [
            hold_service_pb2.CreateHoldRequest(
                event_id=self.event.id,
                items=[
                    hold_service_pb2.CreateHoldItem(
                        ticket_type_id=self.event.ticket_types[wish.kind].id,
                        quantity=wish.quantity,
                        seat_ids=[self.seat_ids[seat] for seat in wish.seats],
                        allow_orphans=wish.orphans,
                    )
                    for wish in wishes
                ],
            )
            for wishes in asked
        ]
        together = hold_service_pb2.BatchCreateHoldsRequest(requests=requests)
        answers = await self.shop.public.holds.BatchCreateHolds(together)
        return [
            ("OK", result.hold.id, self._seats_of(result.hold))
            if result.HasField("hold")
            else (from_proto(result.error).reason, "", [])
            for result in answers.results
        ]

    def _seats_of(self, hold: hold_pb2.Hold) -> list[tuple[int, ...]]:
        return [
            tuple(self.seat_ids.index(seat.seat_id) for seat in item.seats) for item in hold.items
        ]

    def release(self, chance: Random) -> None:
        hold = self._some_hold(chance)
        found = self.world.run(outcome(self.shop.release(hold.id)))
        assert found == self.model.release(hold)

    def issue(self, chance: Random) -> None:
        hold = self._some_hold(chance)
        is_theft = hold.state == "CONVERTED" and chance.random() < 0.5
        order_id = f"ord_other_{hold.id}" if is_theft else f"ord_{hold.id}"
        found = self.world.run(outcome(self.shop.issue(hold.id, order_id)))
        assert found == self.model.issue(hold, order_id)

    def cancel(self, chance: Random) -> None:
        """Some tickets, or all."""
        hold, is_kept = self._some_hold(chance), chance.random() < 0.5
        numbers = set[int]() if chance.random() < 0.5 else some(chance, range(1, 5), 2)
        call = self.shop.take_back(
            f"ord_{hold.id}", hold.id, numbers=numbers, keep_off_sale=is_kept
        )
        self.world.run(call)
        self.model.cancel(hold, f"ord_{hold.id}", numbers, keep_off_sale=is_kept)

    def transfer(self, chance: Random) -> None:
        """Give somebody a ticket, which may be another's by now."""
        hold = chance.choice([hold for hold in self.model.holds if hold.tickets])
        tickets = self.world.run(self.shop.tickets(hold.order))
        ticket = chance.choice(tickets)
        transfers = [each.id for each in tickets if each.number == ticket.number].index(ticket.id)
        name, by_organizer = chance.choice(("Bob", "Eve")), chance.random() < 0.5
        call = self.shop.transfer(ticket, name, by_organizer=by_organizer)
        expected = self.model.transfer(
            hold, ticket.number, transfers, name, by_organizer=by_organizer
        )
        assert self.world.run(outcome(call)) == expected

    def expire(self, chance: Random) -> None:
        """Several, unless somebody waits: who is served depends on which is the first."""
        due = {self._some_hold(chance).id for _ in range(1 if self._lines() else 3)}
        live = [hold for hold in self.model.holds if hold.id in due and hold.state == "ACTIVE"]
        self.world.run(self._let_deadlines_pass([hold.id for hold in live]))
        self.model.expire(live)

    async def _let_deadlines_pass(self, hold_ids: list[str]) -> None:
        shop = self.shop
        await lapse(shop, *hold_ids)

        async def are_gone() -> bool:
            await holds.expire_holds(shop.database, shop.offers)
            query = "SELECT count(*) FROM holds WHERE id = ANY(:ids) AND state = 'ACTIVE'"
            [[live]] = await shop.execute(query, ids=hold_ids)
            return bool(live == 0)

        await eventually(are_gone)

    def _some_hold(self, chance: Random) -> Hold:
        """Mostly one of which something may become, and that somebody waits for."""
        out, lines = [hold for hold in self.model.holds if hold.out], self._lines()
        wanted = [hold for hold in out if any(wish.kind in lines for wish in hold.wishes)]
        return chance.choice([*self.model.holds, *out, *wanted, *wanted, *wanted])

    def join_the_line(self, chance: Random) -> None:
        sold_out = [kind for kind in KINDS if not self.model.left(kind)]
        kind = chance.choice(chance.choice((sold_out or KINDS, KINDS)))
        wanted = quantity(chance)
        call = join(self.shop, self.event, wanted, number=kind)
        found, entry = self.world.run(answer(call))
        assert found == self.model.join(kind, wanted, entry.id if entry else "")

    def leave_the_line(self, chance: Random) -> None:
        entry = chance.choice(self.model.line)
        found = self.world.run(outcome(leave(self.shop, entry.id)))
        assert found == self.model.leave(entry)

    def _lines(self) -> set[int]:
        """The ticket types that somebody waits for."""
        return {entry.kind for entry in self.model.line if entry.state == "WAITING"}

    # What admins do.

    def change_the_stock(self, chance: Random) -> None:
        kind, total = chance.choice(KINDS), chance.randint(0, 5)
        shop = self.shop
        change = patch(
            event_service_pb2.UpdateTicketTypeRequest,
            event_id=self.event.id,
            ticket_type_id=self.event.ticket_types[kind].id,
            total_stock=total,
        )
        call = shop.public.events.UpdateTicketType(change, metadata=self.world.organizer.admin)
        assert self.world.run(outcome(call)) == self.model.set_total(kind, total)

    def limit(self, chance: Random) -> None:
        """Make, change or lift a quota."""
        size, kinds = chance.randint(0, 8), some(chance, KINDS, len(KINDS))
        quota = chance.choice([None, *self.model.quotas])
        if quota is None:
            self._limit(size, kinds)
            return
        shop, organizer = self.shop, self.world.organizer
        of_event = quota_pb2.Quota(id=quota.id, event_id=self.event.id)
        if chance.random() < 0.5:
            self.world.run(shop.lift_quota(organizer, of_event))
            self.model.quotas.remove(quota)
            return
        ids = [self.event.ticket_types[kind].id for kind in kinds]
        call = shop.change_quota(organizer, of_event, size=size, ticket_type_ids=ids)
        assert self.world.run(outcome(call)) == self.model.change_quota(quota, size, kinds)

    def _limit(self, size: int, kinds: set[int]) -> None:
        types = [self.event.ticket_types[kind] for kind in kinds]
        call = self.shop.add_quota(self.world.organizer, size, *types)
        found, quota = self.world.run(answer(call))
        assert found == self.model.add_quota(size, kinds, quota.id if quota else "")

    def block_or_unblock(self, chance: Random) -> None:
        blocks, seats = chance.random() < 0.5, some(chance, SEATS, 2)
        change = self.shop.block if blocks else self.shop.unblock
        call = change(self.world.organizer, self.event.id, *(self.seat_ids[seat] for seat in seats))
        expected = self.model.block(seats) if blocks else self.model.unblock(seats)
        assert self.world.run(outcome(call)) == expected

    # What everybody sees.

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        looking = look(self.shop, self.shop, self.world.organizer, self.event.id, self.seat_ids)
        seen = self.world.run(looking)
        self.model.serve(seen.offers)
        model = self.model
        assert seen.stock == [(model.total(kind), model.left(kind)) for kind in KINDS]
        assert seen.quotas == {
            quota.id: (quota.size, quota.size - model.out(*quota.kinds)) for quota in model.quotas
        }
        assert seen.seats == [model.letters, model.letters]
        assert seen.holds == {hold.id: hold.state for hold in model.holds}
        assert seen.tickets == {
            (hold.id, number): states
            for hold in model.holds
            for number, states in hold.tickets.items()
        }
        assert seen.line == {entry.id: entry.state for entry in model.line}


async def answer(call: Awaitable[Result]) -> tuple[str, Result | None]:
    """`OK` and what a call answers, or the reason for which it was refused."""
    try:
        return "OK", await call
    except RemoteError as error:
        return error.reason, None


async def test_two_replicas_keep_stock_as_a_plain_model_does(
    shop: Shop, organizer: Organizer
) -> None:
    hall = await shop.add_hall(organizer, stalls(*ROWS))
    twin = replace(shop, public=shop.twin, twin=shop.public)
    world = World(asyncio.get_running_loop(), cycle([shop, twin]), organizer, hall.id)

    class Machine(StockMachine):
        def __init__(self) -> None:
            super().__init__(world)

    await asyncio.to_thread(run_state_machine_as_test, Machine, settings=SETTINGS)


SETTINGS = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
