"""HoldService: proto to operation to proto."""

from datetime import timedelta
from typing import Any

import grpc.aio
from tessera.ticket.v1 import hold_pb2, hold_service_pb2, hold_service_pb2_grpc

from kit import auth, clock, idempotency
from kit.database import Database
from kit.proto_money import to_proto
from ticket_service.catalog.rpc import event_proto
from ticket_service.holds import operations
from ticket_service.holds.domain import Hold, HoldRequest

Context = grpc.aio.ServicerContext[Any, Any]


class Holds(hold_service_pb2_grpc.HoldServiceServicer):
    """The RPCs of holds."""

    def __init__(self, database: Database, lifetime: timedelta) -> None:
        self._database = database
        self._lifetime = lifetime

    async def CreateHold(
        self, request: hold_service_pb2.CreateHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        hold = await operations.create_hold(
            self._database,
            request.event_id,
            [HoldRequest(item.ticket_type_id, item.quantity) for item in request.items],
            self._lifetime,
            _key(request),
        )
        return hold_proto(hold)

    async def GetHold(
        self, request: hold_service_pb2.GetHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        return hold_proto(await operations.get_hold(self._database, request.hold_id))

    async def ReleaseHold(
        self, request: hold_service_pb2.ReleaseHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        return hold_proto(await operations.release_hold(self._database, request.hold_id))

    async def GetHoldForOrder(
        self, request: hold_service_pb2.GetHoldForOrderRequest, _context: Context
    ) -> hold_service_pb2.GetHoldForOrderResponse:
        hold, event = await operations.get_hold_for_order(self._database, request.hold_id)
        return hold_service_pb2.GetHoldForOrderResponse(
            hold=hold_proto(hold), event=event_proto(event)
        )


def hold_proto(hold: Hold) -> hold_pb2.Hold:
    """A hold as the contract shows it."""
    return hold_pb2.Hold(
        id=hold.id,
        event_id=hold.event_id,
        state=hold_pb2.HoldState.Value(f"HOLD_STATE_{hold.state}"),
        items=[
            hold_pb2.HoldItem(
                ticket_type_id=item.ticket_type_id,
                ticket_type_name=item.ticket_type_name,
                quantity=item.quantity,
                unit_price=to_proto(hold.currency_code, item.unit_price_minor),
                amount=to_proto(hold.currency_code, item.amount_minor),
            )
            for item in hold.items
        ],
        total=to_proto(hold.currency_code, hold.total_minor),
        expires_at=clock.to_timestamp(hold.expires_at),
        created_at=clock.to_timestamp(hold.created_at),
    )


def _key(request: hold_service_pb2.CreateHoldRequest) -> operations.HoldKey | None:
    if not request.idempotency_key:
        return None
    scoped = f"{auth.current().name} {request.idempotency_key}"
    return operations.HoldKey(scoped, idempotency.fingerprint(request))
