"""What a mail client shows of a mail, and a reader and a scanner of the tickets in it."""

import email
import html
import io
import re
from email.message import EmailMessage
from email.policy import SMTP

import pypdfium2
import zxingcpp
from icalendar import Calendar, Event
from PIL import Image
from pypdf import PdfReader

from notification_service.documents.domain import Mail


def received(mail: Mail) -> EmailMessage:
    """The mail as the other side of the wire parses it."""
    parsed = email.message_from_bytes(mail.content, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def html_words(message: EmailMessage) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", html_part(message))).split())


def text_part(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def html_part(message: EmailMessage) -> str:
    part = message.get_body(("html",))
    assert part is not None
    content: str = part.get_content()
    return content


def attachment(message: EmailMessage) -> tuple[str | None, bytes]:
    """The name and content of the only PDF."""
    (part,) = _attached(message, "application/pdf")
    content: bytes = part.get_content()
    return part.get_filename(), content


def calendar(message: EmailMessage) -> Calendar:
    """The only iCalendar file."""
    (part,) = _attached(message, "text/calendar")
    content: str = part.get_content()
    parsed = Calendar.from_ical(content)
    assert isinstance(parsed, Calendar)
    return parsed


def calendar_event(message: EmailMessage) -> Event:
    """The only event in the only iCalendar file."""
    (event,) = calendar(message).walk("VEVENT")
    assert isinstance(event, Event)
    return event


def _attached(message: EmailMessage, content_type: str) -> list[EmailMessage]:
    return [
        part
        for part in message.iter_attachments()
        if isinstance(part, EmailMessage) and part.get_content_type() == content_type
    ]


def pages(pdf: bytes, scale: float = 2.0) -> list[Image.Image]:
    """Pictures in shades of grey."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.render(scale=scale).to_pil().convert("L") for page in document]


def text_of(pdf: bytes, page: int = 0) -> str:
    extracted: str = PdfReader(io.BytesIO(pdf)).pages[page].extract_text()
    return " ".join(extracted.split())


def qr_codes(page: Image.Image) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(page)]
