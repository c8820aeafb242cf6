"""Issuing tickets, taking them back, giving them on, and letting people in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from tessera.ticket.v1 import messages_pb2

from kit import clock, outbox
from kit.database import Database, Transaction
from kit.errors import TesseraError
from kit.idempotency import Once
from kit.ids import new_code, new_id
from ticket_service.admission import domain, store
from ticket_service.admission.domain import CheckIn, Order, Statistics, Ticket, TicketState
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import Event, EventNotFound, EventState
from ticket_service.holds import domain as hold_domain
from ticket_service.holds import placement
from ticket_service.holds import store as hold_store
from ticket_service.holds.domain import Hold, HoldConverted, HoldState
from ticket_service.seating.seatings import Seatings
from ticket_service.stock import store as stock_store
from ticket_service.waitlist.domain import WaitlistState
from ticket_service.waitlist.offers import Offers

CODE_LENGTH = 20  # of 29 letters: 97 bits, beyond guessing


async def issue_tickets(
    database: Database, seatings: Seatings, offers: Offers, orders: Sequence[Order]
) -> list[list[Ticket] | Exception]:
    """Convert holds into the tickets of orders; the same order again gets the same tickets.

    That may be cancelled ones or none, after `cancel_tickets`. The stock of a hold that expired or
    was released is taken again, if it is there. What an order is refused with stands in its place:

        HoldNotFound: no hold has this id.
        HoldConverted: it became another order's tickets.
        EventNotOnSale: the event was called off, or is over and the hold is gone.
        SoldOut, SeatTaken: the hold is gone and so is its stock.
    """
    refusals: dict[int, Exception] = {}
    converted: dict[str, Order] = {}  # by hold id
    async with database.begin() as tx:
        events, holds = await _lock_holds(tx, [order.hold_id for order in orders])
        for number, order in enumerate(orders):
            hold = holds.get(order.hold_id)
            first = converted.get(order.hold_id, order)
            try:
                if first.order_id != order.order_id:
                    raise HoldConverted
                if domain.may_have(order, hold, events.get(order.hold_id), clock.now()):
                    converted[order.hold_id] = order
            except TesseraError as refusal:
                refusals[number] = refusal
        refused = await _convert(tx, seatings, offers, converted, holds, events)
        issued = await store.list_tickets(tx, {order.order_id for order in orders})
    return [
        refusals.get(number) or refused.get(order.hold_id) or issued.get(order.order_id, [])
        for number, order in enumerate(orders)
    ]


async def cancel_tickets(
    database: Database,
    seatings: Seatings,
    offers: Offers,
    order_id: str,
    hold_id: str,
    numbers: Collection[int] = (),
    *,
    keep_off_sale: bool = False,
    spare_admitted: bool = False,
) -> list[Ticket]:
    """Take an order's tickets back, or those with some numbers. Twice is the same as once.

    Those that were used to enter may be spared. The tickets are locked, so that no door accepts
    one meanwhile.

    Their stock returns, unless it is to be kept off sale. Without numbers, a hold that has no
    tickets yet is given up in the order's name: an issue that is still on its way finds it there,
    and issues nothing. Its stock returns in any case, since it was never sold.
    """
    async with database.begin() as tx:
        given_up = [] if numbers else await _give_up(tx, order_id, hold_id)
        await hold_store.lock_order(tx, order_id)
        tickets = await store.lock_tickets(tx, order_id)
        cancelled = domain.cancellable(tickets, numbers, spare_admitted=spare_admitted)
        await store.move(tx, [ticket.id for ticket in cancelled], TicketState.CANCELLED)
        returned = domain.freed(given_up, [] if keep_off_sale else cancelled)
        await offers.put_back(tx, returned)
        if keep_off_sale:
            note = f"Kept off sale when tickets of order {order_id} were cancelled."
            await placement.withdraw(tx, seatings, domain.freed([], cancelled), note)
        await offers.settle(tx, [hold.id for hold in given_up], WaitlistState.CANCELLED)
        await outbox.add_all(tx, [_withdrawal(each) for each in cancelled if each.holder_email])
        return (await store.list_tickets(tx, [order_id])).get(order_id, [])


async def block_tickets(database: Database, order_id: str, *, is_blocked: bool) -> list[Ticket]:
    """Keep an order's tickets out, or let them in again. Twice is the same as once."""
    async with database.begin() as tx:
        await hold_store.lock_order(tx, order_id)
        await store.block(tx, order_id, is_blocked=is_blocked)
        return (await store.list_tickets(tx, [order_id])).get(order_id, [])


