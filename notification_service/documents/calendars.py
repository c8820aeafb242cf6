"""The event as customers keep it in their calendar: iCalendar (RFC 5545, sent as RFC 5546 says)."""

from enum import StrEnum

from notification_service.documents.domain import Event, Order
from notification_service.documents.letter import Attachment, Envelope
from notification_service.documents.wording import clean

_FILENAME = "event.ics"
_PRODUCT = "-//Tessera//Tessera//EN"
_TITLE_LIMIT = 200


class Method(StrEnum):
    """What a calendar does with the entry."""

    PUBLISH = "PUBLISH"  # adds it, or changes the one it has
    CANCEL = "CANCEL"


def calendar_entry(
    event: Event, order: Order, notes: str, method: Method = Method.PUBLISH
) -> Attachment:
    """An event in the calendar of who has tickets for it, as a file.

    An order's entry keeps its UID however often the event changes, and has the event's version for
    a sequence number: so a calendar tells the newest, and has one of them.
    """
    return Attachment(
        _FILENAME,
        # RFC 6047, 2.4: as the content says itself.
        f'text/calendar; charset="utf-8"; method={method}; component=VEVENT',
        lambda envelope: _render(event, order, notes, method, envelope),
    )


def _render(event: Event, order: Order, notes: str, method: Method, envelope: Envelope) -> bytes:
    from icalendar import Calendar, vCalAddress  # 10 MB that nobody needs before the first mail
    from icalendar import Event as Entry

    organizer = vCalAddress(f"mailto:{envelope.sender.addr_spec}")
    if name := clean(envelope.sender.display_name).replace('"', "'"):
        organizer.params["CN"] = name
    entry = Entry()
    entry.add("UID", f"{event.id}.{order.id}@{envelope.sender.domain}")
    entry.add("SEQUENCE", event.version)
    entry.add("DTSTAMP", envelope.date.replace(microsecond=0))
    entry.add("DTSTART", event.starts_at)
    if event.ends_at:
        entry.add("DTEND", event.ends_at)
    entry.add("SUMMARY", clean(event.title, _TITLE_LIMIT))
    if location := clean(event.location):
        entry.add("LOCATION", location)
    entry.add("DESCRIPTION", notes)
    entry.add("ORGANIZER", organizer)
    entry.add("STATUS", "CANCELLED" if method is Method.CANCEL else "CONFIRMED")
    calendar = Calendar()
    calendar.add("VERSION", "2.0")
    calendar.add("PRODID", _PRODUCT)
    calendar.add("METHOD", method.value)
    calendar.add_component(entry)
    rendered: bytes = calendar.to_ical()
    return rendered
