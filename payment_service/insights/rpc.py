"""InsightsService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import insights_service_pb2, insights_service_pb2_grpc

from kit import auth
from kit.database import Database
from kit.proto_money import to_proto
from payment_service.insights import operations
from payment_service.insights.domain import Insights
from payment_service.tickets_client import TicketsClient


class InsightsRpc(insights_service_pb2_grpc.InsightsServiceServicer):
    """The RPC of insights."""

    def __init__(self, database: Database, tickets: TicketsClient) -> None:
        self._database = database
        self._tickets = tickets

    async def GetEventInsights(
        self,
        request: insights_service_pb2.GetEventInsightsRequest,
        _context: grpc.aio.ServicerContext[Any, Any],
    ) -> insights_service_pb2.EventInsights:
        found = await operations.event_insights(
            self._database, self._tickets, auth.current(), request.event_id
        )
        return _proto(found)


def _proto(found: Insights) -> insights_service_pb2.EventInsights:
    code = found.currency_code
    return insights_service_pb2.EventInsights(
        event_id=found.event_id,
        sold=found.total.sold,
        revenue=to_proto(code, found.total.revenue_minor),
        remaining=sum(row.remaining for row in found.ticket_types),
        admitted=sum(row.admitted for row in found.ticket_types),
        ticket_types=[
            insights_service_pb2.TicketTypeInsights(
                ticket_type_id=row.ticket_type_id,
                name=row.name,
                sold=row.sales.sold,
                revenue=to_proto(code, row.sales.revenue_minor),
                remaining=row.remaining,
                admitted=row.admitted,
            )
            for row in found.ticket_types
        ],
        days=[
            insights_service_pb2.DayInsights(
                date=row.date,
                sold=row.sales.sold,
                revenue=to_proto(code, row.sales.revenue_minor),
                admitted=row.admitted,
            )
            for row in found.days
        ],
    )
