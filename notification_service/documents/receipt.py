"""The receipt: one mail with what was paid, when and where to be, and the tickets attached."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from pathlib import Path

import mrml
from jinja2 import Environment, StrictUndefined, Template

from notification_service.documents.domain import Event, Order, Ticket
from notification_service.documents.tickets_pdf import render_tickets
from notification_service.documents.wording import clean, format_day, format_money, format_when

_TEMPLATES = Path(__file__).parent / "templates"
_NAME_LIMIT = 100  # characters of a name, or of a title in the subject
_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_STEPS = (
    "Each page of the attached PDF is one ticket with its own QR code.",
    "Show the code at the entrance, printed or on your screen.",
    "Each code admits one person, once. Keep it to yourself: whoever shows it first gets in.",
)


class UndeliverableAddress(ValueError):
    """The customer's e-mail address cannot be written in a mail's header."""


def render_receipt(
    event: Event,
    order: Order,
    tickets: Sequence[Ticket],
    *,
    sender: Address,
    notification_id: str,
    date: datetime,
    locale: str = "en",
) -> EmailMessage:
    """The mail for a paid order. The same input gives the same bytes.

    `notification_id` makes the Message-ID, so a mail server that has seen the mail knows it again.
    CPU work: the PDF's time and about 2 ms.

    Raises:
        UndeliverableAddress: the customer's address is malformed or not ASCII.
    """
    assert _ID.fullmatch(notification_id), "an id that is safe in a header"
    words = _word(event, order, tickets, sender, locale)
    message = EmailMessage(policy=SMTP)
    message["Subject"] = words["subject"]
    message["From"] = sender
    message["To"] = _address(order)
    message["Date"] = date
    message["Message-ID"] = f"<{notification_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: out-of-office replies stay away
    message.set_content(_text_template().render(words), cte="quoted-printable")
    message.add_alternative(_html_template().render(words), subtype="html", cte="quoted-printable")
    message.add_attachment(
        render_tickets(event, order, tickets, locale=locale),
        maintype="application",
        subtype="pdf",
        filename=f"tickets-{re.sub('[^A-Za-z0-9-]', '', order.code)}.pdf",
    )
    _fix_boundaries(message, notification_id)
    return message


def _address(order: Order) -> Address:
    if not order.customer_email.isascii():
        raise UndeliverableAddress("The address is not ASCII.")
    try:
        return Address(
            display_name=clean(order.customer_name, _NAME_LIMIT), addr_spec=order.customer_email
        )
    except (MessageError, ValueError, IndexError) as error:  # what the header parser may raise
        raise UndeliverableAddress("The address is malformed.") from error


def _word(
    event: Event, order: Order, tickets: Sequence[Ticket], sender: Address, locale: str
) -> Mapping[str, object]:
    """Everything the templates say, in words: two parts of one mail never differ in a fact."""

    def money(amount: Decimal) -> str:
        return format_money(amount, order.currency_code, locale)

    when = format_when(event, locale)
    noun = "ticket" if len(tickets) == 1 else "tickets"
    title = clean(event.title, _NAME_LIMIT)
    return {
        "subject": f"Your {noun} for {title} (order {clean(order.code)})",
        "language": locale.replace("_", "-"),
        "count": len(tickets),
        "tickets_noun": noun,
        "customer": clean(order.customer_name),
        "title": clean(event.title),
        "location": clean(event.location),
        "date": when.date,
        "time": when.time,
        "zone": when.zone,
        "order_code": clean(order.code),
        "placed_on": format_day(order.placed_at, event.time_zone, locale),
        "lines": [
            {
                "name": clean(line.ticket_type_name),
                "quantity": line.quantity,
                "unit_price": money(line.unit_price),
                "amount": money(line.amount),
            }
            for line in order.lines
        ],
        "total": money(order.total),
        "steps": _STEPS,
        "sender": clean(sender.display_name) or "Tessera",
    }


@cache
def _text_template() -> Template:
    environment = Environment(
        autoescape=False,  # noqa: S701 - plain text has nothing to escape
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.from_string((_TEMPLATES / "receipt.txt.j2").read_text("utf-8"))


@cache
def _html_template() -> Template:
    """MJML becomes HTML first, placeholders and all: no customer's text passes a second parser."""
    source = (_TEMPLATES / "receipt.mjml.j2").read_text("utf-8")
    # Web fonts would be fetched from elsewhere: none.
    html = mrml.to_html(source, render_options=mrml.RenderOptions(fonts={})).content
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(html)


def _fix_boundaries(message: EmailMessage, notification_id: str) -> None:
    """Name the parts' boundaries after the mail instead of by chance.

    `=_` occurs in no quoted-printable or base64 body (RFC 2045, 6.7), so no text can forge one.
    """
    for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
        part.set_boundary(f"=_{number}_{notification_id}")
