"""RefundService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import refund_pb2, refund_service_pb2, refund_service_pb2_grpc

from kit import auth
from kit.clock import to_timestamp
from kit.database import Database
from kit.idempotency import Once
from kit.proto_money import from_proto, to_proto
from payment_service.refunds import operations
from payment_service.refunds.domain import Refund
from payment_service.refunds.operations import Wish
from payment_service.tickets_client import TicketsClient

Context = grpc.aio.ServicerContext[Any, Any]


class Refunds(refund_service_pb2_grpc.RefundServiceServicer):
    """The RPCs of refunds."""

    def __init__(self, database: Database, tickets: TicketsClient) -> None:
        self._database = database
        self._tickets = tickets

    async def CreateRefund(
        self, request: refund_service_pb2.CreateRefundRequest, _context: Context
    ) -> refund_pb2.Refund:
        has_amount = request.HasField("amount")
        wish = Wish(
            order_id=request.order_id,
            amount=from_proto(request.amount, field="amount") if has_amount else None,
            ticket_ids=tuple(request.ticket_ids),
            keep_off_sale=request.keep_off_sale,
            keep_booking_fee=request.keep_booking_fee,
            include_admitted=request.include_admitted,
            reason=request.reason,
        )
        once = Once(request, refund_proto)
        caller = auth.current()
        refund = await operations.create_refund(self._database, self._tickets, caller, wish, once)
        return refund_proto(refund)

    async def GetRefund(
        self, request: refund_service_pb2.GetRefundRequest, _context: Context
    ) -> refund_pb2.Refund:
        refund = await operations.get_refund(
            self._database, auth.current(), request.order_id, request.refund_id
        )
        return refund_proto(refund)

    async def ListRefunds(
        self, request: refund_service_pb2.ListRefundsRequest, _context: Context
    ) -> refund_service_pb2.ListRefundsResponse:
        found = await operations.list_refunds(self._database, auth.current(), request.order_id)
        return refund_service_pb2.ListRefundsResponse(
            refunds=[refund_proto(refund) for refund in found]
        )

    async def ListOrganizerRefunds(
        self, request: refund_service_pb2.ListOrganizerRefundsRequest, _context: Context
    ) -> refund_service_pb2.ListOrganizerRefundsResponse:
        state = refund_pb2.RefundState.Name(request.state).removeprefix("REFUND_STATE_")
        found, token = await operations.list_organizer_refunds(
            self._database,
            auth.current().organizer_id,
            event_id=request.event_id,
            order_id=request.order_id,
            state=state if request.state else "",
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return refund_service_pb2.ListOrganizerRefundsResponse(
            refunds=[refund_proto(refund) for refund in found], next_page_token=token
        )


def refund_proto(refund: Refund) -> refund_pb2.Refund:
    """A refund as the contract shows it."""
    return refund_pb2.Refund(
        id=refund.id,
        order_id=refund.order_id,
        payment_id=refund.payment_id or "",
        state=refund_pb2.RefundState.Value(f"REFUND_STATE_{refund.state}"),
        origin=refund_pb2.RefundOrigin.Value(f"REFUND_ORIGIN_{refund.origin}"),
        amount=to_proto(refund.currency_code, refund.amount_minor),
        reason=refund.reason,
        ticket_numbers=refund.ticket_numbers,
        failure_reason=refund.failure_reason,
        created_at=to_timestamp(refund.created_at),
        operation_id=refund.operation_id or "",
    )
