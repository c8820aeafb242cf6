"""Puts ticket_service together."""

import asyncio
from functools import partial

from tessera.ticket.v1 import (
    availability_pb2,
    availability_service_pb2_grpc,
    event_service_pb2_grpc,
    hold_service_pb2_grpc,
    quota_service_pb2_grpc,
    seat_map_service_pb2_grpc,
    ticket_service_pb2_grpc,
    venue_service_pb2_grpc,
    waitlist_service_pb2_grpc,
)

from kit import brokers, idempotency, outbox
from kit.broker import Broker
from kit.database import Database
from kit.rpc_server import Guard
from kit.service import Host, Service
from kit.user_keys import verifier
from kit.worker import Work
from ticket_service.admission.rpc import Tickets
from ticket_service.availability import operations as availability
from ticket_service.availability.hub import Hub
from ticket_service.availability.rpc import Availabilities, availability_proto
from ticket_service.catalog import operations as catalog
from ticket_service.catalog.rpc import Events
from ticket_service.holds import operations as holds
from ticket_service.holds.rpc import Holds
from ticket_service.quotas.rpc import Quotas
from ticket_service.seating.rpc import SeatMaps
from ticket_service.seating.seatings import Seatings
from ticket_service.settings import Settings
from ticket_service.stock.domain import CHANGED
from ticket_service.venues.rpc import Venues
from ticket_service.vouchers_client import VouchersClient
from ticket_service.waitlist import operations as waitlist
from ticket_service.waitlist.offers import Offers
from ticket_service.waitlist.rpc import Waitlist

ENDING_EVERY_S = 30
OPENING_EVERY_S = 1
RELAY_POLL_S = 2.0
CHANGES_POLL_S = 60
FORGETTING_EVERY_S = 3600


async def build(host: Host) -> Service:
    """The service's RPCs and its background work."""
    settings = Settings.read(host.environment)
    database = host.database
    broker = brokers.connect(settings.amqp_url, settings.database_url)
    seatings = Seatings()
    offers = Offers(seatings, settings.offer_lifetime)
    vouchers = VouchersClient(host.mesh)
    hub = Hub(partial(availability.look, database), availability_proto, settings.max_watchers)

    return Service(
        servicers=[
            (
                Availabilities(database, hub),
                availability_service_pb2_grpc.add_AvailabilityServiceServicer_to_server,
            ),
            (Events(database, offers), event_service_pb2_grpc.add_EventServiceServicer_to_server),
            (
                Holds(database, seatings, offers, vouchers, settings.hold_lifetime),
                hold_service_pb2_grpc.add_HoldServiceServicer_to_server,
            ),
            (Quotas(database, offers), quota_service_pb2_grpc.add_QuotaServiceServicer_to_server),
            (
                SeatMaps(database, seatings, offers),
                seat_map_service_pb2_grpc.add_SeatMapServiceServicer_to_server,
            ),
            (
                Tickets(database, seatings, offers),
                ticket_service_pb2_grpc.add_TicketServiceServicer_to_server,
            ),
            (Venues(database), venue_service_pb2_grpc.add_VenueServiceServicer_to_server),
            (
                Waitlist(database, offers),
                waitlist_service_pb2_grpc.add_WaitlistServiceServicer_to_server,
            ),
        ],
        guard=Guard(verifier(host.mesh)),
        workers=_workers(database, offers, hub, broker),
        on_stop=broker.close,
    )


def _workers(
    database: Database, offers: Offers, hub: Hub[availability_pb2.Availability], broker: Broker
) -> dict[str, Work]:
    """What the service does by itself, again and again."""

    async def notice_changes() -> None:
        await database.wait(CHANGED, CHANGES_POLL_S)
        hub.wake()

    async def expire_holds() -> None:
        await asyncio.sleep(await holds.expire_holds(database, offers))

    async def end_events() -> None:
        await catalog.end_events(database)
        await asyncio.sleep(ENDING_EVERY_S)

    async def open_lines() -> None:
        await waitlist.open_lines(database, offers)
        await asyncio.sleep(OPENING_EVERY_S)

    async def close_lines() -> None:
        await waitlist.close_lines(database)
        await asyncio.sleep(ENDING_EVERY_S)

    async def relay() -> None:
        if not await outbox.relay(database, broker):
            await database.wait(outbox.SIGNAL, RELAY_POLL_S)

    async def forget() -> None:
        async with database.begin() as tx:
            await idempotency.forget_old(tx)
        await asyncio.sleep(FORGETTING_EVERY_S)

    return {
        "notice_changes": notice_changes,
        "tell_watchers": hub.work,
        "expire_holds": expire_holds,
        "end_events": end_events,
        "open_lines": open_lines,
        "close_lines": close_lines,
        "relay": relay,
        "forget": forget,
    }
