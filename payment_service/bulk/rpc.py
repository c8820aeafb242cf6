"""OperationService: proto to operation to proto."""

from typing import Any

import grpc.aio
from tessera.payment.v1 import operation_pb2, operation_service_pb2, operation_service_pb2_grpc

from kit import auth
from kit.clock import to_timestamp
from kit.database import Database
from kit.idempotency import Once
from payment_service.bulk import operations
from payment_service.bulk.domain import Progress

Context = grpc.aio.ServicerContext[Any, Any]


class Operations(operation_service_pb2_grpc.OperationServiceServicer):
    """The RPCs of background operations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetOperation(
        self, request: operation_service_pb2.GetOperationRequest, _context: Context
    ) -> operation_pb2.Operation:
        caller = auth.current()
        found = await operations.get_operation(self._database, caller, request.operation_id)
        return operation_proto(found)

    async def ListOperations(
        self, request: operation_service_pb2.ListOperationsRequest, _context: Context
    ) -> operation_service_pb2.ListOperationsResponse:
        found, token = await operations.list_operations(
            self._database,
            auth.current().organizer_id,
            event_id=request.event_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return operation_service_pb2.ListOperationsResponse(
            operations=[operation_proto(progress) for progress in found], next_page_token=token
        )

    async def RetryOperation(
        self, request: operation_service_pb2.RetryOperationRequest, _context: Context
    ) -> operation_pb2.Operation:
        once = Once(request, operation_proto)
        retried = await operations.retry_operation(
            self._database, auth.current(), request.operation_id, once
        )
        return operation_proto(retried)


def operation_proto(progress: Progress) -> operation_pb2.Operation:
    """An operation as the contract shows it."""
    operation = progress.operation
    return operation_pb2.Operation(
        id=operation.id,
        kind=operation_pb2.OperationKind.Value(f"OPERATION_KIND_{operation.kind}"),
        state=operation_pb2.OperationState.Value(f"OPERATION_STATE_{operation.state}"),
        event_id=operation.event_id,
        total=progress.total,
        done=progress.done,
        failed=progress.failed,
        created_at=to_timestamp(operation.created_at),
        finished_at=to_timestamp(operation.finished_at),
    )
