"""SeatMapService: proto to operation to proto."""

from collections.abc import Collection, Iterable
from itertools import groupby
from operator import attrgetter
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from tessera.ticket.v1 import (
    seat_map_pb2,
    seat_map_service_pb2,
    seat_map_service_pb2_grpc,
    seat_pb2,
)

from kit import auth, clock
from kit.database import Database
from kit.idempotency import Once
from ticket_service.holds.rpc import seat_proto
from ticket_service.seating import operations
from ticket_service.seating.drawings import Drawings
from ticket_service.seating.maps import BlockedSeat, Drawing, DrawnSeat, SeatStates, ZoneRequest
from ticket_service.seating.seatings import Seatings
from ticket_service.venues.domain import BlockReason
from ticket_service.waitlist.offers import Offers

Context = grpc.aio.ServicerContext[Any, Any]


class SeatMaps(seat_map_service_pb2_grpc.SeatMapServiceServicer):
    """The RPCs of seat maps."""

    def __init__(self, database: Database, seatings: Seatings, offers: Offers) -> None:
        self._database = database
        self._seatings = seatings
        self._offers = offers
        self._drawings = Drawings(drawing_proto)

    async def CreateSeatMap(
        self, request: seat_map_service_pb2.CreateSeatMapRequest, _context: Context
    ) -> seat_map_pb2.SeatMap:
        drawing = await operations.create_seat_map(
            self._database,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            request.hall_id,
            [ZoneRequest(zone.zone, zone.ticket_type_id) for zone in request.zones],
            Once(request, drawing_proto),
        )
        return drawing_proto(drawing)

    async def GetSeatMap(
        self, request: seat_map_service_pb2.GetSeatMapRequest, _context: Context
    ) -> seat_map_pb2.SeatMap:
        picture, hidden = await operations.get_seat_map(
            self._database, self._drawings, auth.current(), request.event_id
        )
        return _without(hidden, picture)

    async def DeleteSeatMap(
        self, request: seat_map_service_pb2.DeleteSeatMapRequest, _context: Context
    ) -> Empty:
        organizer_id = auth.current().organizer_id
        await operations.delete_seat_map(
            self._database, self._offers, organizer_id, request.event_id
        )
        return Empty()

    async def GetSeatStates(
        self, request: seat_map_service_pb2.GetSeatStatesRequest, _context: Context
    ) -> seat_map_pb2.SeatStates:
        states = await operations.get_seat_states(
            self._database,
            self._seatings,
            auth.current(),
            request.event_id,
            request.since_version,
        )
        return states_proto(states)

    async def BlockSeats(
        self, request: seat_map_service_pb2.BlockSeatsRequest, _context: Context
    ) -> seat_map_pb2.SeatStates:
        reason = seat_pb2.BlockReason.Name(request.reason).removeprefix("BLOCK_REASON_")
        states = await operations.block_seats(
            self._database,
            self._seatings,
            auth.current().organizer_id,
            request.event_id,
            request.seat_ids,
            BlockReason(reason),
            request.note,
            Once(request, states_proto),
        )
        return states_proto(states)

    async def UnblockSeats(
        self, request: seat_map_service_pb2.UnblockSeatsRequest, _context: Context
    ) -> seat_map_pb2.SeatStates:
        states = await operations.unblock_seats(
            self._database,
            self._seatings,
            self._offers,
            auth.current().organizer_id,
            request.event_id,
            request.seat_ids,
            Once(request, states_proto),
        )
        return states_proto(states)

    async def ListBlockedSeats(
        self, request: seat_map_service_pb2.ListBlockedSeatsRequest, _context: Context
    ) -> seat_map_service_pb2.ListBlockedSeatsResponse:
        blocked, token = await operations.list_blocked_seats(
            self._database,
            auth.current().organizer_id,
            request.event_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return seat_map_service_pb2.ListBlockedSeatsResponse(
            blocked_seats=[_blocked_proto(seat) for seat in blocked], next_page_token=token
        )


def drawing_proto(drawing: Drawing) -> seat_map_pb2.SeatMap:
    """A seat map with its sections, rows and seats."""
    return seat_map_pb2.SeatMap(
        event_id=drawing.seat_map.event_id,
        hall_id=drawing.seat_map.hall_id,
        zones=[
            seat_map_pb2.ZoneTicketType(
                zone=zone.zone, ticket_type_id=zone.ticket_type_id, color=zone.color
            )
            for zone in drawing.zones
        ],
        sections=[
            seat_map_pb2.SeatMapSection(name=section, rows=_rows(seats))
            for section, seats in groupby(drawing.seats, key=attrgetter("section"))
        ],
        created_at=clock.to_timestamp(drawing.seat_map.created_at),
    )


def _without(hidden: Collection[str], picture: seat_map_pb2.SeatMap) -> seat_map_pb2.SeatMap:
    """A seat map, which is kept for others, that does not name hidden ticket types."""
    if not any(zone.ticket_type_id in hidden for zone in picture.zones):
        return picture
    shown = seat_map_pb2.SeatMap()
    shown.CopyFrom(picture)
    for zone in shown.zones:
        if zone.ticket_type_id in hidden:
            zone.ticket_type_id = ""
    return shown


def states_proto(states: SeatStates) -> seat_map_pb2.SeatStates:
    """All states, or those that changed."""
    return seat_map_pb2.SeatStates(
        event_id=states.event_id,
        version=states.version,
        states=states.letters,
        changes=[
            seat_map_pb2.SeatChange(position=position, state=state.letter)
            for position, state in states.changes.items()
        ],
        seat_map_created_at=clock.to_timestamp(states.seated_at),
    )


def _rows(seats: Iterable[DrawnSeat]) -> list[seat_map_pb2.SeatMapRow]:
    return [
        seat_map_pb2.SeatMapRow(name=row, seats=[_seat_proto(seat) for seat in in_row])
        for row, in_row in groupby(seats, key=attrgetter("row"))
    ]


def _seat_proto(seat: DrawnSeat) -> seat_map_pb2.SeatMapSeat:
    return seat_map_pb2.SeatMapSeat(
        id=seat.id, number=seat.number, x=seat.x, y=seat.y, zone=seat.zone, aisle=seat.aisle
    )


def _blocked_proto(blocked: BlockedSeat) -> seat_map_pb2.BlockedSeat:
    return seat_map_pb2.BlockedSeat(
        seat=seat_proto(blocked.seat),
        reason=seat_pb2.BlockReason.Value(f"BLOCK_REASON_{blocked.reason}"),
        note=blocked.note,
    )
