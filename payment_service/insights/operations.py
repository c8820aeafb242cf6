"""Putting an event's money and its stock side by side."""

from kit.auth import Caller
from kit.database import Database
from kit.errors import NotFound
from payment_service.insights import domain, store
from payment_service.insights.domain import Insights, Sales, TicketTypeRow
from payment_service.tickets_client import TicketsClient


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
        by_type = await store.sales_by_ticket_type(tx, event_id)
        by_day = await store.sales_by_day(tx, event_id, stock.time_zone)
    return Insights(
        event_id=event_id,
        currency_code=stock.currency_code,
        ticket_types=tuple(
            TicketTypeRow(
                row.ticket_type_id,
                row.name,
                by_type.get(row.ticket_type_id, Sales()),
                row.remaining,
                row.admitted,
            )
            for row in stock.ticket_types
        ),
        days=domain.by_day(by_day, {day.date: day.admitted for day in stock.days}),
    )
