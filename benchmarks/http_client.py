"""A small HTTP/1.1 client: one connection, one request at a time, and little work for each.

A general client takes about a millisecond of CPU for a request, and a load generator made of it
would measure itself.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """A kept-alive connection; `open` makes one.

    Understands answers that say their length, which are all of ours.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, base_url: str) -> Self:
        """Connect. Raises OSError."""
        address = urlsplit(base_url)
        assert address.hostname
        assert address.port
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, address.hostname, address.port)
        return connection

    @property
    def is_open(self) -> bool:
        """Whether it can be used: the other side closes connections that nobody uses for long."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        """The answer to a request that `encode` made.

        Raises:
            OSError: the connection was lost, or there was no answer within `TIMEOUT_S`.
        """
        if not self.is_open or self._transport is None:
            raise ConnectionResetError("the connection is closed")
        assert self._waiting is None, "one request at a time"
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = loop.call_later(TIMEOUT_S, self._fail, TimeoutError("no answer"))
        self._transport.write(request)
        try:
            return await self._waiting
        finally:
            timer.cancel()
            self._waiting = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the connection was closed"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator or self._waiting is None or self._waiting.done():
            return
        status = int(head[9:12])
        length = _content_length(head, status)
        if length is None:
            self._fail(ConnectionError("the answer does not say its length"))
        elif len(rest) >= length:
            self._received = rest[length:]
            self._waiting.set_result(Answer(status, rest[:length]))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


def encode(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    """A request as it is sent; a body is JSON unless the headers say otherwise."""
    lines = {"Host": "localhost", "Content-Length": str(len(body))}
    if body:
        lines["Content-Type"] = "application/json"
    lines.update(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _content_length(head: bytes, status: int) -> int | None:
    if status == 204:
        return 0
    _, found, value = head.lower().partition(b"\r\ncontent-length:")
    return int(value.split(b"\r\n", 1)[0]) if found else None
