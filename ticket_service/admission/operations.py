"""Issuing tickets, taking them back, and letting people in."""

from dataclasses import replace

from kit import clock
from kit.database import Database, Transaction
from kit.idempotency import Once
from kit.ids import new_code, new_id
from ticket_service.admission import domain, store
from ticket_service.admission.domain import CheckIn, Statistics, Ticket, TicketState
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import Event, EventNotFound, EventState
from ticket_service.holds import domain as hold_domain
from ticket_service.holds import store as hold_store
from ticket_service.holds.domain import Hold, HoldState
from ticket_service.holds.operations import check_on_sale

CODE_LENGTH = 20  # of 29 letters: 97 bits, beyond guessing


async def issue_tickets(
    database: Database, hold_id: str, order_id: str, holder_name: str
) -> list[Ticket]:
    """Convert a hold into an order's tickets; the same order again gets the same tickets.

    That may be cancelled ones or none, after `cancel_tickets`.

    The stock of a hold that expired or was released is taken again, if it is there.

    Raises:
        HoldNotFound: no hold has this id.
        HoldConverted: it became another order's tickets.
        EventNotOnSale: the event was called off, or is over and the hold is gone.
        SoldOut: the hold is gone and so is its stock.
    """
    async with database.begin() as tx:
        event, hold = await _lock_hold(tx, hold_id)
        if hold.order_id == order_id:
            return await store.list_tickets(tx, order_id)
        if event.state is EventState.CANCELLED:
            raise hold_domain.EventNotOnSale
        if hold_domain.needs_stock_again(hold):
            check_on_sale(event)
            await _take_again(tx, hold)
        await hold_store.set_state(tx, hold_id, HoldState.CONVERTED, order_id)
        await store.insert_tickets(tx, _rows(hold, event, order_id, holder_name))
        return await store.list_tickets(tx, order_id)


async def cancel_tickets(database: Database, order_id: str, hold_id: str) -> list[Ticket]:
    """Take an order's tickets back and return their stock. Twice is the same as once.

    A hold that has no tickets yet is given up in the order's name: an issue that is still on its
    way finds it there, and issues nothing.
    """
    async with database.begin() as tx:
        hold = await hold_store.get_hold(tx, hold_id, lock=True)
        if hold and hold.order_id is None and hold.state is not HoldState.CONVERTED:
            gone = HoldState.EXPIRED if hold.state is HoldState.EXPIRED else HoldState.RELEASED
            await hold_store.set_state(tx, hold_id, gone, order_id)
            if hold.state is HoldState.ACTIVE:
                await hold_store.return_stock(tx, hold.quantities)
        freed = await store.cancel_tickets(tx, order_id)
        if freed:
            await hold_store.return_stock(tx, freed)
        return await store.list_tickets(tx, order_id)


async def list_tickets(database: Database, order_id: str) -> list[Ticket]:
    """An order's tickets, in the order they were issued."""
    async with database.begin() as tx:
        return await store.list_tickets(tx, order_id)


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
        ticket = await store.lock_ticket(tx, organizer_id, ticket_code.strip().upper())
        event = await catalog_store.get_event(tx, ticket.event_id) if ticket else None
        is_cancelled = event is not None and event.state is EventState.CANCELLED
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
        )


async def _lock_hold(tx: Transaction, hold_id: str) -> tuple[Event, Hold]:
    """The event first: nobody calls it off while tickets for it are issued."""
    hold = await hold_store.get_hold(tx, hold_id)
    event = await catalog_store.share_event(tx, hold.event_id) if hold else None
    hold = await hold_store.get_hold(tx, hold_id, lock=True)
    if event is None or hold is None:
        raise hold_domain.HoldNotFound
    return event, hold


async def _take_again(tx: Transaction, hold: Hold) -> None:
    stock = await hold_store.lock_stock(tx, hold.event_id, list(hold.quantities))
    if any(stock[key].remaining < count for key, count in hold.quantities.items()):
        raise hold_domain.SoldOut
    await hold_store.take_stock(tx, hold.quantities)


def _rows(hold: Hold, event: Event, order_id: str, holder_name: str) -> list[dict[str, object]]:
    items = [item for item in hold.items for _ in range(item.quantity)]
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
            "order_id": order_id,
            "number": number,
            "holder_name": holder_name,
        }
        for number, item in enumerate(items, start=1)
    ]
