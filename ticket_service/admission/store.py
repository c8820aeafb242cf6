"""Every SQL statement about tickets and check-ins."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Text, and_, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.admission.domain import Rejection, Ticket, TicketState
from ticket_service.seating.domain import AssignedSeat
from ticket_service.stock.store import QUOTA_REMAINING
from ticket_service.tables import check_ins, ticket_types, tickets

_IDS = bindparam("ids", type_=ARRAY(Text))
_ACCEPTED = and_(check_ins.c.ticket_id == tickets.c.id, check_ins.c.rejection.is_(None))
_ADMITTED_AT = select(check_ins.c.checked_at).where(_ACCEPTED).scalar_subquery()
_TICKET = select(tickets, _ADMITTED_AT.label("admitted_at"))


async def insert_tickets(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Issue tickets: columns without `issued_at`."""
    await tx.execute(insert(tickets), rows)


async def list_tickets(tx: Transaction, order_ids: Collection[str]) -> dict[str, list[Ticket]]:
    """The tickets of orders, in the order they were issued, by order id."""
    query = _TICKET.where(tickets.c.order_id == func.any(_IDS)).order_by(
        tickets.c.order_id, tickets.c.number
    )
    found: defaultdict[str, list[Ticket]] = defaultdict(list)
    for row in await tx.execute(query, {"ids": list(order_ids)}):
        found[row.order_id].append(_ticket(row))
    return found


async def cancel_tickets(tx: Transaction, order_id: str) -> list[Ticket]:
    """Cancel an order's issued tickets; answers those."""
    issued = (tickets.c.order_id == order_id, tickets.c.state == TicketState.ISSUED)
    found = await tx.execute(_TICKET.where(*issued).with_for_update(of=tickets, key_share=True))
    cancelled = [_ticket(row) for row in found]
    if cancelled:
        await tx.execute(update(tickets).where(*issued).values(state=TicketState.CANCELLED))
    return cancelled


async def lock_ticket(tx: Transaction, organizer_id: str, code: str) -> Ticket | None:
    """An organizer's ticket by its code, kept to this door until the transaction ends."""
    mine = and_(tickets.c.organizer_id == organizer_id, tickets.c.code == code)
    locked = select(tickets.c.id).where(mine).with_for_update(key_share=True)
    if (await tx.execute(locked)).first() is None:
        return None
    # A statement of its own: the one that waited for the lock does not see what it waited for.
    return _ticket((await tx.execute(_TICKET.where(mine))).one())


async def insert_check_in(
    tx: Transaction,
    check_in_id: str,
    ticket: Ticket,
    user_id: str,
    rejection: Rejection | None,
) -> datetime:
    """Note what the door did; answers when."""
    values = {
        "id": check_in_id,
        "ticket_id": ticket.id,
        "event_id": ticket.event_id,
        "user_id": user_id,
        "rejection": rejection,
    }
    noted = insert(check_ins).values(values).returning(check_ins.c.checked_at)
    at: datetime = (await tx.execute(noted)).scalar_one()
    return at


async def count_by_ticket_type(
    tx: Transaction, event_id: str
) -> tuple[tuple[str, str, int, int], ...]:
    """Each ticket type's id, name, remaining and admitted."""
    admitted = (
        select(tickets.c.ticket_type_id, func.count().label("admitted"))
        .join(check_ins, _ACCEPTED)
        .where(tickets.c.event_id == event_id)
        .group_by(tickets.c.ticket_type_id)
        .subquery()
    )
    query = (
        select(
            ticket_types.c.id,
            ticket_types.c.name,
            func.least(ticket_types.c.remaining, QUOTA_REMAINING),
            func.coalesce(admitted.c.admitted, 0),
        )
        .outerjoin(admitted, admitted.c.ticket_type_id == ticket_types.c.id)
        .where(ticket_types.c.event_id == event_id)
        .order_by(ticket_types.c.id)
    )
    return tuple((row[0], row[1], row[2], row[3]) for row in await tx.execute(query))


async def count_by_day(
    tx: Transaction, event_id: str, time_zone: str
) -> tuple[tuple[str, int], ...]:
    """How many were admitted on each day, by the event's clock."""
    day = func.to_char(func.timezone(time_zone, check_ins.c.checked_at), "YYYY-MM-DD").label("day")
    query = (
        select(day, func.count())
        .where(check_ins.c.event_id == event_id, check_ins.c.rejection.is_(None))
        .group_by(day)
        .order_by(day)
    )
    return tuple((row[0], row[1]) for row in await tx.execute(query))


def _ticket(row: Row[Any]) -> Ticket:
    seat = None
    if row.seat_id is not None:
        seat = AssignedSeat(row.seat_id, row.seat_section, row.seat_row, row.seat_number)
    return Ticket(
        id=row.id,
        code=row.code,
        state=TicketState(row.state),
        event_id=row.event_id,
        organizer_id=row.organizer_id,
        ticket_type_id=row.ticket_type_id,
        ticket_type_name=row.ticket_type_name,
        hold_id=row.hold_id,
        order_id=row.order_id,
        number=row.number,
        holder_name=row.holder_name,
        seat=seat,
        issued_at=row.issued_at,
        admitted_at=row.admitted_at,
    )
