"""Every SQL statement about tickets and check-ins."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Text,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from kit.database import Transaction
from ticket_service.admission.domain import Rejection, Ticket, TicketState
from ticket_service.seating.domain import AssignedSeat
from ticket_service.stock.store import QUOTA_REMAINING
from ticket_service.tables import check_ins, holds, ticket_types, tickets, waitlist_entries

_IDS = bindparam("ids", type_=ARRAY(Text))
_ACCEPTED = and_(check_ins.c.ticket_id == tickets.c.id, check_ins.c.rejection.is_(None))
_ADMITTED_AT = select(check_ins.c.checked_at).where(_ACCEPTED).scalar_subquery()
_TICKET = select(tickets, _ADMITTED_AT.label("admitted_at"))
_IN_ORDER = (tickets.c.number, tickets.c.transfers)
_NOT_OWN = {"seat", "issued_at", "admitted_at"}
_OWN = [field.name for field in fields(Ticket) if field.name not in _NOT_OWN]


async def insert_tickets(tx: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Issue tickets: columns without `issued_at`."""
    await tx.execute(insert(tickets), rows)


async def list_tickets(tx: Transaction, order_ids: Collection[str]) -> dict[str, list[Ticket]]:
    """The tickets of orders by order id, by number; a successor follows what it replaces."""
    query = _TICKET.where(tickets.c.order_id == func.any(_IDS)).order_by(
        tickets.c.order_id, *_IN_ORDER
    )
    found: defaultdict[str, list[Ticket]] = defaultdict(list)
    for row in await tx.execute(query, {"ids": list(order_ids)}):
        found[row.order_id].append(_ticket(row))
    return found


async def lock_tickets(tx: Transaction, order_id: str) -> list[Ticket]:
    """An order's tickets, as `list_tickets` has them, which no door accepts meanwhile."""
    return await _lock(tx, tickets.c.order_id == order_id)


async def lock_ticket(tx: Transaction, order_id: str, ticket_id: str) -> Ticket | None:
    """One of an order's tickets, which no door accepts meanwhile."""
    mine = and_(tickets.c.order_id == order_id, tickets.c.id == ticket_id)
    return next(iter(await _lock(tx, mine)), None)


async def lock_shown(tx: Transaction, organizer_id: str, code: str) -> Ticket | None:
    """An organizer's ticket by its code, kept to this door until the transaction ends."""
    mine = and_(tickets.c.organizer_id == organizer_id, tickets.c.code == code)
    return next(iter(await _lock(tx, mine)), None)


async def move(tx: Transaction, ticket_ids: Collection[str], state: TicketState) -> None:
    """Move locked tickets to another state."""
    if ticket_ids:
        moved = update(tickets).where(tickets.c.id == func.any(_IDS)).values(state=state)
        await tx.execute(moved, {"ids": list(ticket_ids)})


async def block(tx: Transaction, order_id: str, *, is_blocked: bool) -> None:
    """Keep an order's issued tickets out, or let them in again."""
    issued = (tickets.c.order_id == order_id, tickets.c.state == TicketState.ISSUED)
    changed = tickets.c.is_blocked.is_distinct_from(is_blocked)
    await tx.execute(update(tickets).where(*issued, changed).values(is_blocked=is_blocked))


async def rename(tx: Transaction, ticket_id: str, holder_name: str) -> None:
    """Put another name on a locked ticket."""
    renamed = update(tickets).where(tickets.c.id == ticket_id).values(holder_name=holder_name)
    await tx.execute(renamed)


async def insert_successor(tx: Transaction, ticket: Ticket) -> Ticket:
    """Issue a ticket in the place of one that is TRANSFERRED by now; answers when, too."""
    values = {name: getattr(ticket, name) for name in _OWN}
    if seat := ticket.seat:
        values |= {
            "seat_id": seat.seat_id,
            "seat_section": seat.section,
            "seat_row": seat.row,
            "seat_number": seat.number,
        }
    issued = insert(tickets).values(values).returning(tickets.c.issued_at)
    return replace(ticket, issued_at=(await tx.execute(issued)).scalar_one())


async def get_successor(tx: Transaction, ticket: Ticket) -> Ticket:
    """What a TRANSFERRED ticket was replaced by, whatever has become of that since."""
    its = and_(
        tickets.c.order_id == ticket.order_id,
        tickets.c.number == ticket.number,
        tickets.c.transfers == ticket.transfers + 1,
    )
    return _ticket((await tx.execute(_TICKET.where(its))).one())


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


async def count_holds(tx: Transaction, event_id: str) -> int:
    """How many holds of an event customers made, or took up when they were offered."""
    is_offer = select(true()).where(waitlist_entries.c.hold_id == holds.c.id).exists()
    query = select(func.count()).where(
        holds.c.event_id == event_id, or_(~is_offer, holds.c.order_id.is_not(None))
    )
    return int((await tx.execute(query)).scalar_one())


async def _lock(tx: Transaction, which: ColumnElement[bool]) -> list[Ticket]:
    rows = select(tickets.c.id).where(which).order_by(tickets.c.id)
    ids = list((await tx.execute(rows.with_for_update(key_share=True))).scalars())
    if not ids:
        return []
    # A statement of its own: the one that waited for a lock does not see what it waited for.
    query = _TICKET.where(tickets.c.id == func.any(_IDS)).order_by(*_IN_ORDER)
    return [_ticket(row) for row in await tx.execute(query, {"ids": ids})]


def _ticket(row: Row[Any]) -> Ticket:
    seat = None
    if row.seat_id is not None:
        seat = AssignedSeat(row.seat_id, row.seat_section, row.seat_row, row.seat_number)
    return Ticket(
        **{name: getattr(row, name) for name in _OWN} | {"state": TicketState(row.state)},
        seat=seat,
        issued_at=row.issued_at,
        admitted_at=row.admitted_at,
    )
