"""WaitlistService: proto to operation to proto."""

from collections.abc import Sequence
from typing import Any

import grpc.aio
from tessera.ticket.v1 import waitlist_entry_pb2, waitlist_service_pb2, waitlist_service_pb2_grpc

from kit import auth, clock
from kit.batching import Batcher
from kit.database import Database
from kit.idempotency import Once
from ticket_service.waitlist import operations
from ticket_service.waitlist.domain import WaitlistEntry
from ticket_service.waitlist.offers import Offers

MAX_JOINING = 1000  # of one line; each waits for the one before

_Joining = tuple[waitlist_service_pb2.CreateWaitlistEntryRequest, Once[WaitlistEntry]]

Context = grpc.aio.ServicerContext[Any, Any]


class Waitlist(waitlist_service_pb2_grpc.WaitlistServiceServicer):
    """The RPCs of waiting lists."""

    def __init__(self, database: Database, offers: Offers) -> None:
        self._database = database
        self._offers = offers

        async def join(_line: str, asked: Sequence[_Joining]) -> Sequence[WaitlistEntry]:
            [(request, once)] = asked
            return [
                await operations.create_entry(
                    database,
                    request.event_id,
                    request.ticket_type_id,
                    request.quantity,
                    request.customer.email,
                    request.customer.full_name,
                    once,
                )
            ]

        # One at a time, so that a crowd that joins a line leaves connections to everybody else.
        self._joining = Batcher(join, max_batch=1, max_waiting=MAX_JOINING)

    async def CreateWaitlistEntry(
        self, request: waitlist_service_pb2.CreateWaitlistEntryRequest, _context: Context
    ) -> waitlist_entry_pb2.WaitlistEntry:
        asked = request, Once(request, entry_proto)
        entry = await self._joining.submit(request.ticket_type_id, asked)
        return entry_proto(entry)

    async def GetWaitlistEntry(
        self, request: waitlist_service_pb2.GetWaitlistEntryRequest, _context: Context
    ) -> waitlist_entry_pb2.WaitlistEntry:
        entry = await operations.get_entry(
            self._database, auth.current(), request.waitlist_entry_id
        )
        return entry_proto(entry)

    async def ListWaitlistEntries(
        self, request: waitlist_service_pb2.ListWaitlistEntriesRequest, _context: Context
    ) -> waitlist_service_pb2.ListWaitlistEntriesResponse:
        state = waitlist_entry_pb2.WaitlistEntryState.Name(request.state)
        found, token = await operations.list_entries(
            self._database,
            auth.current(),
            request.event_id,
            ticket_type_id=request.ticket_type_id,
            state=state.removeprefix("WAITLIST_ENTRY_STATE_") if request.state else "",
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return waitlist_service_pb2.ListWaitlistEntriesResponse(
            waitlist_entries=[entry_proto(entry) for entry in found], next_page_token=token
        )

    async def CancelWaitlistEntry(
        self, request: waitlist_service_pb2.CancelWaitlistEntryRequest, _context: Context
    ) -> waitlist_entry_pb2.WaitlistEntry:
        entry = await operations.cancel_entry(
            self._database, self._offers, auth.current(), request.waitlist_entry_id
        )
        return entry_proto(entry)


def entry_proto(entry: WaitlistEntry) -> waitlist_entry_pb2.WaitlistEntry:
    """An entry as the contract shows it: an anonymous one without its customer."""
    customer = waitlist_entry_pb2.WaitlistCustomer(email=entry.email, full_name=entry.full_name)
    return waitlist_entry_pb2.WaitlistEntry(
        id=entry.id,
        event_id=entry.event_id,
        ticket_type_id=entry.ticket_type_id,
        quantity=entry.quantity,
        state=waitlist_entry_pb2.WaitlistEntryState.Value(f"WAITLIST_ENTRY_STATE_{entry.state}"),
        hold_id=entry.hold_id,
        offer_expires_at=clock.to_timestamp(entry.offer_expires_at),
        customer=customer if entry.email else None,
        created_at=clock.to_timestamp(entry.created_at),
        updated_at=clock.to_timestamp(entry.updated_at),
    )
