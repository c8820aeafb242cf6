"""Every SQL statement about insights."""

from collections import defaultdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    func,
    select,
    tuple_,
)

from kit.database import Transaction
from payment_service.insights.domain import Books, VoucherRow
from payment_service.ledger.domain import Account, Kind
from payment_service.tables import (
    ledger_entries,
    ledger_transactions,
    order_lines,
    orders,
    refunds,
)


async def books(tx: Transaction, event_id: str, currency_code: str, time_zone: str) -> Books:
    """An event's entries in its currency, summed up in one pass, so that all sums agree."""
    kind, account = ledger_transactions.c.kind, ledger_entries.c.account
    ticket_type, voucher = ledger_entries.c.ticket_type_id, ledger_transactions.c.voucher_id
    booked = (
        select(
            kind,
            account,
            ticket_type,
            voucher,
            _day(time_zone, ledger_transactions.c.booked_at),
            ledger_entries.c.amount_minor,
        )
        .join(ledger_transactions)
        .where(
            ledger_transactions.c.event_id == event_id,
            ledger_transactions.c.currency_code == currency_code,
        )
        .subquery()
        .c
    )
    keys = (booked.kind, booked.ticket_type_id, booked.day, booked.voucher_id)
    query = select(
        booked.account, *keys, func.grouping(*keys), func.sum(booked.amount_minor)
    ).group_by(func.grouping_sets(*(tuple_(booked.account, key) for key in keys)))
    sums: list[dict[str, dict[Account, int]]] = [defaultdict(dict) for _ in keys]
    for row in await tx.execute(query):
        for position, found in enumerate(sums):
            # A set's bit is 0 for the columns that it groups by, the last column's bit first.
            if not row[5] & 1 << (len(keys) - 1 - position) and row[1 + position] is not None:
                found[row[1 + position]][Account(row[0])] = int(row[6])
    by_kind, by_ticket_type, by_day, by_voucher = sums
    return Books(
        {Kind(key): moved for key, moved in by_kind.items()}, by_ticket_type, by_day, by_voucher
    )


async def sold(tx: Transaction, event_id: str, time_zone: str) -> dict[tuple[str, str], int]:
    """Tickets that were paid for and not cancelled, by ticket type and day of payment."""
    lines = _paid_lines(event_id, time_zone).subquery("lines")
    bought = select(lines.c.ticket_type_id, lines.c.day, func.sum(lines.c.quantity))
    # An order's tickets are numbered from 1 through its lines: refunds cancel them by number.
    numbers = (
        select(refunds.c.order_id, func.unnest(refunds.c.ticket_numbers).label("number"))
        .where(refunds.c.order_id.in_(select(orders.c.id).where(*_were_paid(event_id))))
        .distinct()
        .subquery("numbers")
    )
    is_of_line = and_(
        numbers.c.order_id == lines.c.order_id,
        numbers.c.number > lines.c.last - lines.c.quantity,
        numbers.c.number <= lines.c.last,
    )
    cancelled = select(lines.c.ticket_type_id, lines.c.day, func.count()).join_from(
        lines, numbers, is_of_line
    )
    by = (lines.c.ticket_type_id, lines.c.day)
    found = {(row[0], row[1]): int(row[2]) for row in await tx.execute(bought.group_by(*by))}
    for row in await tx.execute(cancelled.group_by(*by)):
        found[row[0], row[1]] -= int(row[2])
    return found


async def names(tx: Transaction, event_id: str) -> dict[str, str]:
    """The names under which ticket types were ordered."""
    query = (
        select(order_lines.c.ticket_type_id, func.max(order_lines.c.ticket_type_name))
        .join(orders)
        .where(orders.c.event_id == event_id)
        .group_by(order_lines.c.ticket_type_id)
    )
    return {row[0]: row[1] for row in await tx.execute(query)}


async def paid_orders(tx: Transaction, event_id: str) -> int:
    """How many orders were ever paid, those included that were cancelled later."""
    query = select(func.count()).where(orders.c.event_id == event_id, orders.c.paid_at.is_not(None))
    return int((await tx.execute(query)).scalar_one())


async def used_vouchers(tx: Transaction, event_id: str) -> list[VoucherRow]:
    """The vouchers of orders that were ever paid."""
    query = (
        select(
            orders.c.voucher_id,
            func.max(orders.c.voucher_code),
            func.count(),
            func.sum(orders.c.discount_minor),
        )
        .where(
            orders.c.event_id == event_id,
            orders.c.paid_at.is_not(None),
            orders.c.voucher_id.is_not(None),
        )
        .group_by(orders.c.voucher_id)
    )
    return [VoucherRow(row[0], row[1], int(row[2]), int(row[3])) for row in await tx.execute(query)]


def _were_paid(event_id: str) -> tuple[ColumnElement[bool], ...]:
    """Orders that were paid, but for those whose tickets went because of a lost dispute.

    One that was cancelled since still has the tickets that were used before.
    """
    return (
        orders.c.event_id == event_id,
        orders.c.paid_at.is_not(None),
        orders.c.cancel_reason != "DISPUTE_LOST",
    )


def _paid_lines(event_id: str, time_zone: str) -> Select[Any]:
    """The lines of orders that were paid; `last` is the number of a line's last ticket."""
    last = func.sum(order_lines.c.quantity).over(
        partition_by=order_lines.c.order_id, order_by=order_lines.c.position
    )
    return (
        select(
            order_lines.c.order_id,
            order_lines.c.ticket_type_id,
            order_lines.c.quantity,
            last.label("last"),
            _day(time_zone, orders.c.paid_at),
        )
        .join(orders)
        .where(*_were_paid(event_id))
    )


def _day(time_zone: str, moment: ColumnElement[Any]) -> ColumnElement[str]:
    """The day by the event's clock, YYYY-MM-DD."""
    return func.to_char(func.timezone(time_zone, moment), "YYYY-MM-DD").label("day")
