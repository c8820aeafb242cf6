"""Sold, revenue, remaining and admitted of one event."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sales:
    """Tickets sold by paid orders, and their revenue in minor units."""

    sold: int = 0
    revenue_minor: int = 0


@dataclass(frozen=True, slots=True)
class TicketTypeRow:
    """One ticket type's figures."""

    ticket_type_id: str
    name: str
    sales: Sales
    remaining: int
    admitted: int


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day's figures, by the event's clock; the date is YYYY-MM-DD."""

    date: str
    sales: Sales
    admitted: int


@dataclass(frozen=True, slots=True)
class Insights:
    """All figures of an event."""

    event_id: str
    currency_code: str
    ticket_types: tuple[TicketTypeRow, ...]
    days: tuple[DayRow, ...]

    @property
    def total(self) -> Sales:
        return total(row.sales for row in self.ticket_types)


def total(sales: Iterable[Sales]) -> Sales:
    """The sum of some sales."""
    parts = list(sales)
    return Sales(sum(part.sold for part in parts), sum(part.revenue_minor for part in parts))


def by_day(sales: Mapping[str, Sales], admitted: Mapping[str, int]) -> tuple[DayRow, ...]:
    """The days on which something was sold or somebody admitted, oldest first."""
    return tuple(
        DayRow(day, sales.get(day, Sales()), admitted.get(day, 0))
        for day in sorted({*sales, *admitted})
    )
