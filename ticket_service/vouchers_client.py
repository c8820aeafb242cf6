"""What ticket_service asks of payment_service."""

import asyncio
from collections.abc import Sequence

from tessera.payment.v1 import voucher_service_pb2, voucher_service_pb2_grpc

from kit.batching import Batcher
from kit.errors import Unavailable
from kit.rpc_client import Mesh

MAX_AT_ONCE = 20  # calls; there are as many vouchers as people make up
MAX_WAITING = 5000  # for the same voucher
PATIENCE_S = 3.0

_Voucher = tuple[str, str]  # for which event, and its code


class VouchersUnavailable(Unavailable):
    """Vouchers cannot be checked right now; try again shortly."""


class VouchersClient:
    """Calls to payment_service; its refusals arrive as RemoteError."""

    def __init__(self, mesh: Mesh, *, patience_s: float = PATIENCE_S) -> None:
        channel = mesh.channel("payment_service")
        self._vouchers = voucher_service_pb2_grpc.VoucherServiceStub(channel)
        self._patience_s = patience_s
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        # A presale's crowd comes at the same moment with the same code: one call for all of them.
        self._opening: Batcher[_Voucher, None, frozenset[str]] = Batcher(
            self._open, max_batch=MAX_WAITING, max_waiting=MAX_WAITING, max_wait_s=patience_s
        )

    async def opened(self, event_id: str, code: str) -> frozenset[str]:
        """The ids of the event's hidden ticket types that a voucher opens.

        Raises:
            RemoteError: VOUCHER_NOT_FOUND, VOUCHER_EXHAUSTED, or nobody could be asked.
            VouchersUnavailable, TooManyWaiting: there was no answer in time.
        """
        return await self._opening.submit((event_id, code), None)

    async def _open(self, voucher: _Voucher, asked: Sequence[None]) -> list[frozenset[str]]:
        event_id, code = voucher
        request = voucher_service_pb2.OpenTicketTypesRequest(event_id=event_id, code=code)
        try:
            async with asyncio.timeout(self._patience_s), self._turns:
                answer = await self._vouchers.OpenTicketTypes(request)
        except TimeoutError:
            raise VouchersUnavailable from None
        return [frozenset(answer.ticket_type_ids)] * len(asked)
