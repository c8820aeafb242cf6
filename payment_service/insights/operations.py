"""Putting an event's money and its stock side by side."""

from collections import Counter
from collections.abc import Iterator

from kit import csv_cells
from kit.auth import Caller
from kit.database import Database
from kit.errors import NotFound
from payment_service.insights import domain, store
from payment_service.insights.domain import Insights, Sales, Stock
from payment_service.tickets_client import TicketsClient

MAX_VOUCHERS = 1000

_HEADER = (
    "row",
    "id",
    "name",
    "currency_code",
    "sold",
    "revenue",
    "net_revenue",
    "remaining",
    "admitted",
    "holds",
    "paid_orders",
    "discount",
    "charged",
    "refunded",
    "tickets",
    "booking_fees",
    "tax",
    "cancellation_fees",
    "provider_fees",
    "disputed",
)
_Cells = dict[str, csv_cells.Cell]


class EventNotFound(NotFound):
    """There is no such event."""


async def event_insights(
    database: Database, tickets: TicketsClient, caller: Caller, event_id: str
) -> Insights:
    """All figures of an event that the caller works for.

    Raises:
        EventNotFound: there is none, or it is somebody else's.
    """
    stock = await tickets.statistics(event_id)
    if not caller.works_for(stock.organizer_id):
        raise EventNotFound
    async with database.begin() as tx:
        books = await store.books(tx, event_id, stock.currency_code, stock.time_zone)
        sold = await store.sold(tx, event_id, stock.time_zone)
        names = await store.names(tx, event_id)
        used = await store.used_vouchers(tx, event_id)
        paid_orders = await store.paid_orders(tx, event_id)
    by_type, by_day = Counter[str](), Counter[str]()
    for (ticket_type_id, day), count in sold.items():
        by_type[ticket_type_id] += count
        by_day[day] += count
    known = [
        Stock(row.ticket_type_id, row.name, row.remaining, row.admitted)
        for row in stock.ticket_types
    ]
    return Insights(
        event_id=event_id,
        currency_code=stock.currency_code,
        income=domain.income(books.by_kind),
        ticket_types=domain.ticket_types(known, by_type, names, books.by_ticket_type),
        days=domain.days(by_day, books.by_day, {day.date: day.admitted for day in stock.days}),
        vouchers=domain.vouchers(used, books.by_voucher, MAX_VOUCHERS),
        holds=stock.holds,
        paid_orders=paid_orders,
    )


def export(found: Insights) -> bytes:
    """The same as CSV: a row for each ticket type, day and voucher, and the total."""
    return csv_cells.document(
        _HEADER, ([cells.get(name, "") for name in _HEADER] for cells in _rows(found))
    )


def _rows(found: Insights) -> Iterator[_Cells]:
    def cell(minor: int) -> csv_cells.Cell:
        return csv_cells.amount(found.currency_code, minor)

    def row(kind: str, key: str, name: str, **cells: csv_cells.Cell) -> _Cells:
        about: _Cells = {"row": kind, "id": key, "name": name}
        return {**about, "currency_code": found.currency_code, **cells}

    def sales(of: Sales, admitted: int) -> _Cells:
        return {
            "sold": of.sold,
            "revenue": cell(of.revenue_minor),
            "net_revenue": cell(of.net_minor),
            "admitted": admitted,
        }

    for kind in found.ticket_types:
        figures = sales(kind.sales, kind.admitted)
        yield row(
            "ticket_type", kind.ticket_type_id, kind.name, remaining=kind.remaining, **figures
        )
    for day in found.days:
        yield row("day", day.date, "", **sales(day.sales, day.admitted))
    for voucher in found.vouchers:
        yield row(
            "voucher",
            voucher.voucher_id,
            voucher.code,
            paid_orders=voucher.paid_orders,
            discount=cell(voucher.discount_minor),
            revenue=cell(voucher.revenue_minor),
        )
    money = found.income
    yield row(
        "total",
        found.event_id,
        "",
        **sales(Sales(found.sold, money.revenue_minor, money.net_minor), found.admitted),
        remaining=found.remaining,
        holds=found.holds,
        paid_orders=found.paid_orders,
        charged=cell(money.charged_minor),
        refunded=cell(money.refunded_minor),
        tickets=cell(money.tickets_minor),
        booking_fees=cell(money.booking_fees_minor),
        tax=cell(money.tax_minor),
        cancellation_fees=cell(money.cancellation_fees_minor),
        provider_fees=cell(money.provider_fees_minor),
        disputed=cell(money.disputed_minor),
    )
