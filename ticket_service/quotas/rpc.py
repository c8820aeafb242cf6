"""QuotaService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from tessera.ticket.v1 import quota_pb2, quota_service_pb2, quota_service_pb2_grpc

from kit import auth, clock, patch
from kit.database import Database
from kit.idempotency import Once
from ticket_service.quotas import operations
from ticket_service.quotas.domain import Quota
from ticket_service.waitlist.offers import Offers

Context = grpc.aio.ServicerContext[Any, Any]


class Quotas(quota_service_pb2_grpc.QuotaServiceServicer):
    """The RPCs of quotas."""

    def __init__(self, database: Database, offers: Offers) -> None:
        self._database = database
        self._offers = offers

    async def CreateQuota(
        self, request: quota_service_pb2.CreateQuotaRequest, _context: Context
    ) -> quota_pb2.Quota:
        quota = await operations.create_quota(
            self._database,
            auth.current().organizer_id,
            request.event_id,
            {"name": request.name, "size": request.size},
            request.ticket_type_ids,
            Once(request, quota_proto),
        )
        return quota_proto(quota)

    async def ListQuotas(
        self, request: quota_service_pb2.ListQuotasRequest, _context: Context
    ) -> quota_service_pb2.ListQuotasResponse:
        quotas = await operations.list_quotas(self._database, auth.current(), request.event_id)
        return quota_service_pb2.ListQuotasResponse(quotas=[quota_proto(quota) for quota in quotas])

    async def GetQuota(
        self, request: quota_service_pb2.GetQuotaRequest, _context: Context
    ) -> quota_pb2.Quota:
        quota = await operations.get_quota(
            self._database, auth.current(), request.event_id, request.quota_id
        )
        return quota_proto(quota)

    async def UpdateQuota(
        self, request: quota_service_pb2.UpdateQuotaRequest, _context: Context
    ) -> quota_pb2.Quota:
        quota = await operations.update_quota(
            self._database,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            request.quota_id,
            request.if_match,
            patch.changes(request),
        )
        return quota_proto(quota)

    async def DeleteQuota(
        self, request: quota_service_pb2.DeleteQuotaRequest, _context: Context
    ) -> Empty:
        await operations.delete_quota(
            self._database,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            request.quota_id,
            request.if_match,
        )
        return Empty()


def quota_proto(quota: Quota) -> quota_pb2.Quota:
    """A quota as the contract shows it."""
    return quota_pb2.Quota(
        id=quota.id,
        event_id=quota.event_id,
        name=quota.name,
        size=quota.size,
        remaining=quota.remaining,
        ticket_type_ids=quota.ticket_type_ids,
        created_at=clock.to_timestamp(quota.created_at),
        updated_at=clock.to_timestamp(quota.updated_at),
        version=quota.version,
    )
