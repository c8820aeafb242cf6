"""What can be set about notification_service."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address, AddressHeader
from email.policy import SMTP
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from kit.settings import Environment, InvalidSetting

LOCAL_SENDER = "Tessera <tickets@localhost>"
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PORTS = {"smtp": 25, "smtps": 465, "smtp+starttls": 587}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over.

    `smtp` sends in the clear, password included; `smtps` and `smtp+starttls` check the
    server's certificate.
    """

    scheme: str  # `smtp`, `smtps` or `smtp+starttls`
    host: str
    port: int
    username: str
    password: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `smtp://user:password@host:port`. Raises InvalidSetting, never with the password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _no_address() from None
        if parts.scheme not in _PORTS or not parts.hostname or _has_more(parts):
            raise _no_address()
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or _PORTS[parts.scheme],
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment once, at start."""

    smtp: SmtpServer
    smtp_timeout_s: int
    sender: Address
    storefront_url: str  # of any hold's page, with `{hold_id}` in its place; empty: there is none
    amqp_url: str
    database_url: str

    @classmethod
    def read(cls, environment: Environment) -> Self:
        """`TESSERA_SMTP_TIMEOUT_SECONDS` limits the whole hand-over of one mail.

        It is generous because servers that scan a mail before they answer are slow, and a mail
        whose answer came too late is sent twice (RFC 5321, 4.5.3.2).
        """
        smtp = SmtpServer.parse(environment.text("SMTP_URL"))
        # Any other server would take a mail from `localhost` for spam: better ask at the start.
        default = LOCAL_SENDER if smtp.host in _LOOPBACK else None
        return cls(
            smtp=smtp,
            smtp_timeout_s=environment.integer("SMTP_TIMEOUT_SECONDS", 120, low=1, high=900),
            sender=_sender(environment.text("MAIL_FROM", default)),
            storefront_url=_storefront(environment.text("STOREFRONT_URL", "")),
            amqp_url=environment.text("AMQP_URL", ""),
            database_url=environment.text("DATABASE_URL"),
        )


def _sender(text: str) -> Address:
    try:
        header = SMTP.header_factory("From", text)
    except (MessageError, ValueError, IndexError):  # what the header parser may raise
        header = None
    addresses = header.addresses if isinstance(header, AddressHeader) else ()
    if header is None or header.defects or len(addresses) != 1 or not addresses[0].domain:
        raise InvalidSetting(
            f"TESSERA_MAIL_FROM is {text!r}: write one sender, as in Tessera <tickets@example.org>."
        )
    address: Address = addresses[0]
    if not address.addr_spec.isascii():
        raise InvalidSetting("TESSERA_MAIL_FROM has an address that is not ASCII.")
    return address


def _storefront(url: str) -> str:
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    if parts.scheme not in ("http", "https") or not parts.hostname or "{hold_id}" not in url:
        raise InvalidSetting(
            f"TESSERA_STOREFRONT_URL is {url!r}: write the address of a hold's page, "
            "as in https://tickets.example.org/holds/{hold_id}."
        )
    return url


def _has_more(parts: SplitResult) -> bool:
    return parts.path not in ("", "/") or bool(parts.query or parts.fragment)


def _no_address() -> InvalidSetting:
    return InvalidSetting(
        "TESSERA_SMTP_URL is not a mail server's address: write smtp://host:25, "
        "smtps://user:password@host:465 or smtp+starttls://user:password@host:587."
    )
