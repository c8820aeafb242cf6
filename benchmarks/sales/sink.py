"""An SMTP server (RFC 5321) that only notes who got a mail, and when: the cheapest there can be.

The sink of `make run` parses, fsyncs and keeps each mail; its work would be measured, too.
"""

import argparse
import asyncio
import signal
import time
from pathlib import Path
from typing import IO

_END = b"\r\n.\r\n"
_LISTENERS = 512
_REPLIES = {
    b"HELO": b"250 localhost\r\n",
    b"EHLO": b"250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 33554432\r\n",
    b"MAIL": b"250 OK\r\n",
    b"RCPT": b"250 OK\r\n",
    b"RSET": b"250 OK\r\n",
    b"NOOP": b"250 OK\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 Bye\r\n",
}


def main() -> None:
    """`python -m benchmarks.sales.sink PORT FILE`: a line in FILE for each mail, see `arrivals`."""
    parser = argparse.ArgumentParser(prog="sink", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with given.file.open("a", buffering=1) as file:
        asyncio.run(_serve(given.port, file))


async def _serve(port: int, file: IO[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(
        lambda: Session(file), "127.0.0.1", port, backlog=_LISTENERS, reuse_address=True
    )
    await stop.wait()
    server.close()


class Session(asyncio.Protocol):
    """One client's connection, over which any number of mails may come, pipelined or not."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._received = bytearray()
        self._searched = 0  # how much of what was received has no end of a mail in it
        self._is_mail = False
        self._recipient = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 localhost\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        replies = b""
        while reply := self._take_mail() if self._is_mail else self._take_command():
            replies += reply
        if replies:
            self._transport.write(replies)
        if replies.endswith(_REPLIES[b"QUIT"]):
            self._transport.close()

    def _take_command(self) -> bytes:
        """The reply to the next command; empty when there is no whole one."""
        end = self._received.find(b"\r\n")
        if end < 0:
            return b""
        line = bytes(self._received[:end])
        del self._received[: end + 2]
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient = line.partition(b"<")[2].partition(b">")[0]
        self._is_mail = verb == b"DATA"
        return _REPLIES.get(verb, b"502 What?\r\n")

    def _take_mail(self) -> bytes:
        """The reply to the mail; empty when there is more of it to come."""
        end = self._received.find(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._received) - len(_END) + 1)
            return b""
        has_pdf = self._received.find(b"application/pdf", 0, end) >= 0
        self._file.write(f"{time.time():.6f} {self._recipient.decode()} {int(has_pdf)}\n")
        del self._received[: end + len(_END)]
        self._searched, self._is_mail = 0, False
        return b"250 Taken\r\n"


if __name__ == "__main__":
    main()
