"""DisputeService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import dispute_pb2, dispute_service_pb2, dispute_service_pb2_grpc

from kit import auth
from kit.clock import to_timestamp
from kit.database import Database
from kit.proto_money import to_proto
from payment_service.disputes import operations
from payment_service.disputes.domain import Dispute

Context = grpc.aio.ServicerContext[Any, Any]


class Disputes(dispute_service_pb2_grpc.DisputeServiceServicer):
    """The RPCs of disputes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetDispute(
        self, request: dispute_service_pb2.GetDisputeRequest, _context: Context
    ) -> dispute_pb2.Dispute:
        caller = auth.current()
        found = await operations.get_dispute(self._database, caller, request.dispute_id)
        return dispute_proto(found)

    async def ListDisputes(
        self, request: dispute_service_pb2.ListDisputesRequest, _context: Context
    ) -> dispute_service_pb2.ListDisputesResponse:
        state = dispute_pb2.DisputeState.Name(request.state).removeprefix("DISPUTE_STATE_")
        found, token = await operations.list_disputes(
            self._database,
            auth.current().organizer_id,
            event_id=request.event_id,
            order_id=request.order_id,
            state=state if request.state else "",
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return dispute_service_pb2.ListDisputesResponse(
            disputes=[dispute_proto(dispute) for dispute in found], next_page_token=token
        )


def dispute_proto(dispute: Dispute) -> dispute_pb2.Dispute:
    """A dispute as the contract shows it."""
    return dispute_pb2.Dispute(
        id=dispute.id,
        order_id=dispute.order_id,
        payment_id=dispute.payment_id,
        event_id=dispute.event_id,
        state=dispute_pb2.DisputeState.Value(f"DISPUTE_STATE_{dispute.state}"),
        amount=to_proto(dispute.currency_code, dispute.amount_minor),
        reason=dispute.reason,
        opened_at=to_timestamp(dispute.opened_at),
        evidence_due_at=to_timestamp(dispute.evidence_due_at),
        closed_at=to_timestamp(dispute.closed_at),
    )