async def rename_ticket(
    database: Database, order_id: str, ticket_id: str, holder_name: str, *, by_organizer: bool
) -> Ticket:
    """Correct the name on a ticket that somebody would be let in with.

    Raises:
        TicketNotFound, TicketNotValid, TicketAdmitted: nobody would.
        TicketGivenAway: it is for the organizer to do.
    """
    async with database.begin() as tx:
        found = await store.lock_ticket(tx, order_id, ticket_id)
        is_called_off = await _is_called_off(tx, found)
        ticket = domain.changeable(
            found, event_is_cancelled=is_called_off, by_organizer=by_organizer
        )
        await store.rename(tx, ticket.id, holder_name)
    return replace(ticket, holder_name=holder_name)


async def transfer_ticket(
    database: Database,
    order_id: str,
    ticket_id: str,
    holder_name: str,
    holder_email: str,
    *,
    by_organizer: bool,
) -> Ticket:
    """Give a ticket to somebody else, who is mailed its successor. Twice is the same as once.

    The order's hold is locked, so that who cancels or blocks the order's tickets finds all of
    them; and the ticket, so that no door accepts it meanwhile.

    Raises:
        TicketNotFound, TicketNotValid, TicketAdmitted: nobody would be let in with it; or it was
            given to another.
        TicketGivenAway: it is the successor of one that was, and for the organizer to give on.
    """
    async with database.begin() as tx:
        await hold_store.lock_order(tx, order_id)
        found = await store.lock_ticket(tx, order_id, ticket_id)
        if found and found.state is TicketState.TRANSFERRED:
            earlier = await store.get_successor(tx, found)
            if (earlier.holder_name, earlier.holder_email) == (holder_name, holder_email):
                return earlier
        is_called_off = await _is_called_off(tx, found)
        ticket = domain.changeable(
            found, event_is_cancelled=is_called_off, by_organizer=by_organizer
        )
        successor = domain.succeed(
            ticket, new_id("tkt"), new_code(CODE_LENGTH), holder_name, holder_email
        )
        await store.move(tx, [ticket.id], TicketState.TRANSFERRED)
        successor = await store.insert_successor(tx, successor)
        if ticket.holder_email not in ("", holder_email):
            await outbox.add(tx, _withdrawal(ticket))
        await outbox.add(tx, _announcement(successor))
    return successor


async def list_tickets(database: Database, order_id: str) -> list[Ticket]:
    """An order's tickets by number, each followed by those that took its place."""
    async with database.read() as tx:
        return (await store.list_tickets(tx, [order_id])).get(order_id, [])


async def check_in(
    database: Database,
    organizer_id: str,
    user_id: str,
    ticket_code: str,
    event_id: str,
    once: Once[CheckIn],
) -> CheckIn:
    """Show a ticket at the door: accepted once, and every scan of a known ticket is noted."""
    async with database.begin() as tx:
        await once.claim(tx)
        ticket = await store.lock_shown(tx, organizer_id, ticket_code.strip().upper())
        is_cancelled = await _is_called_off(tx, ticket)
        rejection = domain.judge(ticket, event_id=event_id, event_is_cancelled=is_cancelled)
        if ticket is None:
            return await once.record(tx, CheckIn(rejection, None, clock.now()))
        at = await store.insert_check_in(tx, new_id("chk"), ticket, user_id, rejection)
        if rejection is None:
            ticket = replace(ticket, admitted_at=at)
        return await once.record(tx, CheckIn(rejection, ticket, at))


async def statistics(database: Database, event_id: str) -> Statistics:
    """Stock and admissions of one event."""
    async with database.begin() as tx:
        event = await catalog_store.get_event(tx, event_id)
        if event is None:
            raise EventNotFound
        return Statistics(
            organizer_id=event.organizer_id,
            currency_code=event.currency_code,
            time_zone=event.time_zone,
            ticket_types=await store.count_by_ticket_type(tx, event_id),
            days=await store.count_by_day(tx, event_id, event.time_zone),
            holds=await store.count_holds(tx, event_id),
        )


async def _is_called_off(tx: Transaction, ticket: Ticket | None) -> bool:
    event = await catalog_store.get_event(tx, ticket.event_id) if ticket else None
    return event is not None and event.state is EventState.CANCELLED


