"""What remains of an event: asked once, and watched while it changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
from tessera.ticket.v1 import (
    availability_pb2,
    availability_service_pb2,
    availability_service_pb2_grpc,
    event_pb2,
    event_service_pb2,
    hold_service_pb2,
)

from deploy.local.environment import free_port
from kit.auth import TokenVerifier
from kit.database import Database, service_url
from kit.rpc_client import Mesh
from kit.rpc_server import Guard, Server
from kit.settings import Environment
from kit.tls import Identity
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    TicketApi,
    eventually,
    hold,
    outcome,
    quota,
    refused,
)
from tests.support.databases import close_database
from tests.support.services import running_services
from tests.support.tokens import Metadata
from ticket_service.app import build
from ticket_service.availability import domain, operations
from ticket_service.availability.domain import MAX_CHANGED_SEATS
from ticket_service.availability.hub import Hub
from ticket_service.availability.rpc import Availabilities, availability_proto
from ticket_service.catalog.domain import EventState

Availability = availability_pb2.Availability
Known = Mapping[str, domain.Availability | None]
Watch = grpc.aio.UnaryStreamCall[Any, Availability]

LONG_S = 20


async def ask(api: TicketApi, event_id: str, *, metadata: Metadata | None = None) -> Availability:
    request = availability_service_pb2.GetAvailabilityRequest(event_id=event_id)
    return await api.availability.GetAvailability(request, metadata=metadata)


def watch(api: TicketApi, event_id: str, *, metadata: Metadata | None = None) -> Watch:
    request = availability_service_pb2.WatchAvailabilityRequest(event_id=event_id)
    return api.availability.WatchAvailability(request, metadata=metadata)


async def read(call: Watch) -> Availability:
    """The next message."""
    async with asyncio.timeout(LONG_S):
        return await anext(aiter(call))


async def read_until(call: Watch, condition: Callable[[Availability], bool]) -> Availability:
    """The first message for which the condition holds."""
    while not condition(message := await read(call)):
        pass
    return message


def remaining(found: Availability) -> list[int]:
    return [ticket_type.remaining for ticket_type in found.ticket_types]


def has(*numbers: int) -> Callable[[Availability], bool]:
    return lambda message: remaining(message) == list(numbers)


@asynccontextmanager
async def replica(database_url: str, tls_dir: Path, **variables: str) -> AsyncIterator[TicketApi]:
    """One more ticket_service, whose public API this is."""
    settings = {
        "TESSERA_DATABASE_URL": database_url,
        "TESSERA_USER_SERVICE_ADDRESS": f"127.0.0.1:{free_port()}",
        **variables,
    }
    async with running_services({"ticket_service": build}, settings, tls_dir) as mesh:
        client = Mesh(Environment(mesh.variables), Identity.load(tls_dir, "gateway"))
        yield TicketApi(client.channel("ticket_service"))
    await client.close()  # after the service, so that a test sees what its stop does to clients


@asynccontextmanager
async def serving(servicer: Availabilities, shop: Shop, tls_dir: Path) -> AsyncIterator[TicketApi]:
    """The public API of a server with this servicer only."""
    address = f"127.0.0.1:{free_port()}"
    add = availability_service_pb2_grpc.add_AvailabilityServiceServicer_to_server
    guard = Guard(TokenVerifier(shop.issuer.keys))
    server = Server(Identity.load(tls_dir, "ticket_service"), guard, [(servicer, add)])
    await server.start(address)
    environment = Environment({"TESSERA_TICKET_SERVICE_ADDRESS": address})
    client = Mesh(environment, Identity.load(tls_dir, "gateway"))
    yield TicketApi(client.channel("ticket_service"))
    await client.close()
    await server.stop(0)


async def unpublish(shop: Shop, by: Organizer, event_id: str) -> None:
    request = event_service_pb2.UnpublishEventRequest(event_id=event_id)
    await shop.public.events.UnpublishEvent(request, metadata=by.admin)


async def test_a_watcher_sees_the_state_and_then_what_is_held_and_released(
    shop: Shop, organizer: Organizer
) -> None:
    event = await shop.on_sale(organizer, {"total_stock": 10}, {"total_stock": 5})
    call = watch(shop.public, event.id)
    state = await read(call)
    assert state == Availability(
        event_id=event.id,
        event_state=event_pb2.EVENT_STATE_PUBLISHED,
        ticket_types=[
            availability_pb2.TicketTypeAvailability(
                ticket_type_id=found.id, remaining=found.total_stock
            )
            for found in event.ticket_types
        ],
    )
    assert await ask(shop.public, event.id) == state
    held = await shop.hold(event, 2, 1)
    assert await read_until(call, has(8, 4)) == await ask(shop.public, event.id)
    await shop.release(held.id)
    assert await read_until(call, has(10, 5)) == state
    call.cancel()


async def test_a_watcher_sees_a_hold_that_was_made_through_another_replica(
    shop: Shop, organizer: Organizer
) -> None:
    event = await shop.on_sale(organizer)
    call = watch(shop.public, event.id)
    assert remaining(await read(call)) == [10]
    await shop.twin.holds.CreateHold(hold(event, 3))
    assert remaining(await read(call)) == [7]
    call.cancel()


async def test_what_remains_is_the_least_of_the_stock_and_of_every_quota(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    for stock in (10, 100, 100):
        await shop.add_type(organizer, draft.id, total_stock=stock)
    event = await shop.publish(organizer, draft.id)
    call = watch(shop.public, event.id)
    assert remaining(await read(call)) == [10, 100, 100]
    early, regular, _ = event.ticket_types
    for request in (quota(30, early, regular), quota(20, regular)):
        await shop.public.quotas.CreateQuota(request, metadata=organizer.admin)
    await read_until(call, has(10, 20, 100))
    await shop.hold(event, 5, 10)
    await read_until(call, has(5, 10, 100))
    await shop.hold(event, 0, 10)
    assert await read_until(call, has(5, 0, 100)) == await ask(shop.public, event.id)
    call.cancel()


async def test_a_watcher_sees_that_the_event_is_cancelled(shop: Shop, organizer: Organizer) -> None:
    event = await shop.on_sale(organizer)
    call = watch(shop.public, event.id)
    await read(call)
    await shop.cancel(organizer, event.id)
    cancelled = event_pb2.EVENT_STATE_CANCELLED
    await read_until(call, lambda message: message.event_state == cancelled)
    call.cancel()


async def test_a_draft_is_there_for_its_admins_only(shop: Shop, organizer: Organizer) -> None:
    draft, stranger = await shop.draft(organizer), shop.organizer()
    for metadata in (None, stranger.admin):
        with refused("EVENT_NOT_FOUND"):
            await ask(shop.public, draft.id, metadata=metadata)
        with refused("EVENT_NOT_FOUND"):
            await read(watch(shop.public, draft.id, metadata=metadata))
    call = watch(shop.public, draft.id, metadata=organizer.admin)
    assert await read(call) == Availability(
        event_id=draft.id, event_state=event_pb2.EVENT_STATE_DRAFT
    )
    with refused("EVENT_NOT_FOUND"):  # also while an admin watches it
        await read(watch(shop.public, draft.id))
    call.cancel()


async def test_an_event_that_does_not_exist_is_not_found(shop: Shop) -> None:
    with refused("EVENT_NOT_FOUND"):
        await ask(shop.public, "evt_nowhere")
    with refused("EVENT_NOT_FOUND"):
        await read(watch(shop.public, "evt_nowhere"))


async def test_an_event_that_is_unpublished_ends_the_streams_of_the_public(
    shop: Shop, organizer: Organizer
) -> None:
    event = await shop.on_sale(organizer)
    public = watch(shop.public, event.id)
    admin = watch(shop.public, event.id, metadata=organizer.admin)
    await read(public)
    await read(admin)
    await unpublish(shop, organizer, event.id)
    with refused("EVENT_NOT_FOUND"):
        await read(public)
    assert (await read(admin)).event_state == event_pb2.EVENT_STATE_DRAFT
    admin.cancel()


async def test_a_deleted_draft_ends_the_streams_of_its_admins(
    shop: Shop, organizer: Organizer
) -> None:
    draft = await shop.draft(organizer)
    call = watch(shop.public, draft.id, metadata=organizer.admin)
    await read(call)
    request = event_service_pb2.DeleteEventRequest(event_id=draft.id)
    await shop.public.events.DeleteEvent(request, metadata=organizer.admin)
    with refused("EVENT_NOT_FOUND"):
        await read(call)


async def test_a_watcher_sees_which_seats_changed_and_from_which_version(
    shop: Shop, organizer: Organizer
) -> None:
    event = await shop.on_sale(organizer)
    (ticket_type,) = event.ticket_types
    await shop.seat(ticket_type)
    call = watch(shop.public, event.id)
    state = await read(call)
    assert (state.previous_seats_version, state.seats_version) == (1, 1)
    assert not state.changed_seats
    item = hold_service_pb2.CreateHoldItem(
        ticket_type_id=ticket_type.id, seat_ids=[f"{ticket_type.id}{n}" for n in (4, 5)]
    )
    request = hold_service_pb2.CreateHoldRequest(event_id=event.id, items=[item])
    held = await shop.twin.holds.CreateHold(request)
    message = await read(call)
    assert (message.previous_seats_version, message.seats_version) == (1, 2)
    assert [(seat.position, seat.state) for seat in message.changed_seats] == [(4, "H"), (5, "H")]
    assert remaining(message) == [8]
    await shop.issue(held.id)
    message = await read(call)
    assert (message.previous_seats_version, message.seats_version) == (2, 3)
    assert [(seat.position, seat.state) for seat in message.changed_seats] == [(4, "S"), (5, "S")]
    assert (await ask(shop.public, event.id)).previous_seats_version == 3
    call.cancel()


async def test_many_changed_seats_are_asked_for_instead(shop: Shop, organizer: Organizer) -> None:
    events = [
        await shop.on_sale(organizer, {"total_stock": seats})
        for seats in (MAX_CHANGED_SEATS, MAX_CHANGED_SEATS + 1)
    ]
    for event in events:
        await shop.seat(event.ticket_types[0])
    ids = [event.id for event in events]
    before = await operations.look(shop.database, dict.fromkeys(ids))
    for table in ("event_seats", "seat_maps"):
        await shop.execute(f"UPDATE {table} SET version = 2 WHERE event_id = ANY(:ids)", ids=ids)
    known = {event_id: update.now for event_id, update in before.items()}
    found = [(await operations.look(shop.database, known))[event_id] for event_id in ids]
    assert [update.seats_version for update in found] == [2, 2]
    assert [update.previous_seats_version for update in found] == [1, 2]
    assert [len(update.changed_seats) for update in found] == [MAX_CHANGED_SEATS, 0]


async def test_an_event_that_is_seated_anew_starts_over(shop: Shop, organizer: Organizer) -> None:
    event = await shop.on_sale(organizer)
    call = watch(shop.public, event.id)
    assert (await read(call)).seats_version == 0
    await shop.seat(event.ticket_types[0])
    message = await read_until(call, lambda message: message.seats_version == 1)
    assert (message.previous_seats_version, list(message.changed_seats)) == (0, [])
    await shop.execute(
        "UPDATE seat_maps SET created_at = created_at + interval '1 s', version = 5"
        " WHERE event_id = :id",
        id=event.id,
    )
    message = await read(call)
    assert (message.previous_seats_version, message.seats_version) == (0, 5)
    call.cancel()


async def test_who_does_not_read_is_dropped_and_the_others_go_on(shop: Shop, tls_dir: Path) -> None:
    stock = {"a very long id" * 10_000: 1000}  # so that it does not fit into buffers for long

    async def look(known: Known) -> dict[str, domain.Update]:
        state = domain.Availability("evt_1", "org_1", EventState.PUBLISHED, dict(stock), None)
        return {event_id: domain.update(before, state) for event_id, before in known.items()}

    hub = Hub(look, availability_proto, 10)
    async with serving(Availabilities(shop.database, hub), shop, tls_dir) as api:
        slow, quick = watch(api, "evt_1"), watch(api, "evt_1")
        reading = [asyncio.create_task(read(call)) for call in (slow, quick)]
        while not all(each.done() for each in reading):
            await hub.tell_changes()
            await asyncio.sleep(0.01)
        told = 2
        while told == 2:
            stock = {key: left - 1 for key, left in stock.items()}
            told = await hub.tell_changes()
            assert remaining(await read(quick)) == list(stock.values())
        assert told == 1
        with refused("TOO_SLOW"):
            await read_until(slow, has(0))
        quick.cancel()


async def test_more_watchers_than_are_set_are_refused_until_some_leave(
    shop: Shop, organizer: Organizer, tls_dir: Path
) -> None:
    event = await shop.on_sale(organizer)
    async with replica(shop.database_url, tls_dir, TESSERA_MAX_WATCHERS="2") as api:
        first, second = watch(api, event.id), watch(api, event.id)
        await read(first)
        await read(second)
        with refused("TOO_MANY_WATCHERS"):
            await read(watch(api, event.id))
        first.cancel()

        async def is_admitted() -> bool:
            call = watch(api, event.id)
            admitted = await outcome(read(call)) == "OK"
            call.cancel()
            return admitted

        await eventually(is_admitted)
        assert remaining(await ask(api, event.id)) == [10]  # which is no watching
        second.cancel()


async def test_a_replica_that_stops_sends_its_watchers_away(
    shop: Shop, organizer: Organizer, tls_dir: Path
) -> None:
    event = await shop.on_sale(organizer)
    async with asyncio.timeout(LONG_S), replica(shop.database_url, tls_dir) as api:
        calls = [watch(api, event.id) for _ in range(20)]
        for call in calls:
            await read(call)
        leaving = [asyncio.create_task(outcome(read(call))) for call in calls]
    assert [await each for each in leaving] == ["SERVER_STOPPING"] * 20


async def test_streams_outlast_a_database_that_is_away(
    shop: Shop, organizer: Organizer, postgres_url: str, tls_dir: Path
) -> None:
    users = f"127.0.0.1:{free_port()}"
    async with (
        shop.issuer.serving(users, tls_dir),
        replica(postgres_url, tls_dir, TESSERA_USER_SERVICE_ADDRESS=users) as api,
        own_database(postgres_url) as database,
    ):
        here = Shop(api, api, api, api, shop.issuer, shop.vouchers, database, postgres_url)
        event, other = await here.on_sale(organizer), await here.on_sale(organizer)
        call = watch(api, event.id)
        assert remaining(await read(call)) == [10]
        await close_database(service_url(postgres_url, "ticket"))
        with refused("DATABASE_UNAVAILABLE"):
            await read(watch(api, other.id))
        await close_database(service_url(postgres_url, "ticket"), closed=False)

        async def is_held() -> bool:
            return await outcome(here.hold(event)) == "OK"

        await eventually(is_held)
        assert remaining(await read(call)) == [9]
        call.cancel()


@asynccontextmanager
async def own_database(url: str) -> AsyncIterator[Database]:
    database = Database(service_url(url, "ticket"))
    yield database
    await database.close()
