"""A ticket is wanted by several at the same moment: one gets it, and nobody else is let in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from tessera.ticket.v1 import ticket_pb2

from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    outcome,
    wait_for_lock,
)
from tests.integration.ticket_service.test_check_ins import result
from ticket_service.admission import store

ROUNDS = 12

ISSUED = ticket_pb2.TICKET_STATE_ISSUED
CANCELLED = ticket_pb2.TICKET_STATE_CANCELLED
TRANSFERRED = ticket_pb2.TICKET_STATE_TRANSFERRED


async def seated(shop: Shop, organizer: Organizer) -> list[ticket_pb2.Ticket]:
    """Tickets of an order, each with a seat."""
    theatre = await shop.theatre(organizer, "A" * ROUNDS)
    return await shop.issue((await shop.hold(theatre, ROUNDS)).id)


async def became(shop: Shop, ticket: ticket_pb2.Ticket) -> list[ticket_pb2.Ticket]:
    """A ticket, and what took its place."""
    found = await shop.tickets(ticket.order_id)
    return [each for each in found if each.number == ticket.number]


async def door(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> str:
    """What somebody is told who shows a ticket."""
    return result(await shop.scan(organizer.staff, ticket.code))


# As it happens.


async def test_a_ticket_is_given_to_one_of_five(shop: Shop, organizer: Organizer) -> None:
    for ticket in await seated(shop, organizer):
        outcomes = await asyncio.gather(
            *(outcome(shop.transfer(ticket, name)) for name in ("Ada", "Bob", "Cy", "Dee", "Eve"))
        )
        assert Counter(outcomes) == {"OK": 1, "TICKET_NOT_VALID": 4}
        assert [each.state for each in await became(shop, ticket)] == [TRANSFERRED, ISSUED]


async def test_the_same_transfer_five_times_at_once_is_one(
    shop: Shop, organizer: Organizer
) -> None:
    for ticket in await seated(shop, organizer):
        answers = await asyncio.gather(*(shop.transfer(ticket) for _ in range(5)))
        assert answers == [answers[0]] * 5
        assert len(await became(shop, ticket)) == 2


async def test_who_gives_a_ticket_away_at_the_door_does_not_get_in_as_well(
    shop: Shop, organizer: Organizer
) -> None:
    for ticket in await seated(shop, organizer):
        shown, given, again = await asyncio.gather(
            door(shop, organizer, ticket),
            outcome(shop.transfer(ticket)),
            door(shop, organizer, ticket),
        )
        *_, last = await became(shop, ticket)
        if given == "OK":
            assert (shown, again) == ("TICKET_TRANSFERRED", "TICKET_TRANSFERRED")
            assert await door(shop, organizer, last) == "ACCEPTED"
        else:
            assert given == "TICKET_ADMITTED"
            assert {shown, again} == {"ACCEPTED", "ALREADY_ADMITTED"}
            assert last.id == ticket.id


async def test_a_ticket_that_is_given_on_and_taken_back_is_nobodys(
    shop: Shop, organizer: Organizer
) -> None:
    tickets = await seated(shop, organizer)
    for ticket in tickets:
        await asyncio.gather(
            outcome(shop.transfer(ticket)),
            shop.take_back(ticket.order_id, numbers=[ticket.number]),
            outcome(shop.transfer(ticket, "Mary")),
        )
        *_, last = await became(shop, ticket)
        assert last.state == CANCELLED
    assert await shop.remaining(tickets[0].event_id) == [ROUNDS]


async def test_whatever_happens_at_once_a_ticket_lets_in_one(
    shop: Shop, organizer: Organizer
) -> None:
    for ticket in await seated(shop, organizer):
        assert (await all_at_once(shop, organizer, ticket)).count("ACCEPTED") <= 1
        *_, last = await became(shop, ticket)
        assert last.state == CANCELLED


async def all_at_once(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> list[str]:
    """Do everything with a ticket; answers what the door said to all who came."""
    seen: list[str] = []

    async def give(name: str) -> None:
        if await outcome(shop.transfer(ticket, name)) == "OK":
            await show()

    async def show() -> None:
        seen.extend([await door(shop, organizer, each) for each in await became(shop, ticket)])

    await asyncio.gather(
        show(),
        give("Ada"),
        show(),
        shop.take_back(ticket.order_id, numbers=[ticket.number]),
        give("Bob"),
        shop.block_tickets(ticket.order_id, is_blocked=ticket.number % 2 == 0),
    )
    await show()
    return seen


# Who waits for whom: each of these fails without the lock that it is about.


@asynccontextmanager
async def being_given_on(
    shop: Shop, ticket: ticket_pb2.Ticket
) -> AsyncIterator["asyncio.Task[str]"]:
    """While the block runs, a transfer waits to issue the successor; then it goes on."""
    in_its_place = """
        INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id,
                             ticket_type_name, hold_id, order_id, number, transfers, holder_name)
        SELECT id || 'x', code || 'x', 'CANCELLED', event_id, organizer_id, ticket_type_id,
               ticket_type_name, hold_id, order_id, number, 1, ''
        FROM tickets WHERE id = :id
    """
    async with shop.database.begin() as tx:
        rehearsal = await tx.begin_nested()
        await tx.execute(text(in_its_place), {"id": ticket.id})
        giving = asyncio.create_task(outcome(shop.transfer(ticket)))
        await wait_for_lock(shop, giving)
        yield giving
        await rehearsal.rollback()


async def until_two_wait(shop: Shop) -> None:
    """Until another call waits, besides the transfer."""

    async def wait() -> bool:
        [[count]] = await shop.execute(
            """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'
            """
        )
        return bool(count >= 2)

    await eventually(wait)


async def take_back(shop: Shop, ticket: ticket_pb2.Ticket) -> str:
    return await outcome(shop.take_back(ticket.order_id, numbers=[1]))


async def block(shop: Shop, ticket: ticket_pb2.Ticket) -> str:
    return await outcome(shop.block_tickets(ticket.order_id, is_blocked=True))


async def rename(shop: Shop, ticket: ticket_pb2.Ticket) -> str:
    return await outcome(shop.rename(ticket, "Ada King"))


async def give(shop: Shop, ticket: ticket_pb2.Ticket) -> str:
    return await outcome(shop.transfer(ticket, "Mary"))


@pytest.mark.parametrize(
    ("happens", "answer", "state", "is_blocked"),
    [
        (take_back, "OK", CANCELLED, False),
        (block, "OK", ISSUED, True),
        (rename, "TICKET_NOT_VALID", ISSUED, False),
        (give, "TICKET_NOT_VALID", ISSUED, False),
    ],
)
async def test_who_comes_while_a_ticket_is_given_on_finds_its_successor(
    shop: Shop,
    organizer: Organizer,
    happens: Callable[[Shop, ticket_pb2.Ticket], Awaitable[str]],
    answer: str,
    state: int,
    *,
    is_blocked: bool,
) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    async with being_given_on(shop, ticket) as giving:
        coming = asyncio.ensure_future(happens(shop, ticket))
        await until_two_wait(shop)
    assert (await giving, await coming) == ("OK", answer)
    first, successor = await became(shop, ticket)
    assert (first.state, successor.state) == (TRANSFERRED, state)
    assert (first.is_blocked, successor.is_blocked) == (False, is_blocked)
    assert successor.holder_name == "Grace Guest"


async def test_the_door_does_not_accept_what_is_being_given_on(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    async with being_given_on(shop, ticket) as giving:
        scan = asyncio.create_task(door(shop, organizer, ticket))
        await until_two_wait(shop)
    assert (await giving, await scan) == ("OK", "TICKET_TRANSFERRED")


async def test_what_the_door_is_accepting_is_not_given_on(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    async with shop.database.begin() as tx:
        shown = await store.lock_shown(tx, organizer.id, ticket.code)
        assert shown
        await store.insert_check_in(tx, f"chk_{ticket.id}", shown, "usr", None)
        giving = asyncio.create_task(outcome(shop.transfer(ticket)))
        await wait_for_lock(shop, giving)
    assert await giving == "TICKET_ADMITTED"
    assert [each.state for each in await became(shop, ticket)] == [ISSUED]


async def test_what_is_being_taken_back_is_not_given_on(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    async with shop.database.begin() as tx:
        await tx.execute(
            text("UPDATE ticket_types SET version = version WHERE id = :id"),
            {"id": ticket.ticket_type_id},
        )
        taking = asyncio.create_task(take_back(shop, ticket))
        await wait_for_lock(shop, taking)
        giving = asyncio.create_task(outcome(shop.transfer(ticket)))
        await until_two_wait(shop)
    assert (await taking, await giving) == ("OK", "TICKET_NOT_VALID")
    assert [each.state for each in await became(shop, ticket)] == [CANCELLED]


async def test_what_the_door_is_accepting_is_spared(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    async with shop.database.begin() as tx:
        shown = await store.lock_shown(tx, organizer.id, ticket.code)
        assert shown
        await store.insert_check_in(tx, f"chk_{ticket.id}", shown, "usr", None)
        taking = asyncio.create_task(shop.take_back(ticket.order_id, spare_admitted=True))
        await wait_for_lock(shop, taking)
    [spared] = await taking
    assert spared.state == ISSUED


async def test_the_door_does_not_accept_what_is_being_taken_back(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    stock = text("UPDATE ticket_types SET version = version WHERE id = :id")
    async with shop.database.begin() as tx:
        await tx.execute(stock, {"id": ticket.ticket_type_id})
        taking = asyncio.create_task(shop.take_back(ticket.order_id, spare_admitted=True))
        await wait_for_lock(shop, taking)
        scan = asyncio.create_task(door(shop, organizer, ticket))
        await until_two_wait(shop)
    [cancelled] = await taking
    assert (cancelled.state, await scan) == (CANCELLED, "TICKET_CANCELLED")
