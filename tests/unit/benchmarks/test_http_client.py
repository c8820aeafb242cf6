"""The load generator's HTTP client."""

import asyncio
from collections.abc import Sequence

import pytest

from benchmarks.http_client import Answer, Connection, encode

REQUEST = encode("GET", "/healthz")


class Wire(asyncio.Transport):
    """The other end: keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self._is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self._is_closed = True

    def is_closing(self) -> bool:
        return self._is_closed


def connected() -> tuple[Connection, Wire]:
    connection, wire = Connection(), Wire()
    connection.connection_made(wire)
    return connection, wire


async def answered(connection: Connection, pieces: Sequence[bytes]) -> Answer:
    """Send a request, and let the answer arrive in pieces."""
    sending = asyncio.create_task(connection.send(REQUEST))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    return await sending


ANSWER = b"HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
async def test_an_answer_may_arrive_in_pieces(cut: int) -> None:
    connection, _ = connected()
    assert await answered(connection, [ANSWER[:cut], ANSWER[cut:]]) == Answer(201, b"hello")


async def test_one_connection_serves_many_requests() -> None:
    connection, wire = connected()
    for _ in range(3):
        assert (await answered(connection, [ANSWER])).status == 201
    assert wire.sent == [REQUEST] * 3


async def test_an_answer_without_content_needs_no_length() -> None:
    connection, _ = connected()
    assert await answered(connection, [b"HTTP/1.1 204 No Content\r\n\r\n"]) == Answer(204, b"")


async def test_an_answer_of_unknown_length_is_refused() -> None:
    connection, wire = connected()
    with pytest.raises(ConnectionError, match="length"):
        await answered(connection, [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"])
    assert wire.is_closing()


async def test_a_lost_connection_fails_the_request_and_all_later_ones() -> None:
    connection, _ = connected()
    sending = asyncio.create_task(connection.send(REQUEST))
    await asyncio.sleep(0)
    connection.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await sending
    with pytest.raises(ConnectionResetError):
        await connection.send(REQUEST)


def test_a_body_is_json_unless_the_headers_say_otherwise() -> None:
    assert b"Content-Type: application/json\r\n" in encode("POST", "/", b"{}")
    form = encode("POST", "/", b"a=1", {"Content-Type": "application/x-www-form-urlencoded"})
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in form
    assert b"application/json" not in form
    assert form.endswith(
        b"Content-Length: 3\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\na=1"
    )
