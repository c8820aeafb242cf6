"""AvailabilityService: proto to operation to proto."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc.aio
from tessera.ticket.v1 import (
    availability_pb2,
    availability_service_pb2,
    availability_service_pb2_grpc,
    event_pb2,
    seat_map_pb2,
)

from kit import auth
from kit.database import Database
from ticket_service.availability import operations
from ticket_service.availability.domain import Update
from ticket_service.availability.hub import Hub

Context = grpc.aio.ServicerContext[Any, Any]


class Availabilities(availability_service_pb2_grpc.AvailabilityServiceServicer):
    """The RPCs that tell what remains."""

    def __init__(self, database: Database, hub: Hub[availability_pb2.Availability]) -> None:
        self._database = database
        self._hub = hub

    async def GetAvailability(
        self, request: availability_service_pb2.GetAvailabilityRequest, _context: Context
    ) -> availability_pb2.Availability:
        return availability_proto(
            await operations.get_availability(self._database, auth.current(), request.event_id)
        )

    async def WatchAvailability(
        self, request: availability_service_pb2.WatchAvailabilityRequest, _context: Context
    ) -> AsyncGenerator[availability_pb2.Availability, None]:
        with self._hub.watching(request.event_id, auth.current()) as watcher:
            while True:
                yield await watcher.next()


def availability_proto(update: Update) -> availability_pb2.Availability:
    """What can be had, and what changed."""
    return availability_pb2.Availability(
        event_id=update.now.event_id,
        event_state=event_pb2.EventState.Value(f"EVENT_STATE_{update.now.event_state}"),
        ticket_types=[
            availability_pb2.TicketTypeAvailability(ticket_type_id=key, remaining=remaining)
            for key, remaining in update.now.remaining.items()
        ],
        seats_version=update.seats_version,
        previous_seats_version=update.previous_seats_version,
        changed_seats=[
            seat_map_pb2.SeatChange(position=change.position, state=change.letter)
            for change in update.changed_seats
        ],
    )
