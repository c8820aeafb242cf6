"""Server-streaming RPCs: guarded like any other, and ended by whichever side goes first."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import structlog
from tessera.ticket.v1 import (
    availability_pb2,
    availability_service_pb2,
    availability_service_pb2_grpc,
)

from deploy.local.environment import free_port
from kit import auth, rpc_client, rpc_server, telemetry
from kit.auth import TokenVerifier
from kit.errors import ResourceExhausted
from kit.rpc_client import Mesh
from kit.rpc_errors import RemoteError
from kit.rpc_server import Guard, Server
from kit.settings import Environment
from kit.tls import Identity
from tests.support.tokens import TokenIssuer


class TooMuch(ResourceExhausted):
    """This was too much."""


class Feed(availability_service_pb2_grpc.AvailabilityServiceServicer):
    """Answers what its name says, and knows what became of it."""

    def __init__(self) -> None:
        self.callers: list[auth.Caller] = []
        self.traces: list[tuple[str, str]] = []
        self.deadlines: list[float | None] = []
        self.ended = asyncio.Event()
        self.busy = asyncio.Event()
        self.go_on = asyncio.Event()

    async def GetAvailability(
        self,
        request: availability_service_pb2.GetAvailabilityRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> availability_pb2.Availability:
        self.busy.set()
        await self.go_on.wait()
        return availability_pb2.Availability(event_id=request.event_id)

    async def WatchAvailability(
        self,
        request: availability_service_pb2.WatchAvailabilityRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",
    ) -> AsyncGenerator[availability_pb2.Availability, None]:
        self.callers.append(auth.current())
        self.traces.append((telemetry.request_id.get(), telemetry.traceparent.get()))
        self.deadlines.append(rpc_client.deadline.get())
        try:
            for version in (1, 2):
                yield availability_pb2.Availability(seats_version=version)
            match request.event_id:
                case "refused":
                    raise TooMuch(metadata={"limit": "2"})
                case "broken":
                    raise KeyError("a secret")
                case "flood":
                    while True:
                        yield availability_pb2.Availability(event_id="x" * 2**20)
                case "endless":
                    await asyncio.Event().wait()
        finally:
            self.ended.set()


@dataclass
class Bench:
    server: Server
    mesh: Mesh
    issuer: TokenIssuer
    feed: Feed = field(default_factory=Feed)

    @property
    def stub(self) -> "availability_service_pb2_grpc.AvailabilityServiceAsyncStub":
        return availability_service_pb2_grpc.AvailabilityServiceStub(
            self.mesh.channel("ticket_service")
        )

    def watch(
        self, name: str, **options: Any
    ) -> "grpc.aio.UnaryStreamCall[Any, availability_pb2.Availability]":
        request = availability_service_pb2.WatchAvailabilityRequest(event_id=name)
        return self.stub.WatchAvailability(request, **options)


@asynccontextmanager
async def benches(tls_dir: Path) -> AsyncIterator[Bench]:
    issuer, address, feed = TokenIssuer(), f"127.0.0.1:{free_port()}", Feed()
    add = availability_service_pb2_grpc.add_AvailabilityServiceServicer_to_server
    server = Server(
        Identity.load(tls_dir, "ticket_service"),
        Guard(TokenVerifier(issuer.keys)),
        [(feed, add)],
    )
    await server.start(address)
    mesh = Mesh(
        Environment({"TESSERA_TICKET_SERVICE_ADDRESS": address}), Identity.load(tls_dir, "gateway")
    )
    yield Bench(server, mesh, issuer, feed)
    await mesh.close()
    await server.stop(0)


@pytest.fixture
async def bench(tls_dir: Path) -> AsyncIterator[Bench]:
    async with benches(tls_dir) as bench:
        yield bench


async def versions(call: "grpc.aio.UnaryStreamCall[Any, Any]") -> list[int]:
    return [message.seats_version async for message in call]


async def test_a_stream_brings_its_messages_in_order_and_ends(bench: Bench) -> None:
    assert await versions(bench.watch("short")) == [1, 2]
    assert bench.feed.ended.is_set()


async def test_a_stream_knows_who_calls(bench: Bench) -> None:
    metadata = bench.issuer.metadata("org_1", user_id="usr_1")
    await versions(bench.watch("short", metadata=metadata))
    assert [(caller.service, caller.name) for caller in bench.feed.callers] == [
        ("gateway", "usr_1")
    ]


async def test_a_stream_carries_the_request_and_trace_that_it_belongs_to(bench: Bench) -> None:
    telemetry.request_id.set("req_1")
    telemetry.traceparent.set(trace := telemetry.new_traceparent())
    await versions(bench.watch("short"))
    assert bench.feed.traces == [("req_1", trace)]


async def test_an_error_after_some_messages_reaches_the_client_as_data(bench: Bench) -> None:
    seen: list[int] = []

    async def read() -> None:
        async for message in bench.watch("refused"):
            seen.append(message.seats_version)  # noqa: PERF401  # all that came before the error

    with pytest.raises(RemoteError) as caught:
        await read()
    assert seen == [1, 2]
    error = caught.value
    assert (error.code, error.reason) == ("RESOURCE_EXHAUSTED", "TOO_MUCH")
    assert (error.message, error.metadata) == ("This was too much.", {"limit": "2"})


async def test_an_unplanned_exception_of_a_stream_is_logged_and_never_leaves(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(RemoteError) as caught:
        await versions(bench.watch("broken"))
    assert caught.value.reason == "INTERNAL"
    assert "secret" not in caught.value.message
    assert [entry["event"] for entry in logs] == ["rpc failed"]


async def test_a_stream_is_refused_before_it_begins(bench: Bench) -> None:
    with pytest.raises(RemoteError) as caught:
        await versions(bench.watch(""))
    assert caught.value.reason == "INVALID_REQUEST"
    with pytest.raises(RemoteError) as caught:
        await versions(bench.watch("short", metadata=(("authorization", "Bearer forged"),)))
    assert caught.value.reason == "INVALID_TOKEN"
    assert not bench.feed.callers


async def test_a_stream_to_nowhere_is_unavailable(bench: Bench) -> None:
    await bench.server.stop(0)
    with pytest.raises(RemoteError) as caught:
        await versions(bench.watch("short"))
    assert caught.value.reason == "UNAVAILABLE"


async def test_a_stream_has_no_deadline_but_the_one_it_is_given(bench: Bench) -> None:
    await versions(bench.watch("short"))
    assert bench.feed.deadlines == [None]
    with pytest.raises(RemoteError) as caught:
        await versions(bench.watch("endless", timeout=0.2))
    assert caught.value.reason == "DEADLINE_EXCEEDED"
    assert bench.feed.deadlines[1] is not None


async def test_a_cancelled_stream_ends_at_the_server(bench: Bench) -> None:
    call = bench.watch("endless")
    await call.read()
    call.cancel()
    await asyncio.wait_for(bench.feed.ended.wait(), 10)


async def test_a_stream_whose_reader_is_cancelled_ends_at_the_server(bench: Bench) -> None:
    reader = asyncio.create_task(versions(bench.watch("endless")))
    while not bench.feed.callers:
        await asyncio.sleep(0.01)
    reader.cancel()
    await asyncio.wait_for(bench.feed.ended.wait(), 10)


async def test_a_stop_ends_streams_at_once_and_says_why(bench: Bench) -> None:
    call = bench.watch("endless")
    await call.read()
    async with asyncio.timeout(30):
        await bench.server.stop(60)
    assert bench.feed.ended.is_set()
    with pytest.raises(RemoteError) as caught:
        await versions(call)
    assert (caught.value.code, caught.value.reason) == ("UNAVAILABLE", "SERVER_STOPPING")


async def test_a_stop_does_not_wait_for_a_client_that_does_not_read(bench: Bench) -> None:
    call = bench.watch("flood")
    await call.read()
    async with asyncio.timeout(30):
        await bench.server.stop(60)
    assert bench.feed.ended.is_set()
    call.cancel()


async def test_a_stop_lets_the_running_calls_finish_beside_a_stalled_stream(bench: Bench) -> None:
    stalled = bench.watch("flood")
    await stalled.read()
    request = availability_service_pb2.GetAvailabilityRequest(event_id="evt_1")
    call = asyncio.ensure_future(bench.stub.GetAvailability(request))
    await bench.feed.busy.wait()
    stopping = asyncio.create_task(bench.server.stop(60))
    await bench.feed.ended.wait()
    done, _ = await asyncio.wait([call, stopping], timeout=1.5)
    assert not done
    bench.feed.go_on.set()
    assert (await call).event_id == "evt_1"
    async with asyncio.timeout(30):
        await stopping
    stalled.cancel()


def test_a_server_bears_the_pings_that_keep_a_quiet_stream_alive() -> None:
    borne_ms = dict(rpc_server.OPTIONS)["grpc.http2.min_ping_interval_without_data_ms"]
    assert borne_ms < dict(rpc_client.OPTIONS)["grpc.keepalive_time_ms"]
