"""What a mail client shows of a mail, and a reader and a scanner of the tickets in it."""

import email
import html
import io
import re
from email.message import EmailMessage
from email.policy import SMTP

import pypdfium2
import zxingcpp
from PIL import Image
from pypdf import PdfReader


def received(message: EmailMessage) -> EmailMessage:
    """The mail as the other side of the wire parses it."""
    parsed = email.message_from_bytes(message.as_bytes(), policy=SMTP)
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
    """The name and content of the only one."""
    (part,) = message.iter_attachments()
    content: bytes = part.get_content()
    return part.get_filename(), content


def pages(pdf: bytes, scale: float = 2.0) -> list[Image.Image]:
    """Pictures in shades of grey."""
    with pypdfium2.PdfDocument(pdf) as document:
        return [page.render(scale=scale).to_pil().convert("L") for page in document]


def text_of(pdf: bytes, page: int = 0) -> str:
    extracted: str = PdfReader(io.BytesIO(pdf)).pages[page].extract_text()
    return " ".join(extracted.split())


def qr_codes(page: Image.Image) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(page)]
