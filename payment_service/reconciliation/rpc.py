"""ReconciliationService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import reconciliation_service_pb2, reconciliation_service_pb2_grpc

from kit.clock import from_timestamp, to_timestamp
from kit.database import Database
from kit.idempotency import Once
from payment_service.reconciliation import operations
from payment_service.reconciliation.operations import Result

Context = grpc.aio.ServicerContext[Any, Any]


class Reconciliations(reconciliation_service_pb2_grpc.ReconciliationServiceServicer):
    """The RPCs of reconciliations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateReconciliation(
        self,
        request: reconciliation_service_pb2.CreateReconciliationRequest,
        _context: Context,
    ) -> reconciliation_service_pb2.Reconciliation:
        start, end = request.period_start, request.period_end
        made = await operations.create_reconciliation(
            self._database,
            from_timestamp(start) if request.HasField("period_start") else None,
            from_timestamp(end) if request.HasField("period_end") else None,
            Once(request, _proto),
        )
        return _proto(made)

    async def GetReconciliation(
        self, request: reconciliation_service_pb2.GetReconciliationRequest, _context: Context
    ) -> reconciliation_service_pb2.Reconciliation:
        found = await operations.get_reconciliation(self._database, request.reconciliation_id)
        return _proto(found)

    async def ListReconciliations(
        self, request: reconciliation_service_pb2.ListReconciliationsRequest, _context: Context
    ) -> reconciliation_service_pb2.ListReconciliationsResponse:
        found, token = await operations.list_reconciliations(
            self._database, page_size=request.page_size, page_token=request.page_token
        )
        return reconciliation_service_pb2.ListReconciliationsResponse(
            reconciliations=[_proto(Result(run)) for run in found], next_page_token=token
        )


def _proto(result: Result) -> reconciliation_service_pb2.Reconciliation:
    run = result.run
    state = f"RECONCILIATION_STATE_{run.state}"
    return reconciliation_service_pb2.Reconciliation(
        id=run.id,
        state=reconciliation_service_pb2.ReconciliationState.Value(state),
        period_start=to_timestamp(run.period_start),
        period_end=to_timestamp(run.period_end),
        examined=run.examined,
        healed=run.healed,
        reported=run.reported,
        created_at=to_timestamp(run.created_at),
        finished_at=to_timestamp(run.finished_at),
        findings=[
            reconciliation_service_pb2.ReconciliationFinding(
                kind=finding.kind,
                subject=finding.subject,
                detail=finding.detail,
                is_healed=finding.is_healed,
            )
            for finding in result.findings
        ],
    )
