"""Everyone arrives in the same second: nothing is sold twice, nothing is left unsold."""

import asyncio
from collections import Counter

from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_service_pb2

from kit.rpc_errors import from_proto
from tests.integration.ticket_service.lines import lapse
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    hold,
    issue,
    new_key,
    outcome,
    patch,
    persist,
    refused,
    wait_for_lock,
)
from tests.support.invariants import assert_invariants
from ticket_service.catalog import store as catalog_store
from ticket_service.holds import operations as holds


async def test_the_last_ticket_has_exactly_one_winner_among_500(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})

    async def buy(number: int) -> str:
        api = shop.twin if number % 2 else shop.public
        request = hold(published, 1, idempotency_key=new_key())
        return await persist(api.holds.CreateHold, request)

    outcomes = await asyncio.gather(*(buy(number) for number in range(500)))
    assert Counter(outcomes) == {"OK": 1, "SOLD_OUT": 499}


async def test_buyers_of_several_types_in_any_order_do_not_block_each_other(
    shop: Shop, organizer: Organizer
) -> None:
    there = await shop.on_sale(organizer, {"total_stock": 60}, {"total_stock": 60})
    back = event_pb2.Event(id=there.id, ticket_types=reversed(there.ticket_types))

    async def buy(way: event_pb2.Event) -> None:
        await shop.issue((await shop.hold(way, 1, 1)).id)

    await asyncio.gather(*(buy(way) for way in (there, back) * 30))
    assert await shop.remaining(there.id) == [0, 0]


class BoxOffice:
    """100 tickets: whoever finds none waits for what others let go."""

    def __init__(self, shop: Shop, published: event_pb2.Event) -> None:
        self.shop = shop
        self.published = published
        self.sold = 0
        self.news = asyncio.Condition()

    async def buy(self, number: int) -> bool:
        """Try until there is a ticket, or all are sold.

        A third of the buyers let their first hold expire, and another third pay after that.
        """
        first_time = True
        while self.sold < 100:
            request = hold(self.published, 1, idempotency_key=new_key())
            if await persist(self.shop.hasty.holds.CreateHold, request) == "SOLD_OUT":
                await self._wait()
                continue
            held = await self.shop.hasty.holds.CreateHold(request)
            walks_away, is_late = first_time and number % 3 == 1, first_time and number % 3 == 2
            first_time = False
            if walks_away:
                continue
            if is_late:
                await self._expiry_of(held.id)
            if await persist(self.shop.internal.tickets.IssueTickets, issue(held.id)) == "OK":
                self.sold += 1
                return True
        return False

    async def tell(self) -> None:
        """Let some of those who wait know when there is something to try for."""
        while self.sold < 100:
            [[remaining]] = await self.shop.execute(
                "SELECT remaining FROM ticket_types WHERE event_id = :id", id=self.published.id
            )
            async with self.news:
                self.news.notify(2 * remaining)
            await asyncio.sleep(0.1)
        async with self.news:
            self.news.notify_all()

    async def _wait(self) -> None:
        async with self.news:
            if self.sold < 100:
                await self.news.wait()

    async def _expiry_of(self, hold_id: str) -> None:
        async def expired() -> bool:
            [[state]] = await self.shop.execute(
                "SELECT state FROM holds WHERE id = :id", id=hold_id
            )
            return bool(state != "ACTIVE")

        await eventually(expired)


async def test_200_buyers_get_100_tickets_though_holds_expire(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 100})
    office = BoxOffice(shop, published)
    async with asyncio.timeout(120):
        *bought, _ = await asyncio.gather(*(office.buy(n) for n in range(200)), office.tell())
    assert bought.count(True) == 100
    await assert_invariants(shop.database_url, "ticket")
    assert await shop.remaining(published.id) == [0]
    [[issued]] = await shop.execute(
        "SELECT count(*) FROM tickets WHERE event_id = :id AND state = 'ISSUED'", id=published.id
    )
    assert issued == 100
    with refused("SOLD_OUT"):
        await shop.hold(published)


async def test_sales_end_refunds_and_returns_at_once_keep_the_stock_whole(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 30}, {"total_stock": 30})

    async def customer(number: int) -> None:
        held = await shop.hold(published, 1, 1, hasty=number % 2 == 0)
        if number % 3 == 0:
            await shop.release(held.id)
            return
        [first, *_] = await shop.issue(held.id)
        if number % 3 == 1:
            await shop.take_back(first.order_id)

    await asyncio.gather(*(customer(number) for number in range(30)))
    assert await shop.remaining(published.id) == [20, 20]


async def test_a_hold_that_expires_while_it_is_bought_goes_to_its_buyer_or_to_the_next(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, *[{"total_stock": 1}] * 12)
    kinds = range(12)
    held = [await shop.hold(published, *[0] * kind, 1) for kind in kinds]
    await lapse(shop, *(each.id for each in held))

    async def want(kind: int) -> str:
        request = hold(published, *[0] * kind, 1, idempotency_key=new_key())
        return await persist(shop.twin.holds.CreateHold, request)

    outcomes = await asyncio.gather(
        *(outcome(shop.issue(each.id)) for each in held),
        *(want(kind) for kind in kinds),
        *(expire(shop) for _ in range(2)),
    )
    for kind in kinds:
        assert sorted([outcomes[kind], outcomes[12 + kind]]) == ["OK", "SOLD_OUT"]
    assert await shop.remaining(published.id) == [0] * 12


