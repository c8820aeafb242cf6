"""LedgerService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.api import httpbody_pb2
from tessera.payment.v1 import ledger_service_pb2, ledger_service_pb2_grpc

from kit import auth, csv_cells
from kit.clock import from_timestamp, to_timestamp
from kit.database import Database
from kit.proto_money import to_proto
from payment_service.ledger import operations
from payment_service.ledger.domain import BookedEntry, Question

Context = grpc.aio.ServicerContext[Any, Any]

_Request = (
    ledger_service_pb2.GetLedgerBalancesRequest
    | ledger_service_pb2.ListLedgerEntriesRequest
    | ledger_service_pb2.ExportLedgerEntriesRequest
)


class Ledger(ledger_service_pb2_grpc.LedgerServiceServicer):
    """The RPCs of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetLedgerBalances(
        self, request: ledger_service_pb2.GetLedgerBalancesRequest, _context: Context
    ) -> ledger_service_pb2.LedgerBalances:
        found = await operations.balances(self._database, _question(request))
        return ledger_service_pb2.LedgerBalances(
            balances=[
                ledger_service_pb2.LedgerBalance(
                    account=ledger_service_pb2.LedgerAccount.Value(f"LEDGER_ACCOUNT_{row.account}"),
                    balance=to_proto(row.currency_code, row.balance_minor),
                    movement=to_proto(row.currency_code, row.movement_minor),
                )
                for row in found
            ]
        )

    async def ListLedgerEntries(
        self, request: ledger_service_pb2.ListLedgerEntriesRequest, _context: Context
    ) -> ledger_service_pb2.ListLedgerEntriesResponse:
        found, token = await operations.list_entries(
            self._database,
            _question(request, order_id=request.order_id),
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return ledger_service_pb2.ListLedgerEntriesResponse(
            entries=[_proto(row) for row in found], next_page_token=token
        )

    async def ExportLedgerEntries(
        self, request: ledger_service_pb2.ExportLedgerEntriesRequest, _context: Context
    ) -> httpbody_pb2.HttpBody:
        data = await operations.export_entries(self._database, _question(request))
        return httpbody_pb2.HttpBody(content_type=csv_cells.CONTENT_TYPE, data=data)


def _question(request: _Request, order_id: str = "") -> Question:
    """What is asked, of the caller's organizer; a superadmin has none, and asks of all."""
    since, until = request.booked_from, request.booked_before
    return Question(
        organizer_id=auth.current().organizer_id,
        event_id=request.event_id,
        order_id=order_id,
        booked_from=from_timestamp(since) if request.HasField("booked_from") else None,
        booked_before=from_timestamp(until) if request.HasField("booked_before") else None,
    )


def _proto(row: BookedEntry) -> ledger_service_pb2.LedgerEntry:
    return ledger_service_pb2.LedgerEntry(
        transaction_id=row.transaction_id,
        kind=ledger_service_pb2.LedgerTransactionKind.Value(f"LEDGER_TRANSACTION_KIND_{row.kind}"),
        account=ledger_service_pb2.LedgerAccount.Value(f"LEDGER_ACCOUNT_{row.entry.account}"),
        amount=to_proto(row.currency_code, row.entry.amount_minor),
        event_id=row.event_id,
        order_id=row.order_id,
        ticket_type_id=row.entry.ticket_type_id,
        booked_at=to_timestamp(row.booked_at),
        description=row.description,
    )
