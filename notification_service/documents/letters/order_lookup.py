"""The code that finds one's orders again."""

from notification_service.documents.domain import Lookup
from notification_service.documents.letter import Letter
from notification_service.documents.wording import clean, format_deadline


def write(lookup: Lookup, locale: str = "en") -> Letter:
    """To who asked, if it was them. The subject, which the log keeps, does not have the code."""
    words = {
        "code": clean(lookup.code),
        "deadline": format_deadline(lookup.expires_at, "UTC", locale),
    }
    return Letter(
        "order_lookup",
        "",
        lookup.email,
        "Your code to find your orders",
        label="YOUR CODE",
        heading="Find your orders",
        words=words,
        language=locale,
    )
