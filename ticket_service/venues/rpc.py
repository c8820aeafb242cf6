"""VenueService: proto to operation to proto."""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from tessera.ticket.v1 import seat_pb2, venue_pb2, venue_service_pb2, venue_service_pb2_grpc

from kit import auth, clock, patch
from kit.database import Database
from kit.idempotency import Once
from ticket_service.venues import domain, operations
from ticket_service.venues.domain import BlockReason

Context = grpc.aio.ServicerContext[Any, Any]

_REASONS = {seat_pb2.BlockReason.Value(f"BLOCK_REASON_{reason}"): reason for reason in BlockReason}
_NUMBERS: Mapping[BlockReason | None, seat_pb2.BlockReason.ValueType] = {
    None: seat_pb2.BLOCK_REASON_UNSPECIFIED,
    **{reason: number for number, reason in _REASONS.items()},
}


class Venues(venue_service_pb2_grpc.VenueServiceServicer):
    """The RPCs of venues and halls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateVenue(
        self, request: venue_service_pb2.CreateVenueRequest, _context: Context
    ) -> venue_pb2.Venue:
        values = {"name": request.name, "address": request.address}
        once = Once(request, venue_proto)
        organizer_id = auth.current().organizer_id
        return venue_proto(
            await operations.create_venue(self._database, organizer_id, values, once)
        )

    async def ListVenues(
        self, request: venue_service_pb2.ListVenuesRequest, _context: Context
    ) -> venue_service_pb2.ListVenuesResponse:
        venues, token = await operations.list_venues(
            self._database,
            auth.current().organizer_id,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return venue_service_pb2.ListVenuesResponse(
            venues=[venue_proto(venue) for venue in venues], next_page_token=token
        )

    async def GetVenue(
        self, request: venue_service_pb2.GetVenueRequest, _context: Context
    ) -> venue_pb2.Venue:
        organizer_id = auth.current().organizer_id
        return venue_proto(
            await operations.get_venue(self._database, organizer_id, request.venue_id)
        )

    async def UpdateVenue(
        self, request: venue_service_pb2.UpdateVenueRequest, _context: Context
    ) -> venue_pb2.Venue:
        venue = await operations.update_venue(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.if_match,
            patch.changes(request),
        )
        return venue_proto(venue)

    async def DeleteVenue(
        self, request: venue_service_pb2.DeleteVenueRequest, _context: Context
    ) -> Empty:
        organizer_id = auth.current().organizer_id
        await operations.delete_venue(
            self._database, organizer_id, request.venue_id, request.if_match
        )
        return Empty()

    async def CreateHall(
        self, request: venue_service_pb2.CreateHallRequest, _context: Context
    ) -> venue_pb2.Hall:
        hall = await operations.create_hall(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.name,
            Once(request, hall_proto),
        )
        return hall_proto(hall)

    async def ListHalls(
        self, request: venue_service_pb2.ListHallsRequest, _context: Context
    ) -> venue_service_pb2.ListHallsResponse:
        organizer_id = auth.current().organizer_id
        halls = await operations.list_halls(self._database, organizer_id, request.venue_id)
        return venue_service_pb2.ListHallsResponse(halls=[hall_proto(hall) for hall in halls])

    async def GetHall(
        self, request: venue_service_pb2.GetHallRequest, _context: Context
    ) -> venue_pb2.Hall:
        organizer_id = auth.current().organizer_id
        return hall_proto(
            await operations.get_hall(
                self._database, organizer_id, request.venue_id, request.hall_id
            )
        )

    async def UpdateHall(
        self, request: venue_service_pb2.UpdateHallRequest, _context: Context
    ) -> venue_pb2.Hall:
        hall = await operations.update_hall(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.if_match,
            patch.changes(request),
        )
        return hall_proto(hall)

    async def DeleteHall(
        self, request: venue_service_pb2.DeleteHallRequest, _context: Context
    ) -> Empty:
        await operations.delete_hall(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.if_match,
        )
        return Empty()

    async def GetHallLayout(
        self, request: venue_service_pb2.GetHallLayoutRequest, _context: Context
    ) -> venue_pb2.HallLayout:
        organizer_id = auth.current().organizer_id
        return layout_proto(
            await operations.get_layout(
                self._database, organizer_id, request.venue_id, request.hall_id
            )
        )

    async def ImportHallLayout(
        self, request: venue_service_pb2.ImportHallLayoutRequest, _context: Context
    ) -> venue_pb2.HallLayout:
        given = domain.Layout(
            zones=[domain.Zone(zone.name, zone.color) for zone in request.zones],
            sections=[
                domain.Section("", section.name, _rows(section.rows))
                for section in request.sections
            ],
        )
        layout = await operations.import_layout(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.if_match,
            given,
        )
        return layout_proto(layout)

    async def CreateSection(
        self, request: venue_service_pb2.CreateSectionRequest, _context: Context
    ) -> venue_pb2.Section:
        section = await operations.create_section(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            domain.Section("", request.name, _rows(request.rows)),
            Once(request, section_proto),
        )
        return section_proto(section)

    async def GetSection(
        self, request: venue_service_pb2.GetSectionRequest, _context: Context
    ) -> venue_pb2.Section:
        section = await operations.get_section(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.section_id,
        )
        return section_proto(section)

    async def UpdateSection(
        self, request: venue_service_pb2.UpdateSectionRequest, _context: Context
    ) -> venue_pb2.Section:
        section = await operations.update_section(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.section_id,
            request.if_match,
            _section_changes(request),
        )
        return section_proto(section)

    async def DeleteSection(
        self, request: venue_service_pb2.DeleteSectionRequest, _context: Context
    ) -> Empty:
        await operations.delete_section(
            self._database,
            auth.current().organizer_id,
            request.venue_id,
            request.hall_id,
            request.section_id,
            request.if_match,
        )
        return Empty()


def venue_proto(venue: domain.Venue) -> venue_pb2.Venue:
    """A venue without its halls."""
    return venue_pb2.Venue(
        id=venue.id,
        organizer_id=venue.organizer_id,
        name=venue.name,
        address=venue.address,
        created_at=clock.to_timestamp(venue.created_at),
        updated_at=clock.to_timestamp(venue.updated_at),
        version=venue.version,
    )


def hall_proto(hall: domain.Hall) -> venue_pb2.Hall:
    """A hall without its seats."""
    return venue_pb2.Hall(
        id=hall.id,
        venue_id=hall.venue_id,
        name=hall.name,
        seat_count=hall.seat_count,
        created_at=clock.to_timestamp(hall.created_at),
        updated_at=clock.to_timestamp(hall.updated_at),
        version=hall.version,
    )


def layout_proto(layout_version: operations.LayoutVersion) -> venue_pb2.HallLayout:
    """A hall's zones and seats."""
    layout, version = layout_version
    return venue_pb2.HallLayout(
        zones=[venue_pb2.Zone(name=zone.name, color=zone.color) for zone in layout.zones],
        sections=[section_proto((section, version)) for section in layout.sections],
        version=version,
    )


