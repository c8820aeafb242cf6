"""VoucherService: proto to operation to proto."""

from typing import Any

import grpc.aio
from google.protobuf.empty_pb2 import Empty
from tessera.payment.v1 import voucher_pb2, voucher_service_pb2, voucher_service_pb2_grpc
from tessera.type.v1 import money_pb2

from kit import auth, clock, patch, rates
from kit.database import Database
from kit.idempotency import Once
from kit.proto_money import from_proto, to_proto
from payment_service.tickets_client import TicketsClient
from payment_service.vouchers import operations
from payment_service.vouchers.domain import Standing, Voucher

Context = grpc.aio.ServicerContext[Any, Any]

_LIMITS = ("max_redemptions", "max_per_customer", "max_per_event")
_TIMES = ("valid_from", "valid_until")


class Vouchers(voucher_service_pb2_grpc.VoucherServiceServicer):
    """The RPCs of vouchers."""

    def __init__(self, database: Database, tickets: TicketsClient) -> None:
        self._database = database
        self._tickets = tickets
        self._organizers = operations.Organizers(tickets)

    async def CreateVoucher(
        self, request: voucher_service_pb2.CreateVoucherRequest, _context: Context
    ) -> voucher_pb2.Voucher:
        values = {
            "event_id": request.event_id or None,
            "ticket_type_ids": list(request.ticket_type_ids),
            "percentage_ppm": rates.parse_percent(request.percentage, field="percentage"),
            **_amount(request.amount if request.HasField("amount") else None),
            **{name: _given(request, name) for name in _LIMITS},
            **{name: _time(request, name) for name in _TIMES},
        }
        standing = await operations.create_voucher(
            self._database,
            self._tickets,
            auth.current().organizer_id,
            request.code,
            values,
            Once(request, voucher_proto),
        )
        return voucher_proto(standing)

    async def GetVoucher(
        self, request: voucher_service_pb2.GetVoucherRequest, _context: Context
    ) -> voucher_pb2.Voucher:
        standing = await operations.get_voucher(self._database, auth.current(), request.voucher_id)
        return voucher_proto(standing)

    async def ListVouchers(
        self, request: voucher_service_pb2.ListVouchersRequest, _context: Context
    ) -> voucher_service_pb2.ListVouchersResponse:
        found, token = await operations.list_vouchers(
            self._database,
            auth.current().organizer_id,
            event_id=request.event_id,
            code=request.code,
            page_size=request.page_size,
            page_token=request.page_token,
        )
        return voucher_service_pb2.ListVouchersResponse(
            vouchers=[voucher_proto(standing) for standing in found], next_page_token=token
        )

    async def UpdateVoucher(
        self, request: voucher_service_pb2.UpdateVoucherRequest, _context: Context
    ) -> voucher_pb2.Voucher:
        nullable = ("percentage", "amount", *_LIMITS, *_TIMES)
        changes = patch.changes(request, nullable=nullable)
        if "percentage" in changes:
            percentage = changes.pop("percentage") or ""
            changes["percentage_ppm"] = rates.parse_percent(percentage, field="percentage")
        if "amount" in changes:
            changes |= _amount(changes.pop("amount"))
        standing = await operations.update_voucher(
            self._database,
            self._tickets,
            auth.current(),
            request.voucher_id,
            request.if_match,
            changes,
        )
        return voucher_proto(standing)

    async def DeleteVoucher(
        self, request: voucher_service_pb2.DeleteVoucherRequest, _context: Context
    ) -> Empty:
        await operations.delete_voucher(
            self._database, auth.current(), request.voucher_id, request.if_match
        )
        return Empty()

    async def CheckVoucher(
        self, request: voucher_service_pb2.CheckVoucherRequest, _context: Context
    ) -> voucher_service_pb2.VoucherOffer:
        offer = await operations.check_voucher(
            self._database, self._tickets, auth.current(), request.event_id, request.code
        )
        return _offer_proto(offer)

    async def OpenTicketTypes(
        self, request: voucher_service_pb2.OpenTicketTypesRequest, _context: Context
    ) -> voucher_service_pb2.OpenTicketTypesResponse:
        opened = await operations.open_ticket_types(
            self._database, self._organizers, request.event_id, request.code
        )
        return voucher_service_pb2.OpenTicketTypesResponse(ticket_type_ids=opened)


def voucher_proto(standing: Standing) -> voucher_pb2.Voucher:
    """A voucher as the contract shows it to admins."""
    voucher = standing.voucher
    return voucher_pb2.Voucher(
        id=voucher.id,
        code=voucher.code,
        organizer_id=voucher.organizer_id,
        event_id=voucher.event_id or "",
        ticket_type_ids=voucher.ticket_type_ids,
        percentage=_percentage(voucher),
        amount=_money(voucher),
        max_redemptions=voucher.max_redemptions,
        max_per_customer=voucher.max_per_customer,
        max_per_event=voucher.max_per_event,
        valid_from=clock.to_timestamp(voucher.valid_from),
        valid_until=clock.to_timestamp(voucher.valid_until),
        redeemed=standing.redeemed,
        created_at=clock.to_timestamp(voucher.created_at),
        updated_at=clock.to_timestamp(voucher.updated_at),
        version=voucher.version,
    )


def _offer_proto(offer: operations.Offer) -> voucher_service_pb2.VoucherOffer:
    return voucher_service_pb2.VoucherOffer(
        code=offer.voucher.code,
        percentage=_percentage(offer.voucher),
        amount=_money(offer.voucher),
        ticket_types=offer.ticket_types,
        valid_until=clock.to_timestamp(offer.voucher.valid_until),
    )


def _percentage(voucher: Voucher) -> str:
    return rates.format_percent(voucher.percentage_ppm) if voucher.percentage_ppm else ""


def _money(voucher: Voucher) -> money_pb2.Money | None:
    if voucher.currency_code is None:
        return None
    return to_proto(voucher.currency_code, voucher.amount_minor)


def _amount(amount: money_pb2.Money | None) -> dict[str, Any]:
    """The columns of an amount; nothing off is no amount."""
    given = from_proto(amount, field="amount") if amount is not None else None
    if given is None or not given.minor:
        return {"currency_code": None, "amount_minor": 0}
    return {"currency_code": given.currency_code, "amount_minor": given.minor}


def _given(request: Any, field: str) -> Any:
    return getattr(request, field) if request.HasField(field) else None


def _time(request: Any, field: str) -> Any:
    return clock.from_timestamp(getattr(request, field)) if request.HasField(field) else None
