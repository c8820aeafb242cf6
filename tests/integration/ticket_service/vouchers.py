"""A stand-in for payment_service that only knows what vouchers open."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from tessera.payment.v1 import voucher_service_pb2, voucher_service_pb2_grpc

from kit.auth import TokenVerifier
from kit.errors import FailedPrecondition, NotFound, TesseraError
from kit.rpc_server import Guard, Server
from kit.tls import Identity
from tests.support.tokens import TokenIssuer


class VoucherNotFound(NotFound):
    """There is no such voucher."""


class VoucherExhausted(FailedPrecondition):
    """The voucher was used as often as it may be."""


class Vouchers(voucher_service_pb2_grpc.VoucherServiceServicer):
    """What codes open, and how often each was asked about; both by event id and code.

    Questions about an event that is in `delayed` are answered when it is set.
    """

    def __init__(self) -> None:
        self.opened: dict[tuple[str, str], Collection[str] | TesseraError] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.delayed: dict[str, asyncio.Event] = {}
        self.waiting: Counter[str] = Counter()  # by event id
        self.most_at_once = 0

    @asynccontextmanager
    async def serving(
        self, address: str, tls_dir: Path, issuer: TokenIssuer
    ) -> AsyncIterator[None]:
        """Answer for payment_service at this address, to whoever may ask it."""
        server = Server(
            Identity.load(tls_dir, "payment_service"),
            Guard(TokenVerifier(issuer.keys)),
            [(self, voucher_service_pb2_grpc.add_VoucherServiceServicer_to_server)],
        )
        await server.start(address)
        try:
            yield
        finally:
            await server.stop(0)

    async def OpenTicketTypes(
        self,
        request: voucher_service_pb2.OpenTicketTypesRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> voucher_service_pb2.OpenTicketTypesResponse:
        voucher = request.event_id, request.code
        self.asked[voucher] += 1
        self.waiting[request.event_id] += 1
        self.most_at_once = max(self.most_at_once, self.waiting.total())
        try:
            if delayed := self.delayed.get(request.event_id):
                await delayed.wait()
        finally:
            self.waiting[request.event_id] -= 1
        opened = self.opened.get(voucher, VoucherNotFound())
        if isinstance(opened, TesseraError):
            raise opened
        return voucher_service_pb2.OpenTicketTypesResponse(ticket_type_ids=opened)
