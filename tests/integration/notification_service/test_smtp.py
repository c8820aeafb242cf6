"""Handing mail over in private: certificates are checked, and passwords sent."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notification_service.documents.domain import Mail
from notification_service.mailing.domain import ServerDown, Undeliverable
from notification_service.mailing.smtp import CONNECTIONS, SmtpTransport
from notification_service.settings import SmtpServer

# aiosmtpd does not know of the TLS that is there from the start of a connection.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def mail(recipient: str = "ada@example.org") -> Mail:
    content = b"Subject: Hello\r\n\r\n.A line that starts with a dot\r\n"
    return Mail("tickets@example.org", recipient, "Hello", content)


class Mailbox:
    """Keeps what it gets from who knows the password."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:
        self.received.append(envelope)
        return "250 Kept"


def authenticate(_server: SMTP, _s: Session, _e: Envelope, _m: str, auth: object) -> AuthResult:
    knows = isinstance(auth, LoginPassword) and auth.password == b"p/:@"
    return AuthResult(success=knows, handled=False)


@asynccontextmanager
async def server(scheme: str, tls_dir: Path, mailbox: Mailbox) -> AsyncIterator[int]:
    """A mail server that wants TLS and a password; yields its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    name = tls_dir / "notification_service"
    context.load_cert_chain(f"{name}.pem", f"{name}-key.pem")
    starts_tls = scheme == "smtp+starttls"
    listening = await asyncio.get_running_loop().create_server(
        lambda: SMTP(
            mailbox,
            hostname="localhost",
            tls_context=context if starts_tls else None,
            require_starttls=starts_tls,
            auth_required=True,
            auth_require_tls=starts_tls,
            authenticator=authenticate,
            loop=asyncio.get_running_loop(),
        ),
        "127.0.0.1",
        0,
        ssl=None if starts_tls else context,
    )
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.fixture
def trusted(tls_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine trusts the certificate's authority."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_dir / "ca.pem"))


@asynccontextmanager
async def transport(
    scheme: str, port: int, password: str = "p%2F%3A%40"
) -> AsyncIterator[SmtpTransport]:
    url = f"{scheme}://me%40example.org:{password}@127.0.0.1:{port}"
    opened = SmtpTransport(SmtpServer.parse(url), timeout_s=10)
    yield opened
    await opened.close()


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_mail_is_handed_over_in_private(scheme: str, tls_dir: Path) -> None:
    mailbox = Mailbox()
    async with server(scheme, tls_dir, mailbox) as port, transport(scheme, port) as opened:
        await opened.send(mail())

    [envelope] = mailbox.received
    assert envelope.mail_from == "tickets@example.org"
    assert envelope.rcpt_tos == ["ada@example.org"]
    assert envelope.original_content == mail().content


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_server_that_cannot_prove_its_name_gets_no_mail(scheme: str, tls_dir: Path) -> None:
    mailbox = Mailbox()
    async with server(scheme, tls_dir, mailbox) as port, transport(scheme, port) as opened:
        with pytest.raises(ServerDown):
            await opened.send(mail())

    assert not mailbox.received


@pytest.mark.usefixtures("trusted")
async def test_a_wrong_password_condemns_no_mail(tls_dir: Path) -> None:
    async with (
        server("smtps", tls_dir, Mailbox()) as port,
        transport("smtps", port, password="wrong") as opened,
    ):
        with pytest.raises(ServerDown, match="535"):
            await opened.send(mail())


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("recipient", ["a@example.org> SIZE=1", "a@example.org\r\nDATA"])
async def test_an_address_cannot_add_a_command(recipient: str, tls_dir: Path) -> None:
    mailbox = Mailbox()
    async with server("smtps", tls_dir, mailbox) as port, transport("smtps", port) as opened:
        await opened.send(mail(recipient))

    [envelope] = mailbox.received
    assert envelope.rcpt_tos == ["a@example.org"]
    assert envelope.rcpt_options == []


@pytest.mark.usefixtures("trusted")
async def test_an_address_that_breaks_the_protocol_is_not_tried(tls_dir: Path) -> None:
    mailbox = Mailbox()
    async with server("smtps", tls_dir, mailbox) as port, transport("smtps", port) as opened:
        with pytest.raises(Undeliverable):
            await opened.send(mail("a b@example.org"))

    assert not mailbox.received


async def test_a_server_that_says_nothing_at_all_is_down() -> None:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        silent_server = SmtpServer.parse(f"smtp://127.0.0.1:{port}")
        with pytest.raises(ServerDown, match="did not answer"):
            await SmtpTransport(silent_server, timeout_s=0.2).send(mail())


def plain(port: int) -> SmtpTransport:
    return SmtpTransport(SmtpServer.parse(f"smtp://127.0.0.1:{port}"), timeout_s=10)


class Counting(Mailbox):
    """Counts who comes, and sends away who stays for more than `patience` mails."""

    def __init__(self, patience: int = 1000) -> None:
        super().__init__()
        self.connections: list[Session] = []  # which keeps them, and so their ids, alive
        self._patience = patience
        self._mails: Counter[int] = Counter()

    async def handle_EHLO(
        self, _: SMTP, session: Session, __: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections.append(session)
        return responses

    async def handle_MAIL(
        self, _: SMTP, session: Session, envelope: Envelope, address: str, __: list[str]
    ) -> str:
        self._mails[id(session)] += 1
        if self._mails[id(session)] > self._patience:
            return "421 4.7.0 Enough for today"
        envelope.mail_from = address
        return "250 OK"


@asynccontextmanager
async def plain_server(mailbox: Mailbox) -> AsyncIterator[tuple[int, list[SMTP]]]:
    """A mail server that wants nothing; yields its port and its connections."""
    made: list[SMTP] = []

    def connection() -> SMTP:
        made.append(SMTP(mailbox, hostname="localhost", loop=asyncio.get_running_loop()))
        return made[-1]

    listening = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], made


async def test_mails_in_a_row_share_a_connection() -> None:
    mailbox = Counting()
    async with plain_server(mailbox) as (port, _):
        opened = plain(port)
        for _ in range(5):
            await opened.send(mail())
        await opened.close()

    assert len(mailbox.received) == 5
    assert len(mailbox.connections) == 1


async def test_mails_at_once_share_a_few_connections() -> None:
    mailbox = Counting()
    async with plain_server(mailbox) as (port, _):
        opened = plain(port)
        await asyncio.gather(*(opened.send(mail()) for _ in range(40)))
        await opened.close()

    assert len(mailbox.received) == 40
    assert len(mailbox.connections) <= CONNECTIONS


async def test_a_server_that_has_enough_of_a_connection_gets_another() -> None:
    mailbox = Counting(patience=2)
    async with plain_server(mailbox) as (port, _):
        opened = plain(port)
        for _ in range(6):
            await opened.send(mail())
        await opened.close()

    assert len(mailbox.received) == 6
    assert len(mailbox.connections) == 3


async def test_a_connection_that_was_cut_while_it_rested_costs_no_mail() -> None:
    mailbox = Counting()
    async with plain_server(mailbox) as (port, made):
        opened = plain(port)
        await opened.send(mail())
        transport = made[0].transport
        assert isinstance(transport, asyncio.WriteTransport)
        transport.abort()
        await opened.send(mail())
        await opened.close()

    assert len(mailbox.received) == 2


async def test_after_a_refusal_the_next_mail_begins_anew() -> None:
    class Strict(Counting):
        async def handle_RCPT(
            self, _: SMTP, __: Session, envelope: Envelope, address: str, ___: list[str]
        ) -> str:
            if address.startswith("nobody"):
                return "550 No such person"
            envelope.rcpt_tos.append(address)
            return "250 OK"

    mailbox = Strict()
    async with plain_server(mailbox) as (port, _):
        opened = plain(port)
        with pytest.raises(Undeliverable, match="550"):
            await opened.send(mail("nobody@example.org"))
        await opened.send(mail())
        await opened.close()

    assert [envelope.rcpt_tos for envelope in mailbox.received] == [["ada@example.org"]]
