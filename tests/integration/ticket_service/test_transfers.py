"""A ticket's name is corrected, it is given to somebody else, and it is kept out while disputed."""

from typing import Any

import pytest
from google.protobuf import json_format
from tessera.ticket.v1 import messages_pb2, ticket_pb2, ticket_service_pb2

from tests.integration.ticket_service.support import Organizer, Shop, refused
from tests.integration.ticket_service.test_check_ins import result
from ticket_service.admission.domain import MAX_TRANSFERS

ISSUED = ticket_pb2.TICKET_STATE_ISSUED
CANCELLED = ticket_pb2.TICKET_STATE_CANCELLED
TRANSFERRED = ticket_pb2.TICKET_STATE_TRANSFERRED


async def sold(shop: Shop, organizer: Organizer, quantity: int = 1) -> list[ticket_pb2.Ticket]:
    return await shop.issue((await shop.hold(await shop.on_sale(organizer), quantity)).id)


async def door(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> str:
    """What somebody is told who shows a ticket."""
    return result(await shop.scan(organizer.staff, ticket.code))


async def announced(shop: Shop, order_id: str) -> list[Any]:
    """What was said of tickets of an order that were given on."""
    query = """
        SELECT convert_from(body, 'UTF8') FROM outbox
        WHERE routing_key = 'ticket.transferred' ORDER BY id
    """
    bodies = [body for (body,) in await shop.execute(query)]
    told = [json_format.Parse(body, messages_pb2.TicketTransferred()) for body in bodies]
    return [each for each in told if each.order_id == order_id]


async def withdrawn(shop: Shop, order_id: str) -> list[str]:
    """Which tickets of an order somebody was told to have no more."""
    query = """
        SELECT convert_from(body, 'UTF8') FROM outbox
        WHERE routing_key = 'ticket.withdrawn' ORDER BY id
    """
    bodies = [body for (body,) in await shop.execute(query)]
    told = [json_format.Parse(body, messages_pb2.TicketWithdrawn()) for body in bodies]
    return [each.ticket_id for each in told if each.order_id == order_id]


# Names.


async def test_a_name_is_corrected_and_all_else_stays(shop: Shop, organizer: Organizer) -> None:
    first, second = await sold(shop, organizer, 2)
    renamed = await shop.rename(first, "Ada King")
    assert renamed.holder_name == "Ada King"
    first.holder_name = "Ada King"
    assert await shop.tickets(first.order_id) == [first, second]
    assert await shop.rename(first, "Ada King") == renamed == first
    assert await door(shop, organizer, first) == "ACCEPTED"


# To somebody else.


async def test_a_ticket_is_given_to_somebody_else_who_gets_one_of_their_own(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    mine, other = await shop.issue((await shop.hold(theatre, 2)).id)
    theirs = await shop.transfer(mine, "Grace Hopper", "grace@example.org")
    assert theirs.state == ISSUED
    assert (theirs.holder_name, theirs.holder_email) == ("Grace Hopper", "grace@example.org")
    assert theirs.id.startswith("tkt_")
    assert len({theirs.id, mine.id, theirs.code, mine.code}) == 4
    assert (theirs.number, theirs.seat, theirs.order_id) == (1, mine.seat, mine.order_id)
    assert theirs.issued_at.ToNanoseconds() > mine.issued_at.ToNanoseconds()
    mine.state = TRANSFERRED
    assert await shop.tickets(mine.order_id) == [mine, theirs, other]
    assert (await shop.seat_states(theatre.id)).states == "SS"
    assert await door(shop, organizer, mine) == "TICKET_TRANSFERRED"
    assert await door(shop, organizer, theirs) == "ACCEPTED"


async def test_whoever_gets_a_ticket_is_told_once(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await sold(shop, organizer)
    theirs = await shop.transfer(ticket, "Grace Hopper", "grace@example.org")
    assert await shop.transfer(ticket, "Grace Hopper", "grace@example.org") == theirs
    assert await announced(shop, ticket.order_id) == [
        messages_pb2.TicketTransferred(
            ticket_id=theirs.id,
            order_id=ticket.order_id,
            event_id=ticket.event_id,
            organizer_id=organizer.id,
        )
    ]


async def test_the_same_again_answers_the_same_successor_whatever_became_of_it(
    shop: Shop, organizer: Organizer
) -> None:
    [first] = await sold(shop, organizer)
    second = await shop.transfer(first, "Grace", "grace@example.org")
    third = await shop.transfer(second, "Mary", "mary@example.org", by_organizer=True)
    second.state = TRANSFERRED
    assert await shop.transfer(first, "Grace", "grace@example.org") == second
    await shop.take_back(first.order_id)
    third.state = CANCELLED
    assert await shop.transfer(second, "Mary", "mary@example.org", by_organizer=True) == third


async def test_a_ticket_that_was_given_on_is_not_given_to_another(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await sold(shop, organizer)
    await shop.transfer(ticket, "Grace", "grace@example.org")
    for name, email in (("Grace", "mary@example.org"), ("Mary", "grace@example.org")):
        with refused("TICKET_NOT_VALID"):
            await shop.transfer(ticket, name, email)
    assert len(await shop.tickets(ticket.order_id)) == 2


async def test_who_gave_a_ticket_away_cannot_take_it_back_from_who_has_it(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await sold(shop, organizer)
    theirs = await shop.transfer(ticket, "Bob", "bob@example.org")
    for name, email in (("Grace", "grace@example.org"), ("Bob", "bob@example.org")):
        with refused("TICKET_GIVEN_AWAY"):
            await shop.transfer(theirs, name, email)
    with refused("TICKET_GIVEN_AWAY"):
        await shop.rename(theirs, "Grace")
    assert await shop.transfer(ticket, "Bob", "bob@example.org") == theirs
    assert [each.holder_name for each in await shop.tickets(ticket.order_id)] == [
        ticket.holder_name,
        "Bob",
    ]
    assert await door(shop, organizer, theirs) == "ACCEPTED"


async def test_the_organizer_corrects_what_was_given_to_a_wrong_name_or_address(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await sold(shop, organizer)
    wrong = await shop.transfer(ticket, "Bob", "bbo@example.org")
    renamed = await shop.rename(wrong, "Bob Brown", by_organizer=True)
    assert (renamed.id, renamed.holder_name) == (wrong.id, "Bob Brown")
    right = await shop.transfer(wrong, "Bob Brown", "bob@example.org", by_organizer=True)
    assert (right.number, right.holder_email) == (1, "bob@example.org")
    with refused("TICKET_GIVEN_AWAY"):
        await shop.rename(right, "Grace")
    assert await door(shop, organizer, wrong) == "TICKET_TRANSFERRED"
    assert await door(shop, organizer, right) == "ACCEPTED"


async def test_who_was_given_a_ticket_is_told_once_when_it_is_taken_back(
    shop: Shop, organizer: Organizer
) -> None:
    mine, other = await sold(shop, organizer, 2)
    theirs = await shop.transfer(mine, "Bob", "bob@example.org")
    await shop.take_back(mine.order_id, numbers=[other.number])
    assert await withdrawn(shop, mine.order_id) == []
    for _ in range(2):
        await shop.take_back(mine.order_id)
    assert await withdrawn(shop, mine.order_id) == [theirs.id]


async def test_who_was_given_a_ticket_is_told_when_the_organizer_gives_it_to_another(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await sold(shop, organizer)
    wrong = await shop.transfer(ticket, "Bob", "bbo@example.org")
    assert await withdrawn(shop, ticket.order_id) == []
    for _ in range(2):
        right = await shop.transfer(wrong, "Bob", "bob@example.org", by_organizer=True)
    await shop.transfer(right, "Bob Brown", "bob@example.org", by_organizer=True)
    assert await withdrawn(shop, ticket.order_id) == [wrong.id]


async def test_an_order_that_is_issued_again_gets_all_that_its_tickets_became(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published, 2)
    [first, _] = await shop.issue(held.id, "ord_given_on")
    theirs = await shop.transfer(first)
    again = await shop.issue(held.id, "ord_given_on")
    assert [(ticket.number, ticket.state) for ticket in again] == [
        (1, TRANSFERRED),
        (1, ISSUED),
        (2, ISSUED),
    ]
    assert again[1] == theirs
    assert await shop.remaining(published.id) == [8]


async def test_a_number_is_taken_back_from_whoever_has_it_now(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    [mine, other] = await shop.issue((await shop.hold(theatre, 2)).id)
    theirs = await shop.transfer(mine)
    found = await shop.take_back(mine.order_id, numbers=[1])
    assert [ticket.state for ticket in found] == [TRANSFERRED, CANCELLED, ISSUED]
    assert await shop.remaining(theatre.id) == [1]
    assert await door(shop, organizer, theirs) == "TICKET_CANCELLED"
    assert await door(shop, organizer, mine) == "TICKET_TRANSFERRED"
    assert await door(shop, organizer, other) == "ACCEPTED"
    with refused("TICKET_NOT_VALID"):
        await shop.transfer(theirs, "Mary", "mary@example.org")


async def test_the_organizer_gives_a_ticket_on_so_many_times_and_no_more(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await sold(shop, organizer)
    for number in range(MAX_TRANSFERS):
        ticket = await shop.transfer(ticket, f"Guest {number}", by_organizer=True)
    with refused("TICKET_NOT_VALID"):
        await shop.transfer(ticket, "Guest", by_organizer=True)
    found = await shop.tickets(ticket.order_id)
    assert [each.holder_name for each in found[1:]] == [
        f"Guest {number}" for number in range(MAX_TRANSFERS)
    ]


async def test_admissions_count_a_ticket_once_whoever_has_it(
    shop: Shop, organizer: Organizer
) -> None:
    mine, other = await sold(shop, organizer, 2)
    theirs = await shop.transfer(mine)
    for ticket in (mine, theirs, other):
        await door(shop, organizer, ticket)
    request = ticket_service_pb2.GetEventStatisticsRequest(event_id=mine.event_id)
    found = await shop.internal.tickets.GetEventStatistics(request)
    assert [kind.admitted for kind in found.ticket_types] == [2]
    assert [day.admitted for day in found.days] == [2]


# Kept out.


async def test_blocked_tickets_are_kept_out_until_they_are_not(
    shop: Shop, organizer: Organizer
) -> None:
    first, second = await sold(shop, organizer, 2)
    for _ in range(2):
        blocked = await shop.block_tickets(first.order_id, is_blocked=True)
        assert [ticket.is_blocked for ticket in blocked] == [True, True]
    assert await door(shop, organizer, first) == "TICKET_BLOCKED"
    for _ in range(2):
        freed = await shop.block_tickets(first.order_id, is_blocked=False)
        assert freed == [first, second]
    assert await door(shop, organizer, first) == "ACCEPTED"


async def test_who_has_a_ticket_of_the_order_now_is_kept_out(
    shop: Shop, organizer: Organizer
) -> None:
    mine, gone = await sold(shop, organizer, 2)
    theirs = await shop.transfer(mine)
    await shop.take_back(mine.order_id, numbers=[2])
    found = await shop.block_tickets(mine.order_id, is_blocked=True)
    assert [ticket.is_blocked for ticket in found] == [False, True, False]
    assert await door(shop, organizer, mine) == "TICKET_TRANSFERRED"
    assert await door(shop, organizer, theirs) == "TICKET_BLOCKED"
    assert await door(shop, organizer, gone) == "TICKET_CANCELLED"


async def test_blocked_tickets_are_taken_back_like_others(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await sold(shop, organizer)
    await shop.block_tickets(ticket.order_id, is_blocked=True)
    await shop.take_back(ticket.order_id)
    assert await shop.remaining(ticket.event_id) == [10]
    assert await door(shop, organizer, ticket) == "TICKET_CANCELLED"


async def test_an_order_without_tickets_has_none_to_block(shop: Shop) -> None:
    assert await shop.block_tickets("ord_none", is_blocked=True) == []


# What is refused.


async def take_back(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> None:
    await shop.take_back(ticket.order_id)


async def give(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> None:
    await shop.transfer(ticket, "Mary", "mary@example.org")


async def block(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> None:
    await shop.block_tickets(ticket.order_id, is_blocked=True)


async def call_off(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> None:
    await shop.cancel(organizer, ticket.event_id)


async def let_in(shop: Shop, organizer: Organizer, ticket: ticket_pb2.Ticket) -> None:
    assert await door(shop, organizer, ticket) == "ACCEPTED"


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (take_back, "TICKET_NOT_VALID"),
        (give, "TICKET_NOT_VALID"),
        (block, "TICKET_NOT_VALID"),
        (call_off, "TICKET_NOT_VALID"),
        (let_in, "TICKET_ADMITTED"),
    ],
)
async def test_only_a_ticket_that_somebody_would_be_let_in_with_changes(
    shop: Shop, organizer: Organizer, happens: Any, reason: str
) -> None:
    [ticket] = await sold(shop, organizer)
    await happens(shop, organizer, ticket)
    before = await shop.tickets(ticket.order_id)
    with refused(reason):
        await shop.rename(ticket, "Ada King")
    with refused(reason):
        await shop.transfer(ticket)
    assert await shop.tickets(ticket.order_id) == before


async def test_another_orders_ticket_is_not_found(shop: Shop, organizer: Organizer) -> None:
    [mine], [theirs] = await sold(shop, organizer), await sold(shop, organizer)
    strange = ticket_pb2.Ticket(id=theirs.id, order_id=mine.order_id)
    with refused("TICKET_NOT_FOUND"):
        await shop.rename(strange, "Ada King")
    with refused("TICKET_NOT_FOUND"):
        await shop.transfer(strange)


async def test_a_name_and_an_address_are_asked_for(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await sold(shop, organizer)
    for name in ("", "  ", "x" * 201):
        with refused("INVALID_REQUEST", field="holder_name"):
            await shop.rename(ticket, name)
    for email in ("", "grace", "grace@"):
        with refused("INVALID_REQUEST", field="holder_email"):
            await shop.transfer(ticket, email=email)


async def test_only_payment_service_changes_tickets(shop: Shop, organizer: Organizer) -> None:
    [ticket] = await sold(shop, organizer)
    tickets = shop.public.tickets
    calls = (
        tickets.RenameTicket(ticket_service_pb2.RenameTicketRequest(ticket_id=ticket.id)),
        tickets.TransferTicket(ticket_service_pb2.TransferTicketRequest(ticket_id=ticket.id)),
        tickets.BlockTickets(ticket_service_pb2.BlockTicketsRequest(order_id=ticket.order_id)),
        tickets.CancelTickets(ticket_service_pb2.CancelTicketsRequest(order_id=ticket.order_id)),
    )
    for call in calls:
        with refused("SERVICE_NOT_ALLOWED"):
            await call
