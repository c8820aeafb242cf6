"""People who watch what remains of an event: through the gateway, or directly over gRPC."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import grpc.aio
from tessera.ticket.v1 import availability_service_pb2, availability_service_pb2_grpc

from benchmarks.http_client import encode
from benchmarks.mesh import BenchmarkFailed, Mesh
from kit.auth import GATEWAY
from kit.tls import Identity

_TOLD_WITHIN_S = 60
_LOOK_S = 0.05
_STREAMS_PER_CHANNEL = 100
_MESSAGE = b"\ndata:"


class Crowd:
    """How often each watcher has been told something, and why some were sent away."""

    def __init__(self, count: int) -> None:
        self.told = [0] * count
        self.gone: Counter[str] = Counter()

    async def all_told(self, times: int) -> None:
        """Return when each has been told so many times. Raises BenchmarkFailed."""
        try:
            async with asyncio.timeout(_TOLD_WITHIN_S):
                while min(self.told) < times:
                    if self.gone:
                        raise BenchmarkFailed(f"Watchers were sent away: {dict(self.gone)}.")
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            behind = sum(1 for told in self.told if told < times)
            raise BenchmarkFailed(f"{behind} watchers were not told {times} times.") from None


@asynccontextmanager
async def through_the_gateway(mesh: Mesh, event_id: str, count: int) -> AsyncIterator[Crowd]:
    """Watchers with a connection each, who read Server-Sent Events."""
    crowd, address = Crowd(count), urlsplit(mesh.url)
    assert address.hostname
    assert address.port
    path = f"/v1/events/{event_id}/availability:watch"
    request = encode("GET", path, headers={"Accept": "text/event-stream"})
    loop = asyncio.get_running_loop()
    readers = [_Reader(crowd, number, request) for number in range(count)]
    transports: list[asyncio.Transport] = []
    try:
        for reader in readers:
            transport, _ = await loop.create_connection(
                lambda reader=reader: reader,  # type: ignore[misc]  # a lambda has no annotations
                address.hostname,
                address.port,
            )
            transports.append(transport)
        await crowd.all_told(1)
        yield crowd
    finally:
        for transport in transports:
            transport.abort()


class _Reader(asyncio.Protocol):
    """Counts the messages of one stream."""

    def __init__(self, crowd: Crowd, number: int, request: bytes) -> None:
        self._crowd = crowd
        self._number = number
        self._request = request
        self._is_good = False
        self._end = b""  # of what came before: a line may arrive in pieces

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._end + data
        self._is_good = self._is_good or data.startswith(b"HTTP/1.1 200")
        if self._is_good:
            self._crowd.told[self._number] += data.count(_MESSAGE)
            self._end = data[1 - len(_MESSAGE) :]

    def connection_lost(self, _exc: Exception | None) -> None:
        self._crowd.gone["the stream ended" if self._is_good else "refused"] += 1


@asynccontextmanager
async def over_grpc(mesh: Mesh, event_id: str, count: int) -> AsyncIterator[Crowd]:
    """Watchers with a stream each, as the gateway or another service has."""
    crowd = Crowd(count)
    settings = mesh.settings("ticket_service")
    identity = Identity.load(Path(settings["TLS_DIR"]), GATEWAY)
    options = [
        ("grpc.ssl_target_name_override", "ticket_service"),
        ("grpc.use_local_subchannel_pool", 1),  # a connection for each channel
    ]
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.secure_channel(
                    settings["TICKET_SERVICE_ADDRESS"],
                    identity.channel_credentials(),
                    options=options,
                )
            )
            for _ in range(-(-count // _STREAMS_PER_CHANNEL))
        ]
        tasks = [
            asyncio.create_task(_watch(channels[number % len(channels)], event_id, crowd, number))
            for number in range(count)
        ]
        stack.push_async_callback(_cancel, tasks)
        await crowd.all_told(1)
        yield crowd


async def _watch(channel: grpc.aio.Channel, event_id: str, crowd: Crowd, number: int) -> None:
    service = availability_service_pb2_grpc.AvailabilityServiceStub(channel)
    request = availability_service_pb2.WatchAvailabilityRequest(event_id=event_id)
    try:
        async for _ in service.WatchAvailability(request):
            crowd.told[number] += 1
    except grpc.aio.AioRpcError as error:
        crowd.gone[error.details() or error.code().name] += 1
    else:
        crowd.gone["the stream ended"] += 1


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
