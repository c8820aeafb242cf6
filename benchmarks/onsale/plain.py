"""What the shipped design is compared with: a transaction for each hold, an RPC for each request.

`python -m benchmarks.onsale.plain ticket_service|gateway` runs the shipped code of that part, less
the batching.
"""

import dataclasses
import sys
from datetime import timedelta

from google.protobuf.descriptor import MethodDescriptor
from granian import Granian
from granian.constants import Interfaces
from starlette.applications import Starlette
from tessera.rest.v1 import rest_pb2
from tessera.ticket.v1 import hold_pb2, hold_service_pb2

from gateway import app as gateway_app
from gateway import calls
from gateway.settings import Settings as GatewaySettings
from kit import service
from kit.database import Database
from kit.service import Host, Service
from kit.settings import Environment
from ticket_service import app
from ticket_service.holds import operations
from ticket_service.holds.rpc import Context, Holds, _asked, hold_proto
from ticket_service.seating.seatings import Seatings
from ticket_service.settings import Settings
from ticket_service.vouchers_client import VouchersClient
from ticket_service.waitlist.offers import Offers

_BACKLOG = 4096  # as the shipped gateway's, like the next
_MAX_CONNECTIONS = 16_384


class PlainHolds(Holds):
    """Holds, each in a transaction of its own."""

    def __init__(
        self,
        database: Database,
        seatings: Seatings,
        offers: Offers,
        vouchers: VouchersClient,
        lifetime: timedelta,
    ) -> None:
        super().__init__(database, seatings, offers, vouchers, lifetime)
        self._seatings = seatings
        self._lifetime = lifetime

    async def CreateHold(
        self, request: hold_service_pb2.CreateHoldRequest, _context: Context
    ) -> hold_pb2.Hold:
        (answer,) = await operations.create_holds(
            self._database, self._seatings, request.event_id, [_asked(request)], self._lifetime
        )
        if isinstance(answer, Exception):
            raise answer
        return hold_proto(answer.hold)


async def build(host: Host) -> Service:
    """ticket_service with plain holds."""
    shipped = await app.build(host)
    settings, seatings = Settings.read(host.environment), Seatings()
    offers = Offers(seatings, settings.offer_lifetime)
    vouchers = VouchersClient(host.mesh)
    plain = PlainHolds(host.database, seatings, offers, vouchers, settings.hold_lifetime)
    servicers = [
        (plain if isinstance(servicer, Holds) else servicer, add)
        for servicer, add in shipped.servicers
    ]
    return dataclasses.replace(shipped, servicers=servicers)


def create_gateway() -> Starlette:
    """The gateway's application, which makes each call by itself."""
    # There is no other way in: whether calls go together is the contract's, not a setting.
    calls.batch_of = _no_batch  # type: ignore[attr-defined, assignment]  # see above
    return gateway_app.create()


def _no_batch(_rpc: MethodDescriptor) -> rest_pb2.Batch:
    return rest_pb2.Batch()


def main() -> None:
    """Run one of the two until SIGTERM."""
    if sys.argv[1] == "ticket_service":
        service.main("ticket_service", build)
        return
    settings = GatewaySettings.load(Environment())
    Granian(
        "benchmarks.onsale.plain:create_gateway",
        factory=True,
        interface=Interfaces.ASGI,
        address=settings.host,
        port=settings.port,
        workers=settings.workers,
        websockets=False,
        backlog=_BACKLOG,
        backpressure=_MAX_CONNECTIONS,
        log_access=False,
    ).serve()


if __name__ == "__main__":
    main()
