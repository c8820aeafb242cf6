"""An event has another title, place or time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from notification_service.documents.calendars import calendar_entry
from notification_service.documents.domain import Event, Order, Previously
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    calendar_notes,
    event_words,
    hello,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean, format_deadline, format_when


def write(event: Event, order: Order, previously: Previously, locale: str = "en") -> Letter:
    """To who has tickets. A calendar that has the event has it as it is now."""
    until = order.cancellable_until
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "changes": changes(event, previously, locale),
        "cancellable_until": format_deadline(until, event.time_zone, locale) if until else "",
    }
    return Letter(
        "event_changed",
        order.customer_name,
        order.customer_email,
        f"{short_title(event)} has changed (order {clean(order.code)})",
        label="EVENT CHANGED",
        heading=clean(event.title),
        words=words,
        attachments=(calendar_entry(event, order, calendar_notes(order)),),
        greeting=hello(order.customer_name),
        language=locale,
    )


def changes(
    event: Event, previously: Previously, locale: str = "en"
) -> Sequence[Mapping[str, str]]:
    """What is other than it was, with what it was: nothing, if all was changed back since."""
    before = replace(
        event,
        title=event.title if previously.title is None else previously.title,
        location=event.location if previously.location is None else previously.location,
        starts_at=previously.starts_at or event.starts_at,
        ends_at=previously.ends_at or event.ends_at,
    )
    pairs = [
        ("Title", clean(before.title), clean(event.title)),
        ("Date and time", _when(before, locale), _when(event, locale)),
        ("Venue", clean(before.location), clean(event.location)),
    ]
    return [{"what": what, "old": old, "new": new} for what, old, new in pairs if old != new]


def _when(event: Event, locale: str) -> str:
    when = format_when(event, locale)
    return f"{when.date}, {when.time}"
