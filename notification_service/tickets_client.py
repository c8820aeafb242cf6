"""What notification_service asks of ticket_service."""

from collections.abc import Sequence

from tessera.ticket.v1 import (
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    hold_pb2,
    hold_service_pb2,
    hold_service_pb2_grpc,
    ticket_pb2,
    ticket_service_pb2,
    ticket_service_pb2_grpc,
    waitlist_entry_pb2,
    waitlist_service_pb2,
    waitlist_service_pb2_grpc,
)

from kit.rpc_client import Mesh


class TicketsClient:
    """Calls to ticket_service; its refusals arrive as RemoteError."""

    def __init__(self, mesh: Mesh) -> None:
        channel = mesh.channel("ticket_service")
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._holds = hold_service_pb2_grpc.HoldServiceStub(channel)
        self._waitlist = waitlist_service_pb2_grpc.WaitlistServiceStub(channel)
        self._tickets = ticket_service_pb2_grpc.TicketServiceStub(channel)

    async def event(self, event_id: str) -> event_pb2.Event:
        """An event in any state."""
        return await self._events.GetEvent(event_service_pb2.GetEventRequest(event_id=event_id))

    async def tickets(self, order_id: str) -> Sequence[ticket_pb2.Ticket]:
        """An order's tickets in any state, in the order they were issued."""
        request = ticket_service_pb2.ListTicketsRequest(order_id=order_id)
        return (await self._tickets.ListTickets(request)).tickets

    async def hold(self, hold_id: str) -> hold_pb2.Hold:
        """A hold in any state."""
        return await self._holds.GetHold(hold_service_pb2.GetHoldRequest(hold_id=hold_id))

    async def waitlist_entry(self, entry_id: str) -> waitlist_entry_pb2.WaitlistEntry:
        """An entry of a waiting list in any state, with its customer."""
        request = waitlist_service_pb2.GetWaitlistEntryRequest(waitlist_entry_id=entry_id)
        return await self._waitlist.GetWaitlistEntry(request)
