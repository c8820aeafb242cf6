"""What carries the Stripe SDK's calls: whatever breaks, the SDK hears of a lost connection."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import stripe

from deploy.local.environment import free_port
from payment_service.payments.stripe_http import StripeHttp

ANSWER = (
    b"HTTP/1.1 402 Payment Required\r\nRequest-Id: req_1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
HEADERS = {"Idempotency-Key": "pay_1-0"}

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[str]:
    """The address of a server that does this with each connection."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(EOFError):  # the client hung up
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/refunds"


@asynccontextmanager
async def client(timeout_s: float = 10) -> AsyncIterator[StripeHttp]:
    http = StripeHttp(timeout_s)
    try:
        yield http
    finally:
        await http.close_async()


async def test_an_answer_is_passed_on_and_its_connection_used_again() -> None:
    heads: list[bytes] = []
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(len("amount=5"))
            heads.append(head)
            writer.write(ANSWER)

    async with client() as http, served(serve) as url:
        for _ in range(2):
            body, status, headers = await http.request_async("post", url, HEADERS, "amount=5")
            assert (body, status, headers["request-id"]) == (b"{}", 402, "req_1")

        assert connections == 1
        assert all(b"Idempotency-Key: pay_1-0" in head for head in heads)


async def test_nobody_listens() -> None:
    async with client() as http:
        with pytest.raises(stripe.APIConnectionError) as caught:
            await http.request_async("get", f"http://127.0.0.1:{free_port()}/", HEADERS)
    assert caught.value.should_retry


async def test_a_connection_breaks_before_the_answer_and_within_it() -> None:
    for said in (b"", ANSWER[:20], ANSWER[:-1]):

        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, said: bytes = said
        ) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)

        async with client() as http, served(serve) as url:
            with pytest.raises(stripe.APIConnectionError):
                await http.request_async("post", url, HEADERS, "amount=5")


async def test_an_answer_that_does_not_end_takes_no_longer_than_the_limit() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(ANSWER[:-1])
        await reader.read()  # until the client gives up
        await reader.read()

    async with client(timeout_s=0.1) as http, served(serve) as url:
        with pytest.raises(stripe.APIConnectionError):
            await http.request_async("get", url, HEADERS)
