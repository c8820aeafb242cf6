"""TicketService: proto to operation to proto."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from tessera.ticket.v1 import ticket_pb2, ticket_service_pb2, ticket_service_pb2_grpc

from kit import auth, clock
from kit.batching import Batcher
from kit.database import Database
from kit.idempotency import Once
from ticket_service.admission import operations
from ticket_service.admission.domain import CheckIn, Order, Ticket
from ticket_service.holds.rpc import seat_proto
from ticket_service.seating.seatings import Seatings
from ticket_service.waitlist.offers import Offers

MAX_BATCH = 100
MAX_WAITING = 5000

Context = grpc.aio.ServicerContext[Any, Any]


class Tickets(ticket_service_pb2_grpc.TicketServiceServicer):
    """The RPCs of issued tickets and the door."""

    def __init__(self, database: Database, seatings: Seatings, offers: Offers) -> None:
        self._database = database
        self._seatings = seatings
        self._offers = offers

        async def issue(_all: str, orders: Sequence[Order]) -> Sequence[list[Ticket] | Exception]:
            return await operations.issue_tickets(database, seatings, offers, orders)

        self._issuing = Batcher(issue, max_batch=MAX_BATCH, max_waiting=MAX_WAITING)

    async def CreateCheckIn(
        self, request: ticket_service_pb2.CreateCheckInRequest, _context: Context
    ) -> ticket_service_pb2.CheckIn:
        caller = auth.current()
        checked = await operations.check_in(
            self._database,
            caller.organizer_id,
            caller.user.user_id if caller.user else "",
            request.ticket_code,
            request.event_id,
            Once(request, check_in_proto),
        )
        return check_in_proto(checked)

    async def IssueTickets(
        self, request: ticket_service_pb2.IssueTicketsRequest, _context: Context
    ) -> ticket_service_pb2.IssueTicketsResponse:
        order = Order(request.hold_id, request.order_id, request.holder_name)
        issued = await self._issuing.submit("", order)
        return ticket_service_pb2.IssueTicketsResponse(tickets=[ticket_proto(t) for t in issued])

    async def ListTickets(
        self, request: ticket_service_pb2.ListTicketsRequest, _context: Context
    ) -> ticket_service_pb2.ListTicketsResponse:
        found = await operations.list_tickets(self._database, request.order_id)
        return ticket_service_pb2.ListTicketsResponse(tickets=[ticket_proto(t) for t in found])

    async def CancelTickets(
        self, request: ticket_service_pb2.CancelTicketsRequest, _context: Context
    ) -> ticket_service_pb2.CancelTicketsResponse:
        found = await operations.cancel_tickets(
            self._database,
            self._seatings,
            self._offers,
            request.order_id,
            request.hold_id,
            frozenset(request.numbers),
            keep_off_sale=request.keep_off_sale,
            spare_admitted=request.spare_admitted,
        )
        return ticket_service_pb2.CancelTicketsResponse(tickets=[ticket_proto(t) for t in found])

    async def BlockTickets(
        self, request: ticket_service_pb2.BlockTicketsRequest, _context: Context
    ) -> ticket_service_pb2.BlockTicketsResponse:
        found = await operations.block_tickets(
            self._database, request.order_id, is_blocked=request.is_blocked
        )
        return ticket_service_pb2.BlockTicketsResponse(tickets=[ticket_proto(t) for t in found])

    async def RenameTicket(
        self, request: ticket_service_pb2.RenameTicketRequest, _context: Context
    ) -> ticket_pb2.Ticket:
        renamed = await operations.rename_ticket(
            self._database,
            request.order_id,
            request.ticket_id,
            request.holder_name,
            by_organizer=request.by_organizer,
        )
        return ticket_proto(renamed)

    async def TransferTicket(
        self, request: ticket_service_pb2.TransferTicketRequest, _context: Context
    ) -> ticket_pb2.Ticket:
        successor = await operations.transfer_ticket(
            self._database,
            request.order_id,
            request.ticket_id,
            request.holder_name,
            request.holder_email,
            by_organizer=request.by_organizer,
        )
        return ticket_proto(successor)

    async def GetEventStatistics(
        self, request: ticket_service_pb2.GetEventStatisticsRequest, _context: Context
    ) -> ticket_service_pb2.GetEventStatisticsResponse:
        found = await operations.statistics(self._database, request.event_id)
        return ticket_service_pb2.GetEventStatisticsResponse(
            organizer_id=found.organizer_id,
            currency_code=found.currency_code,
            time_zone=found.time_zone,
            ticket_types=[
                ticket_service_pb2.TicketTypeStatistics(
                    ticket_type_id=key, name=name, remaining=remaining, admitted=admitted
                )
                for key, name, remaining, admitted in found.ticket_types
            ],
            days=[
                ticket_service_pb2.DayStatistics(date=date, admitted=admitted)
                for date, admitted in found.days
            ],
            holds=found.holds,
        )


def ticket_proto(ticket: Ticket) -> ticket_pb2.Ticket:
    """A ticket as the contract shows it."""
    return ticket_pb2.Ticket(
        id=ticket.id,
        code=ticket.code,
        state=ticket_pb2.TicketState.Value(f"TICKET_STATE_{ticket.state}"),
        event_id=ticket.event_id,
        ticket_type_id=ticket.ticket_type_id,
        ticket_type_name=ticket.ticket_type_name,
        order_id=ticket.order_id,
        holder_name=ticket.holder_name,
        issued_at=clock.to_timestamp(ticket.issued_at),
        admitted_at=clock.to_timestamp(ticket.admitted_at),
        seat=seat_proto(ticket.seat) if ticket.seat else None,
        number=ticket.number,
        holder_email=ticket.holder_email,
        is_blocked=ticket.is_blocked,
    )


def check_in_proto(checked: CheckIn) -> ticket_service_pb2.CheckIn:
    """A scan's result, and why if it was rejected."""
    result = "REJECTED" if checked.rejection else "ACCEPTED"
    proto = ticket_service_pb2.CheckIn(
        result=ticket_service_pb2.CheckInResult.Value(f"CHECK_IN_RESULT_{result}"),
        ticket=ticket_proto(checked.ticket) if checked.ticket else None,
        checked_at=clock.to_timestamp(checked.checked_at),
    )
    if checked.rejection:
        proto.reason = ticket_service_pb2.CheckInRejection.Value(
            f"CHECK_IN_REJECTION_{checked.rejection}"
        )
    return proto