def section_proto(section_version: operations.SectionVersion) -> venue_pb2.Section:
    """A section with its seats."""
    section, version = section_version
    rows = [
        venue_pb2.Row(
            name=row.name, rank=row.rank, zone=row.zone, seats=[_seat_proto(s) for s in row.seats]
        )
        for row in section.rows
    ]
    return venue_pb2.Section(id=section.id, name=section.name, rows=rows, version=version)


def _seat_proto(seat: domain.Seat) -> venue_pb2.Seat:
    return venue_pb2.Seat(
        id=seat.id,
        number=seat.number,
        x=seat.x,
        y=seat.y,
        zone=seat.zone,
        aisle=seat.aisle,
        block_reason=_NUMBERS[seat.block_reason],
    )


def _rows(rows: Iterable[venue_pb2.Row]) -> list[domain.Row]:
    return [
        domain.Row(row.name, row.rank, row.zone, [_seat(seat) for seat in row.seats])
        for row in rows
    ]


def _seat(seat: venue_pb2.Seat) -> domain.Seat:
    """A seat as it was sent, less its id: only Tessera gives ids."""
    reason = None
    if seat.block_reason:
        # A reason that only a newer client knows is a reason.
        reason = _REASONS.get(seat.block_reason, BlockReason.OTHER)
    return domain.Seat("", seat.number, seat.x, seat.y, seat.zone, seat.aisle, reason)


def _section_changes(request: venue_service_pb2.UpdateSectionRequest) -> dict[str, Any]:
    found = patch.changes(request)
    return found | {"rows": _rows(found["rows"])} if "rows" in found else found
