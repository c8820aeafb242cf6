"""Stripe's documented test cards and what each one does: https://docs.stripe.com/testing."""

from dataclasses import dataclass
from typing import Literal

from deploy.local.stripe_sandbox.errors import JsonObject


@dataclass(frozen=True, slots=True)
class Decline:
    """Why a payment fails: `code` for programs, `decline_code` for what the bank said."""

    code: str
    message: str
    decline_code: str | None = None
    param: str | None = None
    is_blocked: bool = False

    def details(self) -> JsonObject:
        details: JsonObject = {"code": self.code, "message": self.message, "type": "card_error"}
        if self.decline_code:
            details["decline_code"] = self.decline_code
        return details


DECLINED = "Your card was declined."
GENERIC_DECLINE = Decline("card_declined", DECLINED, "generic_decline")
INSUFFICIENT_FUNDS = Decline(
    "card_declined", "Your card has insufficient funds.", "insufficient_funds"
)
LOST_CARD = Decline("card_declined", DECLINED, "lost_card")
STOLEN_CARD = Decline("card_declined", DECLINED, "stolen_card")
VELOCITY_LIMIT = Decline(
    "card_declined",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount"
    " limit.",
    "card_velocity_exceeded",
)
FRAUDULENT = Decline("card_declined", DECLINED, "fraudulent", is_blocked=True)
EXPIRED_CARD = Decline("expired_card", "Your card has expired.", "expired_card", param="exp_month")
INCORRECT_CVC = Decline(
    "incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc", param="cvc"
)
PROCESSING_ERROR = Decline(
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
    "processing_error",
)
INCORRECT_NUMBER = Decline("incorrect_number", "Your card number is incorrect.", param="number")
INVALID_EXPIRY_YEAR = Decline(
    "invalid_expiry_year", "Your card's expiration year is invalid.", param="exp_year"
)
NOT_A_TEST_CARD = Decline(
    "card_declined",
    "Your card was declined. Your request was in test mode, but used a non test card. For a list"
    " of valid test cards, visit: https://stripe.com/docs/testing.",
    "test_mode_live_card",
)

Refunding = Literal["succeeds", "pends", "fails"]


@dataclass(frozen=True, slots=True)
class TestCard:
    """`names` are what follows `pm_card_` and `tok_` in Stripe's test identifiers."""

    number: str
    names: tuple[str, ...]
    brand: str = "visa"
    country: str = "US"
    funding: str = "credit"
    decline: Decline | None = None
    needs_authentication: bool = False
    dispute_reason: str | None = None
    dispute_is_inquiry: bool = False
    refunding: Refunding = "succeeds"


CARDS = (
    TestCard("4242424242424242", ("visa",)),
    TestCard("4000056655665556", ("visa_debit",), funding="debit"),
    TestCard("5555555555554444", ("mastercard",), brand="mastercard"),
    TestCard("5200828282828210", ("mastercard_debit",), brand="mastercard", funding="debit"),
    TestCard("5105105105105100", ("mastercard_prepaid",), brand="mastercard", funding="prepaid"),
    TestCard("378282246310005", ("amex",), brand="amex"),
    TestCard("6011111111111117", ("discover",), brand="discover"),
    TestCard("3056930009020004", ("diners",), brand="diners"),
    TestCard("3566002020360505", ("jcb",), brand="jcb", country="JP"),
    TestCard("6200000000000005", ("unionpay",), brand="unionpay", country="CN"),
    TestCard("4000002760000016", ("de",), country="DE"),
    TestCard("4000002500000003", ("fr",), country="FR"),
    TestCard("4000008260000000", ("gb",), country="GB"),
    TestCard("4000000000000077", ("bypassPending",)),
    TestCard(
        "4000000000000002",
        ("visa_chargeDeclined", "chargeDeclined"),
        decline=GENERIC_DECLINE,
    ),
    TestCard(
        "4000000000009995",
        ("visa_chargeDeclinedInsufficientFunds", "chargeDeclinedInsufficientFunds"),
        decline=INSUFFICIENT_FUNDS,
    ),
    TestCard("4000000000009987", ("visa_chargeDeclinedLostCard",), decline=LOST_CARD),
    TestCard("4000000000009979", ("visa_chargeDeclinedStolenCard",), decline=STOLEN_CARD),
    TestCard("4000000000000069", ("chargeDeclinedExpiredCard",), decline=EXPIRED_CARD),
    TestCard("4000000000000127", ("chargeDeclinedIncorrectCvc",), decline=INCORRECT_CVC),
    TestCard("4000000000000119", ("chargeDeclinedProcessingError",), decline=PROCESSING_ERROR),
    TestCard(
        "4000000000006975",
        ("visa_chargeDeclinedVelocityLimitExceeded",),
        decline=VELOCITY_LIMIT,
    ),
    TestCard("4000000000000341", ("chargeCustomerFail",), decline=GENERIC_DECLINE),
    TestCard("4100000000000019", ("radarBlock",), decline=FRAUDULENT),
    TestCard("4000002500003155", ("authenticationRequiredOnSetup",), needs_authentication=True),
    TestCard("4000002760003184", ("authenticationRequired",), needs_authentication=True),
    TestCard("4000000000003220", ("threeDSecure2Required",), needs_authentication=True),
    TestCard(
        "4000008260003178",
        ("authenticationRequiredChargeDeclinedInsufficientFunds",),
        needs_authentication=True,
        decline=INSUFFICIENT_FUNDS,
    ),
    TestCard(
        "4000008400001629",
        ("threeDSecureRequiredChargeDeclined",),
        needs_authentication=True,
        decline=GENERIC_DECLINE,
    ),
    TestCard("4000000000000259", ("createDispute",), dispute_reason="fraudulent"),
    TestCard(
        "4000000000002685",
        ("createDisputeProductNotReceived",),
        dispute_reason="product_not_received",
    ),
    TestCard(
        "4000000000001976",
        ("createDisputeInquiry",),
        dispute_reason="fraudulent",
        dispute_is_inquiry=True,
    ),
    TestCard("4000000000007726", ("pendingRefund",), refunding="pends"),
    TestCard("4000000000005126", ("refundFail",), refunding="fails"),
)

BY_NUMBER = {card.number: card for card in CARDS}
BY_NAME = {name: card for card in CARDS for name in card.names}


def passes_luhn(number: str) -> bool:
    """The check digit of ISO/IEC 7812-1."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def why_unusable(number: str) -> Decline | None:
    """Why Stripe would not even make a payment method of this number in test mode."""
    if not (number.isascii() and number.isdecimal() and passes_luhn(number)):
        return INCORRECT_NUMBER
    return None if number in BY_NUMBER else NOT_A_TEST_CARD
