"""The gateway behind its real server, inside a process and as a process of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import httpx
import pytest
from google.protobuf.message import Message
from granian.constants import Interfaces
from granian.server.embed import Server
from tessera.ticket.v1 import availability_pb2, event_pb2, event_service_pb2, seat_map_pb2

from deploy.local.environment import SERVICES, free_port
from gateway.streams import MAX_UNREAD
from kit.tls import Identity
from tests.unit.gateway.support import Services, World, assert_problem

ROOT = Path(__file__).parents[3]
WATCH = "/v1/events/evt_1/availability:watch"


@asynccontextmanager
async def _served(gateway: World) -> AsyncIterator[tuple[httpx.AsyncClient, Callable[[], None]]]:
    port = free_port()
    server = Server(gateway.app, port=port, interface=Interfaces.ASGI, log_enabled=False)
    stop: Callable[[], None] = server.stop
    serving = asyncio.create_task(server.serve())
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        await _answering(client)
        yield client, stop
    stop()
    await serving


async def _answering(client: httpx.AsyncClient) -> None:
    """Wait until the server listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                await client.get("/healthz")
            except httpx.TransportError:
                await asyncio.sleep(0.02)
            else:
                return


async def test_requests_at_the_same_time_do_not_mix(gateway: World) -> None:
    async def echo(request: event_service_pb2.GetEventRequest) -> Message:
        return event_pb2.Event(id=request.event_id)

    gateway.services.answers["GetEvent"] = echo
    async with _served(gateway) as (client, _stop):
        answers = await asyncio.gather(
            *(
                client.get(f"/v1/events/evt_{n}", headers={"X-Request-Id": f"request-{n}"})
                for n in range(50)
            )
        )
    for n, answer in enumerate(answers):
        assert answer.json()["id"] == f"evt_{n}"
        assert answer.headers["x-request-id"] == f"request-{n}"
    seen = {(c.request.event_id, c.metadata["x-request-id"]) for c in gateway.services.calls}
    assert seen == {(f"evt_{n}", f"request-{n}") for n in range(50)}


async def test_limits_hold_on_a_socket(gateway: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    async with _served(gateway) as (client, _stop):
        json_headers = {"Content-Type": "application/json"}
        for content in (b" " * 2**21, chunks()):
            answer = await client.post("/v1/holds", content=content, headers=json_headers)
            assert_problem(answer, 413, "BODY_TOO_LARGE")
        assert_problem(await client.get("/v1/events/%00"), 400, "INVALID_REQUEST")
        assert_problem(await client.get("/v1/events/x?query=" + "x" * 9000), 414, "URI_TOO_LONG")
        head = await client.head("/v1/events")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) > 0


async def test_a_refused_body_does_not_cost_the_connection(gateway: World) -> None:
    async with _served(gateway) as (client, _stop):
        for size in (10, 100_000, 1_000_000) * 5:
            answer = await client.post("/v1/events", content=b" " * size)
            assert_problem(answer, 401, "TOKEN_MISSING")


async def test_a_client_that_hangs_up_cancels_its_read(gateway: World) -> None:
    at_work = asyncio.Event()

    async def never(_request: Message) -> Message:
        at_work.set()
        await asyncio.Event().wait()
        return event_pb2.Event()

    gateway.services.answers["GetEvent"] = never
    async with _served(gateway) as (client, _stop):
        request = asyncio.create_task(client.get("/v1/events/evt_1"))
        await at_work.wait()
        request.cancel()
        async with asyncio.timeout(30):
            await gateway.services.cancelled.wait()


async def test_a_stop_lets_the_requests_at_work_finish(gateway: World) -> None:
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Message) -> Message:
        at_work.set()
        await may_end.wait()
        return event_pb2.Event(id="evt_1")

    gateway.services.answers["GetEvent"] = slow
    async with _served(gateway) as (client, stop):
        request = asyncio.create_task(client.get("/v1/events/evt_1"))
        await at_work.wait()
        stop()
        may_end.set()
        assert (await request).json()["id"] == "evt_1"


async def _availability(_request: Message) -> AsyncIterator[Message]:
    """A stream that goes on without a word after its first message."""
    yield availability_pb2.Availability(event_id="evt_1")
    await asyncio.Event().wait()


