"""The life of a PaymentIntent: https://docs.stripe.com/payments/paymentintents/lifecycle."""

from deploy.local.stripe_sandbox.errors import JsonObject, unexpected_state
from deploy.local.stripe_sandbox.rendering import public

OUTCOMES = frozenset(
    {"requires_payment_method", "requires_action", "processing", "requires_capture", "succeeded"}
)

MOVES: dict[str, frozenset[str]] = {
    "requires_payment_method": OUTCOMES | {"requires_confirmation", "canceled"},
    "requires_confirmation": OUTCOMES | {"requires_confirmation", "canceled"},
    "requires_action": OUTCOMES | {"requires_confirmation", "canceled"},
    "processing": frozenset({"requires_payment_method", "succeeded"}),
    "requires_capture": frozenset({"succeeded", "canceled"}),
    "succeeded": frozenset(),
    "canceled": frozenset(),
}

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")
CAPTURABLE = ("requires_capture",)
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
CHANGEABLE = CONFIRMABLE


def move(intent: JsonObject, status: str) -> None:
    assert status in MOVES[intent["status"]], (intent["status"], status)
    intent["status"] = status


def require(intent: JsonObject, statuses: tuple[str, ...], verb: str) -> None:
    """`verb` as Stripe's message has it: `captured`.

    Raises:
        StripeError: `payment_intent_unexpected_state`.
    """
    if intent["status"] in statuses:
        return
    if verb == "confirmed" and intent["status"] == "succeeded":
        message = (
            "You cannot confirm this PaymentIntent because it has already succeeded after being"
            " previously confirmed."
        )
    else:
        message = (
            f"This PaymentIntent could not be {verb} because it has a status of "
            f"{intent['status']}. Only a PaymentIntent with one of the following statuses may be "
            f"{verb}: {', '.join(statuses)}."
        )
    raise unexpected_state(message, public(intent))
