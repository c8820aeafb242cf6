"""Handing mail over in private: certificates are checked, and passwords sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notification_service.documents.domain import Mail
from notification_service.mailing.domain import ServerDown, Undeliverable
from notification_service.mailing.smtp import SmtpTransport
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