async def _end(lines: AsyncIterator[str]) -> None:
    """Return when the stream has ended."""
    async with asyncio.timeout(30):
        async for _ in lines:
            pass


async def test_a_watcher_who_hangs_up_is_noticed(gateway: World) -> None:
    gateway.services.streams["WatchAvailability"] = _availability
    async with _served(gateway) as (client, _stop):
        async with client.stream("GET", WATCH) as answer:
            assert await anext(answer.aiter_lines()) == "retry: 2000"
            assert gateway.services.open_streams == 1
        async with asyncio.timeout(30):
            while gateway.services.open_streams:
                await asyncio.sleep(0.01)


async def test_a_stop_does_not_wait_for_who_watches(gateway: World) -> None:
    gateway.services.streams["WatchAvailability"] = _availability
    async with _served(gateway) as (client, stop), client.stream("GET", WATCH) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "retry: 2000"
        gateway.app.end_streams()
        stop()
        await _end(lines)


async def test_who_does_not_read_is_dropped_on_a_socket(gateway: World) -> None:
    """The server's and the kernel's buffers fill first; then the gateway buffers no further."""
    told = 0

    async def chatter(_request: Message) -> AsyncIterator[Message]:
        nonlocal told
        many = [seat_map_pb2.SeatChange(position=seat, state="H") for seat in range(20_000)]
        while True:
            yield availability_pb2.Availability(changed_seats=many)
            told += 1

    gateway.services.streams["WatchAvailability"] = chatter
    async with _served(gateway) as (client, _stop):
        port = client.base_url.port
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(f"GET {WATCH} HTTP/1.1\r\nHost: gateway\r\n\r\n".encode())
        await reader.readline()
        async with asyncio.timeout(30):
            while gateway.services.open_streams:
                await asyncio.sleep(0.01)
        assert told > MAX_UNREAD
        writer.close()


@asynccontextmanager
async def _process(
    services: Services, tls_dir: Path, **settings: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m gateway`, and the services behind it, with the mesh's certificates."""
    environment = {**os.environ, "TESSERA_TLS_DIR": str(tls_dir), **settings}
    servers = []
    for name in SERVICES:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((services,))
        credentials = Identity.load(tls_dir, name).server_credentials()
        port = server.add_secure_port("127.0.0.1:0", credentials)
        environment[f"TESSERA_{name.upper()}_ADDRESS"] = f"127.0.0.1:{port}"
        await server.start()
        servers.append(server)
    port = free_port()
    environment["TESSERA_HTTP_PORT"] = str(port)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", cwd=ROOT, env=environment
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for server in servers:
            await server.stop(None)


async def test_a_process_of_its_own_serves_and_stops_gracefully(tls_dir: Path) -> None:
    at_work, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_request: Message) -> Message:
        at_work.set()
        await may_end.wait()
        return event_pb2.Event(id="evt_1")

    services = Services(answers={"GetEvent": slow})
    async with _process(services, tls_dir) as (process, address):
        async with httpx.AsyncClient(base_url=address, timeout=30) as client:
            await _answering(client)
            assert (await client.get("/readyz")).status_code == 200
            request = asyncio.create_task(client.get("/v1/events/evt_1"))
            await at_work.wait()
            process.send_signal(signal.SIGTERM)
            may_end.set()
            assert (await request).json()["id"] == "evt_1"
        async with asyncio.timeout(30):
            assert await process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_process_that_is_told_to_stop_ends_its_streams(
    tls_dir: Path, number: signal.Signals
) -> None:
    services = Services(streams={"WatchAvailability": _availability})
    patience = {"TESSERA_CALL_TIMEOUT_SECONDS": "60"}  # what does not end by itself ends after that
    async with (
        _process(services, tls_dir, **patience) as (process, address),
        httpx.AsyncClient(base_url=address, timeout=30) as client,
    ):
        await _answering(client)
        async with client.stream("GET", WATCH) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            process.send_signal(number)
            await _end(lines)
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_a_broken_setting_is_one_sentence() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        cwd=ROOT,
        env={**os.environ, "TESSERA_HTTP_PORT": "http"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await process.communicate()
    assert process.returncode == 1
    assert error.decode().strip() == (
        "TESSERA_HTTP_PORT is 'http': it takes a whole number from 0 to 65535."
    )
