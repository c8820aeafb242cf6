"""How every mail is made: a text and an HTML part that tell the same, from a pair of templates."""

import re
from base64 import b64encode
from binascii import b2a_qp
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from notification_service.documents import templating
from notification_service.documents.domain import Mail
from notification_service.documents.steps import Steps, at_a_stretch
from notification_service.documents.wording import clean

NAME_LIMIT = 100  # characters of a name, or of a title in the subject

_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_BASE64_LINE = 76  # characters: RFC 2045, 6.8


class UndeliverableAddress(ValueError):
    """The customer's e-mail address cannot be written in a mail's header."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """From whom a mail comes, and when it was queued.

    `mail_id` makes the Message-ID, so a mail server that has seen the mail knows it again.
    """

    sender: Address
    mail_id: str
    date: datetime


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with a mail; made when it is needed, which a preview's is not.

    What takes long is made in steps.
    """

    filename: str  # of letters that are safe in a header
    content_type: str
    content: Callable[[Envelope], bytes | Steps[bytes]]


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says to whom: `words`, in the pair of templates with this name.

    `label` and `heading` stand large above the HTML part. One without a `greeting` has none.
    """

    template: str
    recipient_name: str
    recipient_email: str
    subject: str
    label: str
    heading: str
    words: Mapping[str, object]
    attachments: tuple[Attachment, ...] = ()
    greeting: str = "Hello,"
    language: str = "en"


def write_mail(letter: Letter, envelope: Envelope) -> Mail:
    """The letter as it goes over the wire. The same input gives the same bytes.

    CPU work: under a millisecond, and what the attachments take.

    Raises:
        UndeliverableAddress: the recipient's address is malformed or not ASCII.
    """
    return at_a_stretch(write_mail_in_steps(letter, envelope))


def write_mail_in_steps(letter: Letter, envelope: Envelope) -> Steps[Mail]:
    """What `write_mail` does; its attachments are made in steps."""
    assert _ID.fullmatch(envelope.mail_id), "an id that is safe in a header"
    recipient = _recipient(letter)
    text, html = write_text(letter, envelope.sender), write_html(letter, envelope.sender)
    told = _multipart(
        "alternative",
        f"{len(letter.attachments) and 1}_{envelope.mail_id}",
        [_told("plain", text), _told("html", html)],
    )
    if letter.attachments:
        attached = []
        for each in letter.attachments:
            content = each.content(envelope)
            made = content if isinstance(content, bytes) else (yield from content)
            attached.append(_attached(each, made))
        told = _multipart("mixed", f"0_{envelope.mail_id}", [told, *attached])
    head = _head(letter.subject, recipient, envelope)
    return Mail(envelope.sender.addr_spec, letter.recipient_email, letter.subject, head + told)


def write_text(letter: Letter, sender: Address) -> str:
    """The text part."""
    return templating.text(letter.template).render(_shown(letter, sender))


def write_html(letter: Letter, sender: Address) -> str:
    """The HTML part."""
    return templating.html(letter.template).render(_shown(letter, sender))


def _shown(letter: Letter, sender: Address) -> Mapping[str, object]:
    return {
        "subject": letter.subject,
        "sender": clean(sender.display_name) or "Tessera",
        "language": letter.language.replace("_", "-"),
        "label": letter.label,
        "heading": letter.heading,
        "greeting": letter.greeting,
        **letter.words,
    }


def _recipient(letter: Letter) -> Address:
    if not letter.recipient_email.isascii():
        raise UndeliverableAddress("The address is not ASCII.")
    try:
        return Address(
            display_name=clean(letter.recipient_name, NAME_LIMIT),
            addr_spec=letter.recipient_email,
        )
    except (MessageError, ValueError, IndexError) as error:  # what the header parser may raise
        raise UndeliverableAddress("The address is malformed.") from error


def _head(subject: str, recipient: Address, envelope: Envelope) -> bytes:
    """The headers that say who, what and when."""
    sender = envelope.sender
    return b"".join(
        (
            _header("Subject", subject),
            _kept_header("From", str(sender)),
            _header("To", str(recipient)),
            f"Date: {format_datetime(envelope.date)}\r\n".encode(),
            f"Message-ID: <{envelope.mail_id}@{sender.domain}>\r\n".encode(),
            b"Auto-Submitted: auto-generated\r\n",  # RFC 3834: out-of-office replies stay away
            b"MIME-Version: 1.0\r\n",
        )
    )


def _header(name: str, value: str) -> bytes:
    """A header as it goes over the wire: encoded (RFC 2047), folded, and one only."""
    return SMTP.fold_binary(*SMTP.header_store_parse(name, value))


_kept_header = lru_cache(maxsize=16)(_header)


# The parts are put together here, and not by EmailMessage, which takes three times as long for it
# as all the rest does.


def _multipart(subtype: str, boundary_id: str, parts: Iterable[bytes]) -> bytes:
    """Parts under a boundary that is named after the mail instead of by chance.

    `=_` occurs in no quoted-printable or base64 body (RFC 2045, 6.7), so no text can forge one.
    """
    boundary = f"=_{boundary_id}".encode()
    head = b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n' % (subtype.encode(), boundary)
    divided = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts)
    return b"%b%b--%b--\r\n" % (head, divided, boundary)


def _told(subtype: str, text: str) -> bytes:
    head = (
        f'Content-Type: text/{subtype}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    lines = "\r\n".join(text.split("\n"))
    return head.encode() + b2a_qp(lines.encode(errors="replace"))


def _attached(attachment: Attachment, content: bytes) -> bytes:
    head = (
        f"Content-Type: {attachment.content_type}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f'Content-Disposition: attachment; filename="{attachment.filename}"\r\n\r\n'
    )
    encoded = b64encode(content)
    lines = [encoded[at : at + _BASE64_LINE] for at in range(0, len(encoded), _BASE64_LINE)]
    return head.encode() + b"\r\n".join(lines)
