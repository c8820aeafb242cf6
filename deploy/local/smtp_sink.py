"""An SMTP server that keeps every message it accepts in a Maildir and sends none on.

`make run` uses it so that the mail Tessera sends can be read under `var/mail`; tests also tell it
to refuse, or to fall silent.
"""

import asyncio
import contextlib
import email
import email.policy
import itertools
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Literal, Self

from aiosmtpd.smtp import SMTP, Envelope, Session

_MAX_MESSAGE_BYTES = 25 * 1024 * 1024
_MAX_RECIPIENTS = 100
_MAX_CONNECTIONS = 200
_IDLE_TIMEOUT_S = 60.0

Moment = Literal["MAIL", "RCPT", "DATA", "STORED"]
"""When a fault strikes: at a command, or (STORED) after the message is kept but before the answer.

The sender of a message lost at STORED cannot know that it arrived.
"""


@dataclass(frozen=True, slots=True)
class _Fault:
    at: Moment
    reply: str | None  # None: no answer at all


class SmtpSink:
    """A running sink; `start` makes one."""

    def __init__(self, maildir: Path) -> None:
        self._maildir = maildir
        self._fault: _Fault | None = None
        self._fault_ended = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        host = self._server.sockets[0].getsockname()[0]
        return f"smtp://{f'[{host}]' if ':' in host else host}:{self.port}"

    def messages(self) -> list[EmailMessage]:
        """Everything kept so far, oldest first, envelopes in `Return-Path` and `Delivered-To`."""
        return [
            email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for path in sorted((self._maildir / "new").iterdir())
        ]

    def accept(self) -> None:
        """End the fault: who waits for an answer gets a good one, if still there."""
        self._fault = None
        self._fault_ended.set()

    def refuse(self, code: int, text: str, *, at: Moment = "RCPT") -> None:
        """Answer `code` (4xx: try later, 5xx: never) from now on."""
        assert 400 <= code <= 599, f"{code} does not refuse anything"
        self._strike(_Fault(at, f"{code} {text}"))

    def hang(self, *, at: Moment = "DATA") -> None:
        """Give no answer from now on."""
        self._strike(_Fault(at, None))

    async def stop(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        connections = list(self._connections)
        for connection in connections:
            connection.cut()
        await asyncio.gather(*(connection.ended() for connection in connections))
        await self._server.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def listen(self, host: str, port: int) -> None:
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self, self._connections), host, port
        )

    def _strike(self, fault: _Fault) -> None:
        self._fault_ended.set()
        self._fault_ended = asyncio.Event()
        self._fault = fault

    async def _faulty_reply(self, moment: Moment) -> str | None:
        """What to answer instead of the good answer, if anything."""
        while (fault := self._fault) and fault.at == moment:
            if fault.reply:
                return fault.reply
            await self._fault_ended.wait()
        return None

    # aiosmtpd calls these by name.

    async def handle_MAIL(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        if reply := await self._faulty_reply("MAIL"):
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        if reply := await self._faulty_reply("RCPT"):
            return reply
        if len(envelope.rcpt_tos) >= _MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        if reply := await self._faulty_reply("DATA"):
            return reply
        try:
            name = await asyncio.to_thread(_keep, self._maildir, envelope)
        except OSError as error:
            return f"452 4.3.1 The message could not be kept: {error.strerror}"
        return await self._faulty_reply("STORED") or f"250 2.0.0 Kept as {name}"


class _Connection(SMTP):
    """One client's connection, which the sink can cut."""

    def __init__(self, sink: SmtpSink, connections: "set[_Connection]") -> None:
        super().__init__(
            sink,
            data_size_limit=_MAX_MESSAGE_BYTES,
            enable_SMTPUTF8=True,
            hostname="localhost",  # asking the resolver may take seconds
            ident="Tessera mail sink",
            timeout=_IDLE_TIMEOUT_S,
            loop=asyncio.get_running_loop(),
        )
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.add(self)
        if len(self._connections) > _MAX_CONNECTIONS:
            self.cut()

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(error)

    def cut(self) -> None:
        if isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    async def ended(self) -> None:
        if self._handler_coroutine is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([self._handler_coroutine])


async def start(mail_dir: Path, host: str = "127.0.0.1", port: int = 0) -> SmtpSink:
    """Listen on `host`; port 0 takes a free one. Call `stop` in the end."""
    for name in ("tmp", "new", "cur"):
        (mail_dir / name).mkdir(parents=True, exist_ok=True)
    sink = SmtpSink(mail_dir)
    await sink.listen(host, port)
    return sink


_sequence = itertools.count()


def _keep(maildir: Path, envelope: Envelope) -> str:
    """Write a message so that it survives a power cut once this returns.

    The name sorts by arrival; the steps are those of https://cr.yp.to/proto/maildir.html.
    """
    name = f"{time.time_ns():020}.P{os.getpid()}Q{next(_sequence):06}.localhost"
    unfinished = maildir / "tmp" / name
    try:
        with unfinished.open("xb") as file:
            file.write(_with_envelope(envelope))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(maildir / "new" / name)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(maildir / "new", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return name


def _with_envelope(envelope: Envelope) -> bytes:
    """Put the envelope into headers, and lines into the form files have."""
    headers = [f"Return-Path: <{envelope.mail_from}>"]
    headers += [f"Delivered-To: {address}" for address in envelope.rcpt_tos]
    content = envelope.original_content or b""
    top = "".join(f"{header}\n" for header in headers).encode(errors="surrogateescape")
    return top + content.replace(b"\r\n", b"\n")
