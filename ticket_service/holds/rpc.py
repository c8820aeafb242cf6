"""HoldService: proto to operation to proto."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any

import grpc.aio
from tessera.ticket.v1 import hold_pb2, hold_service_pb2, hold_service_pb2_grpc, seat_pb2

from kit import auth, clock, idempotency, telemetry
from kit.batching import Batcher
from kit.database import Database
from kit.errors import Internal, TesseraError
from kit.proto_money import to_proto
from kit.rpc_errors import to_proto as to_error_proto
from kit.validation import validate
from ticket_service.catalog.rpc import listing_proto
from ticket_service.holds import operations
from ticket_service.holds.domain import Hold, HoldItem, HoldRequest, HoldState
from ticket_service.holds.operations import Answer
from ticket_service.holds.placement import Asked
from ticket_service.seating.domain import AssignedSeat
from ticket_service.seating.seatings import Seatings
from ticket_service.vouchers_client import VouchersClient
from ticket_service.waitlist.offers import Offers

Context = grpc.aio.ServicerContext[Any, Any]

MAX_BATCH = 500
MAX_WAITING = 5000  # of one event: at 2,500 holds a second, two seconds of patience


class Holds(hold_service_pb2_grpc.HoldServiceServicer):
    """The RPCs of holds."""

    def __init__(
        self,
        database: Database,
        seatings: Seatings,
        offers: Offers,
        vouchers: VouchersClient,
        lifetime: timedelta,
    ) -> None:
        self._database = database
        self._vouchers = vouchers

        async def create(event_id: str, asked: Sequence[Asked]) -> Sequence[Answer | Exception]:
            return await operations.create_holds(database, seatings, event_id, asked, lifetime)

        async def abandon(answers: Sequence[Answer]) -> None:
            await operations.abandon_holds(database, offers, answers)

        async def release(_all: str, hold_ids: Sequence[str]) -> Sequence[Hold | Exception]:
            return await operations.release_holds(database, offers, hold_ids)

        self._creating = Batcher(
            create, abandon=abandon, max_batch=MAX_BATCH, max_waiting=MAX_WAITING
        )
        self._releasing = Batcher(release, max_batch=MAX_BATCH, max_waiting=MAX_WAITING)

    async def CreateHold(
        self, request: hold_service_pb2.CreateHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        return hold_proto((await self._create(request)).hold)

    async def BatchCreateHolds(
        self, request: hold_service_pb2.BatchCreateHoldsRequest, _context: Context
    ) -> hold_service_pb2.BatchCreateHoldsResponse:
        outcomes: list[Answer | Exception] = [Internal()] * len(request.requests)
        numbers: defaultdict[str, list[int]] = defaultdict(list)  # by event
        with_voucher: list[int] = []
        for number, single in enumerate(request.requests):
            try:
                validate(single)
            except TesseraError as refusal:
                outcomes[number] = refusal
            else:
                alike = with_voucher if single.voucher_code else numbers[single.event_id]
                alike.append(number)

        async def create_opened(number: int) -> None:
            try:
                outcomes[number] = await self._create(request.requests[number])
            except Exception as error:
                outcomes[number] = error

        async def create(event_id: str) -> None:
            asked = [_asked(request.requests[number]) for number in numbers[event_id]]
            answers = await self._creating.submit_all(event_id, asked)
            for number, answer in zip(numbers[event_id], answers, strict=True):
                outcomes[number] = answer

        await asyncio.gather(*map(create, numbers), *map(create_opened, with_voucher))
        response = hold_service_pb2.BatchCreateHoldsResponse()
        for outcome in outcomes:
            _put(outcome, into=response.results.add())
        return response

    async def _create(self, request: hold_service_pb2.CreateHoldRequest) -> Answer:
        """One hold, once its voucher has been asked for; nothing waits meanwhile but the caller."""
        asked = _asked(request)
        if request.voucher_code:
            asked = await self._open(request, asked)
        return await self._creating.submit(request.event_id, asked)

    async def _open(self, request: hold_service_pb2.CreateHoldRequest, asked: Asked) -> Asked:
        """What is asked for, with the ticket types that the voucher opens."""
        try:
            opened = await self._vouchers.opened(request.event_id, request.voucher_code)
        except TesseraError as refusal:
            if asked.key is None:
                raise
            return replace(asked, refusal=refusal)  # it may have been answered before
        items = (replace(item, is_opened=item.ticket_type_id in opened) for item in asked.requests)
        return replace(asked, requests=tuple(items))

    async def GetHold(
        self, request: hold_service_pb2.GetHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        return hold_proto(await operations.get_hold(self._database, request.hold_id))

    async def ReleaseHold(
        self, request: hold_service_pb2.ReleaseHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        return hold_proto(await self._releasing.submit("", request.hold_id))

    async def GetHoldForOrder(
        self, request: hold_service_pb2.GetHoldForOrderRequest, _context: Context
    ) -> hold_service_pb2.GetHoldForOrderResponse:
        hold, listing = await operations.get_hold_for_order(self._database, request.hold_id)
        return hold_service_pb2.GetHoldForOrderResponse(
            hold=hold_proto(hold), event=listing_proto(listing)
        )


_STATES = {state: hold_pb2.HoldState.Value(f"HOLD_STATE_{state}") for state in HoldState}


def hold_proto(hold: Hold) -> hold_pb2.Hold:
    """A hold as the contract shows it."""
    proto = hold_pb2.Hold()
    _fill(proto, hold)
    return proto


def _fill(proto: hold_pb2.Hold, hold: Hold) -> None:
    """Make an empty message show a hold: where it stands, since each copy of it is a deep one."""
    proto.id = hold.id
    proto.event_id = hold.event_id
    proto.state = _STATES[hold.state]
    for item in hold.items:
        proto.items.append(_item_proto(hold.currency_code, item))
    proto.total.CopyFrom(to_proto(hold.currency_code, hold.total_minor))
    proto.expires_at.CopyFrom(clock.timestamp(hold.expires_at))
    proto.created_at.CopyFrom(clock.timestamp(hold.created_at))


@lru_cache(maxsize=1024)  # in a rush, everybody asks for the same
def _item_proto(currency_code: str, item: HoldItem) -> hold_pb2.HoldItem:
    return hold_pb2.HoldItem(
        ticket_type_id=item.ticket_type_id,
        ticket_type_name=item.ticket_type_name,
        quantity=item.quantity,
        unit_price=to_proto(currency_code, item.unit_price_minor),
        amount=to_proto(currency_code, item.amount_minor),
        seats=[seat_proto(seat) for seat in item.seats],
    )


def seat_proto(seat: AssignedSeat) -> seat_pb2.AssignedSeat:
    """A seat as the contract names it."""
    return seat_pb2.AssignedSeat(
        seat_id=seat.seat_id, section=seat.section, row=seat.row, number=seat.number
    )


def _put(outcome: Answer | Exception, into: hold_service_pb2.BatchCreateHoldsResult) -> None:
    if isinstance(outcome, Answer):
        _fill(into.hold, outcome.hold)
        return
    if not isinstance(outcome, TesseraError):
        telemetry.log.error("hold failed", exc_info=outcome)
        outcome = Internal()
    into.error.CopyFrom(to_error_proto(outcome))


def _asked(request: hold_service_pb2.CreateHoldRequest) -> Asked:
    requests = tuple(
        HoldRequest(item.ticket_type_id, item.quantity, tuple(item.seat_ids), item.allow_orphans)
        for item in request.items
    )
    if not request.idempotency_key:
        return Asked(requests)
    scoped = f"{auth.current().name} {request.idempotency_key}"
    return Asked(requests, scoped, idempotency.fingerprint(request))
