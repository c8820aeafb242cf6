"""A payment was declined, and the order still waits for another."""

from collections.abc import Mapping
from datetime import datetime

from notification_service.documents.domain import Event, Order
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    event_words,
    money_of,
    order_words,
    short_title,
)
from notification_service.documents.wording import clean, format_deadline

# Only what the customer can do something about. That a card was reported lost or stolen, or that
# the bank suspects fraud, is not for whoever holds it: https://docs.stripe.com/declines/codes
_WHY: Mapping[str, str] = {
    "insufficient_funds": "The bank says that there is not enough money for it.",
    "expired_card": "The card has expired.",
    "incorrect_cvc": "The security code was not the card's.",
    "invalid_cvc": "The security code was not the card's.",
    "incorrect_number": "The card number was not right.",
    "invalid_number": "The card number was not right.",
    "invalid_expiry_month": "The expiry date was not the card's.",
    "invalid_expiry_year": "The expiry date was not the card's.",
    "card_velocity_exceeded": "The limit of the card is reached.",
    "withdrawal_count_limit_exceeded": "The limit of the card is reached.",
    "card_not_supported": "The card cannot be used for this.",
    "currency_not_supported": "The card cannot be used for this currency.",
    "authentication_required": "The bank wants you to confirm it.",
    "payment_intent_authentication_failure": "It was not confirmed with the bank.",
}
_UNKNOWN = "The bank does not say why; it may tell you if you ask."


def write(
    event: Event, order: Order, decline_code: str, deadline: datetime, locale: str = "en"
) -> Letter:
    """To who tried to pay, not by name: nobody confirmed that it is theirs, or the address.

    `deadline` is until when another payment is waited for.
    """
    code = clean(order.code)
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        "amount": money_of(order, locale)(order.total),
        "why": _WHY.get(decline_code, _UNKNOWN),
        "deadline": format_deadline(deadline, event.time_zone, locale),
    }
    return Letter(
        "payment_failed",
        "",
        order.customer_email,
        f"Your payment for {short_title(event)} was declined (order {code})",
        label="PAYMENT DECLINED",
        heading=clean(event.title),
        words=words,
        language=locale,
    )
