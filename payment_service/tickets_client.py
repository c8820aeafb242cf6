"""What payment_service asks of ticket_service."""

from collections.abc import Sequence

from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    hold_service_pb2,
    hold_service_pb2_grpc,
    ticket_pb2,
    ticket_service_pb2,
    ticket_service_pb2_grpc,
)

from kit.errors import FailedPrecondition
from kit.rpc_client import Mesh
from kit.rpc_errors import RemoteError
from payment_service.orders.domain import Order

_NO_TICKETS = frozenset(
    {
        "SOLD_OUT",
        "SEAT_TAKEN",
        "SEAT_NOT_FOUND",
        "EVENT_NOT_ON_SALE",
        "HOLD_NOT_FOUND",
        "HOLD_CONVERTED",
    }
)


class TicketsRefused(FailedPrecondition):
    """There are no tickets for the order, and a retry will not find any."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self._reason = reason

    @property
    def reason(self) -> str:
        return self._reason


class TicketsClient:
    """Calls to ticket_service; its refusals arrive as RemoteError."""

    def __init__(self, mesh: Mesh) -> None:
        channel = mesh.channel("ticket_service")
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._holds = hold_service_pb2_grpc.HoldServiceStub(channel)
        self._tickets = ticket_service_pb2_grpc.TicketServiceStub(channel)

    async def hold(self, hold_id: str) -> hold_service_pb2.GetHoldForOrderResponse:
        """A hold and the event it is for."""
        request = hold_service_pb2.GetHoldForOrderRequest(hold_id=hold_id)
        return await self._holds.GetHoldForOrder(request)

    async def release(self, hold_id: str) -> None:
        """Put a hold's tickets back on sale."""
        await self._holds.ReleaseHold(hold_service_pb2.ReleaseHoldRequest(hold_id=hold_id))

    async def issue(self, order: Order) -> Sequence[ticket_pb2.Ticket]:
        """Convert the order's hold into tickets.

        Raises:
            TicketsRefused: there are none, for good.
        """
        request = ticket_service_pb2.IssueTicketsRequest(
            hold_id=order.hold_id, order_id=order.id, holder_name=order.customer.full_name
        )
        try:
            tickets = (await self._tickets.IssueTickets(request)).tickets
        except RemoteError as error:
            if error.reason in _NO_TICKETS:
                raise TicketsRefused(error.reason) from error
            raise
        if not any(ticket.state == ticket_pb2.TICKET_STATE_ISSUED for ticket in tickets):
            raise TicketsRefused("TICKETS_TAKEN_BACK")
        return tickets

    async def cancel(
        self,
        order: Order,
        numbers: Sequence[int] = (),
        *,
        keep_off_sale: bool = False,
        spare_admitted: bool = False,
    ) -> Sequence[ticket_pb2.Ticket]:
        """Take an order's tickets back, or those with these numbers; their stock returns, or not.

        Without numbers, those are included that are just being issued. Those that were used to
        enter may be spared. Answers all tickets of the order, as they are then.
        """
        request = ticket_service_pb2.CancelTicketsRequest(
            order_id=order.id,
            hold_id=order.hold_id,
            numbers=numbers,
            keep_off_sale=keep_off_sale,
            spare_admitted=spare_admitted,
        )
        return (await self._tickets.CancelTickets(request)).tickets

    async def block(self, order_id: str, *, is_blocked: bool) -> None:
        """Keep an order's tickets out, or let them in again."""
        await self._tickets.BlockTickets(
            ticket_service_pb2.BlockTicketsRequest(order_id=order_id, is_blocked=is_blocked)
        )

    async def rename(
        self, order_id: str, ticket_id: str, holder_name: str, *, by_organizer: bool
    ) -> ticket_pb2.Ticket:
        """Correct the name on a ticket."""
        return await self._tickets.RenameTicket(
            ticket_service_pb2.RenameTicketRequest(
                order_id=order_id,
                ticket_id=ticket_id,
                holder_name=holder_name,
                by_organizer=by_organizer,
            )
        )

    async def transfer(
        self,
        order_id: str,
        ticket_id: str,
        holder_name: str,
        holder_email: str,
        *,
        by_organizer: bool,
    ) -> ticket_pb2.Ticket:
        """Give a ticket to somebody else; answers its successor."""
        return await self._tickets.TransferTicket(
            ticket_service_pb2.TransferTicketRequest(
                order_id=order_id,
                ticket_id=ticket_id,
                holder_name=holder_name,
                holder_email=holder_email,
                by_organizer=by_organizer,
            )
        )

    async def tickets(self, order_id: str) -> Sequence[ticket_pb2.Ticket]:
        """An order's tickets."""
        request = ticket_service_pb2.ListTicketsRequest(order_id=order_id)
        return (await self._tickets.ListTickets(request)).tickets

    async def event(self, event_id: str) -> event_pb2.Event:
        """An event in any state."""
        return await self._events.GetEvent(event_service_pb2.GetEventRequest(event_id=event_id))

    async def statistics(self, event_id: str) -> ticket_service_pb2.GetEventStatisticsResponse:
        """Stock and admissions of an event."""
        request = ticket_service_pb2.GetEventStatisticsRequest(event_id=event_id)
        return await self._tickets.GetEventStatistics(request)
