"""InsightsService: proto to operation to proto."""

from functools import partial
from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.payment.v1 import insights_service_pb2, insights_service_pb2_grpc

from kit import auth, csv_cells
from kit.database import Database
from kit.proto_money import to_proto
from payment_service.insights import operations
from payment_service.insights.domain import Income, Insights
from payment_service.tickets_client import TicketsClient

Context = grpc.aio.ServicerContext[Any, Any]


class InsightsRpc(insights_service_pb2_grpc.InsightsServiceServicer):
    """The RPCs of insights."""

    def __init__(self, database: Database, tickets: TicketsClient) -> None:
        self._database = database
        self._tickets = tickets

    async def GetEventInsights(
        self, request: insights_service_pb2.GetEventInsightsRequest, _context: Context
    ) -> insights_service_pb2.EventInsights:
        return _proto(await self._find(request.event_id))

    async def ExportEventInsights(
        self, request: insights_service_pb2.ExportEventInsightsRequest, _context: Context
    ) -> httpbody_pb2.HttpBody:
        data = operations.export(await self._find(request.event_id))
        return httpbody_pb2.HttpBody(content_type=csv_cells.CONTENT_TYPE, data=data)

    async def _find(self, event_id: str) -> Insights:
        return await operations.event_insights(
            self._database, self._tickets, auth.current(), event_id
        )


def _proto(found: Insights) -> insights_service_pb2.EventInsights:
    money = partial(to_proto, found.currency_code)
    return insights_service_pb2.EventInsights(
        event_id=found.event_id,
        sold=found.sold,
        revenue=money(found.income.revenue_minor),
        remaining=found.remaining,
        admitted=found.admitted,
        ticket_types=[
            insights_service_pb2.TicketTypeInsights(
                ticket_type_id=row.ticket_type_id,
                name=row.name,
                sold=row.sales.sold,
                revenue=money(row.sales.revenue_minor),
                net_revenue=money(row.sales.net_minor),
                remaining=row.remaining,
                admitted=row.admitted,
            )
            for row in found.ticket_types
        ],
        days=[
            insights_service_pb2.DayInsights(
                date=row.date,
                sold=row.sales.sold,
                revenue=money(row.sales.revenue_minor),
                net_revenue=money(row.sales.net_minor),
                admitted=row.admitted,
            )
            for row in found.days
        ],
        income=_income(found.currency_code, found.income),
        vouchers=[
            insights_service_pb2.VoucherInsights(
                voucher_id=row.voucher_id,
                code=row.code,
                paid_orders=row.paid_orders,
                discount=money(row.discount_minor),
                revenue=money(row.revenue_minor),
            )
            for row in found.vouchers
        ],
        holds=found.holds,
        paid_orders=found.paid_orders,
    )


def _income(currency_code: str, income: Income) -> insights_service_pb2.Income:
    money = partial(to_proto, currency_code)
    return insights_service_pb2.Income(
        charged=money(income.charged_minor),
        refunded=money(income.refunded_minor),
        tickets=money(income.tickets_minor),
        booking_fees=money(income.booking_fees_minor),
        tax=money(income.tax_minor),
        cancellation_fees=money(income.cancellation_fees_minor),
        provider_fees=money(income.provider_fees_minor),
        disputed=money(income.disputed_minor),
        net=money(income.net_minor),
    )