async def expire(shop: Shop) -> str:
    """What a replica does with holds that are due."""
    await holds.expire_holds(shop.database, shop.offers)
    return "OK"


async def test_of_what_becomes_of_a_hold_at_once_its_sale_is_what_remains(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 60})
    await shop.add_quota(organizer, 60, *published.ticket_types)
    held = await asyncio.gather(*(shop.hold(published, 3) for _ in range(20)))
    await lapse(shop, *(each.id for each in held[::2]))
    released, issued, _ = await asyncio.gather(
        asyncio.gather(*(outcome(shop.release(each.id)) for each in held)),
        asyncio.gather(*(outcome(shop.issue(each.id)) for each in held)),
        asyncio.gather(*(expire(shop) for _ in range(3))),
    )
    assert set(released) <= {"OK", "HOLD_CONVERTED"}
    assert issued == ["OK"] * 20  # who is late takes the stock again, which nobody else wants
    assert await shop.remaining(published.id) == [0]


async def test_stock_shrinks_and_grows_under_sale_and_never_below_what_is_out(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 40})
    [kind] = published.ticket_types

    async def buy(number: int) -> int:
        """How many the buyer has in the end."""
        api, quantity = (shop.twin, 1) if number % 2 else (shop.public, 2)
        request = hold(published, quantity, idempotency_key=new_key())
        if await persist(api.holds.CreateHold, request) != "OK":
            return 0
        held = await api.holds.CreateHold(request)
        if number % 3 == 0:
            await shop.release(held.id)
            return 0
        return quantity

    async def size(total_stock: int) -> str:
        change = patch(
            event_service_pb2.UpdateTicketTypeRequest,
            event_id=published.id,
            ticket_type_id=kind.id,
            total_stock=total_stock,
        )
        return await outcome(shop.public.events.UpdateTicketType(change, metadata=organizer.admin))

    async def administer() -> list[str]:
        return [await size(total_stock) for total_stock in (25, 8, 31, 12, 3, 45, 30, 37)]

    buyers = asyncio.gather(*(buy(number) for number in range(80)))
    administered, bought = await asyncio.gather(administer(), buyers)
    assert set(administered) <= {"OK", "STOCK_BELOW_SOLD"}
    assert administered[-3] == "OK"
    [seen] = (await shop.see(published.id)).ticket_types
    assert seen.total_stock - seen.remaining == sum(bought)


async def test_batches_that_name_types_and_quotas_in_opposite_orders_never_fail(
    shop: Shop, organizer: Organizer
) -> None:
    kinds = [{"name": name, "total_stock": 400} for name in "abc"]
    there = await shop.on_sale(organizer, *kinds)
    back = event_pb2.Event(id=there.id, ticket_types=reversed(there.ticket_types))
    a, b, c = there.ticket_types
    for pair in ((c, a), (b, c), (a, b)):
        await shop.add_quota(organizer, 800, *pair)
    wishes = [
        hold(way, *items) for way in (there, back) for items in ((1, 1), (0, 1, 1), (1, 0, 1))
    ]

    async def batch(number: int) -> list[str]:
        api = shop.twin if number % 2 else shop.public
        requests = wishes[number % 6 :] + wishes[: number % 6]
        together = hold_service_pb2.BatchCreateHoldsRequest(requests=requests)
        answer = await api.holds.BatchCreateHolds(together)
        made = [result.hold.id for result in answer.results if result.HasField("hold")]
        await asyncio.gather(*(shop.release(hold_id) for hold_id in made[::2]))
        return [from_proto(each.error).reason for each in answer.results if each.HasField("error")]

    failures = await asyncio.gather(*(batch(number) for number in range(60)))
    assert [each for each in failures if each] == []
    assert await shop.remaining(there.id) == [280, 280, 280]


async def test_a_batch_whose_caller_has_no_more_time_leaves_no_hold_behind(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    batch = hold_service_pb2.BatchCreateHoldsRequest(requests=[hold(theatre, 2)] * 3)

    async def ask() -> None:
        await shop.public.holds.BatchCreateHolds(batch, timeout=1)

    async with shop.database.begin() as tx:
        await catalog_store.lock_ticket_types(tx, theatre.id)
        asking = asyncio.create_task(outcome(ask()))
        await wait_for_lock(shop, asking)
        assert await asking == "DEADLINE_EXCEEDED"

    async def all_is_back() -> bool:
        states = await shop.execute("SELECT state FROM holds WHERE event_id = :id", id=theatre.id)
        return [row.state for row in states] == ["RELEASED"] * 2

    await eventually(all_is_back)
    assert (await shop.seat_states(theatre.id)).states == "AAAA"
    assert await shop.remaining(theatre.id) == [4]