async def _give_up(tx: Transaction, order_id: str, hold_id: str) -> list[Hold]:
    """Give a hold that has no tickets to an order, to be none; answers it if it was live."""
    hold = (await hold_store.lock_holds(tx, [hold_id])).get(hold_id)
    if hold is None or hold.order_id is not None or hold.state is HoldState.CONVERTED:
        return []
    is_live = hold.state is HoldState.ACTIVE
    gone = HoldState.RELEASED if is_live else hold.state
    await hold_store.give_to_orders(tx, {hold_id: order_id}, gone)
    return [hold] if is_live else []


async def _lock_holds(
    tx: Transaction, hold_ids: Sequence[str]
) -> tuple[dict[str, Event], dict[str, Hold]]:
    """Holds, and the events they are for, both by hold id.

    The events are locked first: nobody calls one off while tickets for it are issued.
    """
    found = await hold_store.get_holds(tx, hold_ids)
    event_of = {hold.id: hold.event_id for hold in found.values()}
    events = await catalog_store.share_events(tx, set(event_of.values()))
    holds = await hold_store.lock_holds(tx, hold_ids)
    return {hold_id: events[event_id] for hold_id, event_id in event_of.items()}, holds


async def _convert(
    tx: Transaction,
    seatings: Seatings,
    offers: Offers,
    orders: Mapping[str, Order],
    holds: Mapping[str, Hold],
    events: Mapping[str, Event],
) -> dict[str, TesseraError]:
    """Turn locked holds into tickets; answers which could not be, by hold id."""
    if not orders:
        return {}
    wanted = [holds[hold_id] for hold_id in orders]
    gone = [hold for hold in wanted if hold.state is not HoldState.ACTIVE]
    shelf = await stock_store.lock_shelves(tx, hold_domain.freed(gone).quantities) if gone else None
    seated = {
        event_id: seating
        for event_id in sorted({hold.event_id for hold in wanted if hold.seat_ids})
        if (seating := await seatings.lock(tx, event_id))
    }
    refused: dict[str, TesseraError] = {}
    if shelf is not None:
        refused = hold_domain.take_again(gone, shelf, seated)
        await stock_store.save(tx, shelf)
    converted = [hold for hold in wanted if hold.id not in refused]
    for hold in converted:
        if hold.seat_ids:
            seated[hold.event_id].sell(hold.seat_ids)
    for seating in seated.values():
        await seatings.save(tx, seating)
    if converted:
        of_holds = {hold.id: orders[hold.id].order_id for hold in converted}
        await hold_store.give_to_orders(tx, of_holds, HoldState.CONVERTED)
        await store.insert_tickets(
            tx,
            [row for hold in converted for row in _rows(hold, events[hold.id], orders[hold.id])],
        )
        await offers.settle(tx, of_holds, WaitlistState.CONVERTED)
    return refused


def _rows(hold: Hold, event: Event, order: Order) -> list[dict[str, object]]:
    places = [
        (item, item.seats[number] if item.seats else None)
        for item in hold.items
        for number in range(item.quantity)
    ]
    return [
        {
            "id": new_id("tkt"),
            "code": new_code(CODE_LENGTH),
            "state": TicketState.ISSUED,
            "event_id": event.id,
            "organizer_id": event.organizer_id,
            "ticket_type_id": item.ticket_type_id,
            "ticket_type_name": item.ticket_type_name,
            "hold_id": hold.id,
            "order_id": order.order_id,
            "number": number,
            "holder_name": order.holder_name,
            "seat_id": seat.seat_id if seat else None,
            "seat_section": seat.section if seat else None,
            "seat_row": seat.row if seat else None,
            "seat_number": seat.number if seat else None,
        }
        for number, (item, seat) in enumerate(places, start=1)
    ]


def _announcement(ticket: Ticket) -> messages_pb2.TicketTransferred:
    return messages_pb2.TicketTransferred(
        ticket_id=ticket.id,
        order_id=ticket.order_id,
        event_id=ticket.event_id,
        organizer_id=ticket.organizer_id,
    )


def _withdrawal(ticket: Ticket) -> messages_pb2.TicketWithdrawn:
    return messages_pb2.TicketWithdrawn(
        ticket_id=ticket.id,
        order_id=ticket.order_id,
        event_id=ticket.event_id,
        organizer_id=ticket.organizer_id,
    )
