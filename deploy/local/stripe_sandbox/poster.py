"""Posts webhooks over HTTP/1.1, on connections that are kept for the next one.

A general client takes as much CPU time for a webhook as the sandbox for all that it tells of.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

LONGEST_ANSWER = 1 << 20
SECURE = "https"
PORTS = {"http": 80, SECURE: 443}
# What goes wrong when nobody answers, or not in HTTP: an address that is none included.
FAILURES = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)


@dataclass(frozen=True, slots=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        self.writer.close()


class Poster:
    """Every post is answered within `timeout` seconds, or fails."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: defaultdict[tuple[Any, ...], list[Connection]] = defaultdict(list)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer; its body is of no interest.

        Raises one of `FAILURES`.
        """
        address = urlsplit(url)
        request = _request(address, body, headers)
        async with asyncio.timeout(self._timeout):
            idle = self._idle[address.scheme, address.hostname, address.port]
            while idle:
                connection = idle.pop()
                try:
                    return await self._ask(connection, idle, request)
                except (OSError, EOFError):
                    continue  # closed by the other side meanwhile; webhooks may come twice
            return await self._ask(await _connect(address), idle, request)

    def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _ask(self, connection: Connection, idle: list[Connection], request: bytes) -> int:
        is_kept = False
        try:
            connection.writer.write(request)
            status, is_kept = await _answer(connection.reader)
        finally:
            if not is_kept:
                connection.close()
        if is_kept:
            idle.append(connection)
        return status


def _request(address: SplitResult, body: bytes, headers: Mapping[str, str]) -> bytes:
    if address.scheme not in PORTS or not address.hostname:
        raise ValueError(f"not an address: {address.geturl()}")
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    host = address.netloc.rpartition("@")[2]
    lines = {"Host": host, **headers, "Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {target} HTTP/1.1\r\n{head}\r\n".encode() + body


async def _connect(address: SplitResult) -> Connection:
    reader, writer = await asyncio.open_connection(
        address.hostname,
        address.port or PORTS[address.scheme],
        ssl=True if address.scheme == SECURE else None,
    )
    return Connection(reader, writer)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status, and whether the connection can be used again: where the answer ended is known."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, _, rest = head.partition("\r\n")
        protocol, _, rest_of_first = first.partition(" ")
        if not protocol.startswith("HTTP/1."):
            raise ValueError("the answer is not HTTP")
        status = int(rest_of_first[:3])
        if status >= 200:  # before that it is only on its way
            break
    fields = [line.partition(":") for line in rest.split("\r\n")]
    values = {name.strip().lower(): value.strip().lower() for name, _, value in fields}
    length = 0 if status in {204, 304} else int(values.get("content-length", "-1"))
    if not 0 <= length <= LONGEST_ANSWER or values.get("connection") == "close":
        return status, False
    await reader.readexactly(length)
    return status, protocol == "HTTP/1.1"
