"""What happens when a PaymentIntent is confirmed: ask the customer, charge, decline or wait."""

from deploy.local.stripe_sandbox import charges, disputes, events, schedule
from deploy.local.stripe_sandbox.cards import GENERIC_DECLINE, Decline
from deploy.local.stripe_sandbox.errors import JsonObject, refused
from deploy.local.stripe_sandbox.intent_states import move
from deploy.local.stripe_sandbox.payment_methods import TYPES, card_of
from deploy.local.stripe_sandbox.rendering import public
from deploy.local.stripe_sandbox.store import Transaction

AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
    "authentication_required",
)
AUTHENTICATION_FAILURE: JsonObject = {
    "code": "payment_intent_authentication_failure",
    "message": (
        "The provided PaymentMethod has failed authentication. You can provide"
        " payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent"
        " again."
    ),
    "type": "invalid_request_error",
}


def capture_method(intent: JsonObject, method_type: str) -> str:
    """A type's own setting in `payment_method_options` wins over the intent's."""
    options = (intent["payment_method_options"] or {}).get(method_type) or {}
    chosen: str = options.get("capture_method") or intent["capture_method"]
    return chosen


def check_method_type(intent: JsonObject, method_type: str) -> None:
    if method_type not in intent["payment_method_types"]:
        raise refused(
            f"The PaymentMethod provided ({method_type}) is not allowed for this PaymentIntent. "
            "Please attach a PaymentMethod with one of the following types: "
            f"{', '.join(intent['payment_method_types'])}.",
            code="payment_intent_incompatible_payment_method",
            param="payment_method",
        )


def start(
    tx: Transaction, intent: JsonObject, method: JsonObject, *, origin: str, may_ask: bool
) -> Decline | None:
    """Try to pay; `may_ask`: the customer is there to authenticate."""
    intent["payment_method"] = method["id"]
    intent["last_payment_error"] = None
    intent["next_action"] = None
    if TYPES[method["type"]].flow == "debit":
        _start_debit(tx, intent, method)
        return None
    if _needs_the_customer(method):
        if not may_ask:
            return _decline(tx, intent, method, AUTHENTICATION_REQUIRED)
        _ask(tx, intent, origin)
        return None
    return _charge(tx, intent, method)


def _needs_the_customer(method: JsonObject) -> bool:
    if TYPES[method["type"]].flow == "redirect":
        return True
    return card_of(method).needs_authentication


def _ask(tx: Transaction, intent: JsonObject, origin: str) -> None:
    move(intent, "requires_action")
    intent["next_action"] = {
        "type": "redirect_to_url",
        "redirect_to_url": {
            "return_url": intent.get("_return_url"),
            "url": f"{origin}/_sandbox/authenticate/{intent['id']}",
        },
    }
    tx.save(intent)
    events.emit(tx, "payment_intent.requires_action", intent)


def finish_authentication(tx: Transaction, intent: JsonObject, *, succeeded: bool) -> None:
    """The customer came back from their bank. The caller has checked that one was awaited."""
    assert intent["status"] == "requires_action", intent["status"]
    method = tx.get("payment_method", intent["payment_method"])
    assert method is not None
    intent["next_action"] = None
    if succeeded:
        _charge(tx, intent, method)
    else:
        _fail(tx, intent, method, dict(AUTHENTICATION_FAILURE))


def _charge(tx: Transaction, intent: JsonObject, method: JsonObject) -> Decline | None:
    decline = card_of(method).decline if method["type"] == "card" else None
    if decline is not None:
        return _decline(tx, intent, method, decline)
    charge = charges.make(tx, intent, method)
    intent["latest_charge"] = charge["id"]
    if capture_method(intent, method["type"]) == "manual":
        _authorize(tx, intent, charge)
    else:
        succeed(tx, intent, charge)
    return None


def _authorize(tx: Transaction, intent: JsonObject, charge: JsonObject) -> None:
    move(intent, "requires_capture")
    intent["amount_capturable"] = intent["amount"]
    tx.save(intent)
    schedule.after(tx, tx.settings.authorization_lifetime, "lapse", intent["id"])
    events.emit(tx, "charge.succeeded", charge)
    events.emit(tx, "payment_intent.amount_capturable_updated", intent)


def succeed(tx: Transaction, intent: JsonObject, charge: JsonObject) -> None:
    method_type: str = charge["payment_method_details"]["type"]
    is_async = capture_method(intent, method_type) == "automatic_async"
    charges.capture(tx, charge, charge["amount"], is_async=is_async)
    record_success(tx, intent, charge)
    events.emit(tx, "charge.succeeded", charge)
    events.emit(tx, "payment_intent.succeeded", intent)
    disputes.open_if_card_does(tx, charge)


def record_success(tx: Transaction, intent: JsonObject, charge: JsonObject) -> None:
    move(intent, "succeeded")
    intent["amount_capturable"] = 0
    intent["amount_received"] = charge["amount_captured"]
    tx.save(intent)


def _decline(tx: Transaction, intent: JsonObject, method: JsonObject, decline: Decline) -> Decline:
    charge = charges.make(tx, intent, method, decline)
    intent["latest_charge"] = charge["id"]
    _fail(tx, intent, method, {"charge": charge["id"], **decline.details()}, charge)
    return decline


def _fail(
    tx: Transaction,
    intent: JsonObject,
    method: JsonObject,
    error: JsonObject,
    charge: JsonObject | None = None,
) -> None:
    """Back to the start: the customer may try again with another payment method."""
    move(intent, "requires_payment_method")
    doc_url = f"https://stripe.com/docs/error-codes/{error['code'].replace('_', '-')}"
    intent["last_payment_error"] = {**error, "doc_url": doc_url, "payment_method": public(method)}
    intent["payment_method"] = None
    tx.save(intent)
    if charge is not None:
        events.emit(tx, "charge.failed", charge)
    events.emit(tx, "payment_intent.payment_failed", intent)


def _start_debit(tx: Transaction, intent: JsonObject, method: JsonObject) -> None:
    charge = charges.make(tx, intent, method)
    charge["status"] = "pending"
    charge["paid"] = False
    tx.save(charge)
    move(intent, "processing")
    intent["latest_charge"] = charge["id"]
    tx.save(intent)
    events.emit(tx, "charge.pending", charge)
    events.emit(tx, "payment_intent.processing", intent)
    schedule.after(tx, tx.settings.settlement_delay, "finish_debit", intent["id"])


def finish_debit(tx: Transaction, intent_id: str) -> None:
    intent = tx.get("payment_intent", intent_id)
    assert intent is not None
    if intent["status"] != "processing":
        return
    method = tx.get("payment_method", intent["payment_method"])
    assert method is not None
    charge = charges.load(tx, intent["latest_charge"])
    if method["_fails"]:
        charge["status"] = "failed"
        charge["failure_code"] = GENERIC_DECLINE.code
        charge["failure_message"] = "The bank account could not be debited."
        tx.save(charge)
        error = {**GENERIC_DECLINE.details(), "charge": charge["id"]}
        error["message"] = charge["failure_message"]
        _fail(tx, intent, method, error, charge)
    else:
        charge["status"] = "succeeded"
        charge["paid"] = True
        succeed(tx, intent, charge)


def lapse(tx: Transaction, intent_id: str) -> None:
    """Nobody captured in time: the bank gives the customer their money back."""
    intent = tx.get("payment_intent", intent_id)
    assert intent is not None
    if intent["status"] == "requires_capture":
        cancel(tx, intent, "expired", charge_event="charge.expired")


def cancel(tx: Transaction, intent: JsonObject, reason: str | None, *, charge_event: str) -> None:
    if intent["status"] == "requires_capture":
        charge = charges.load(tx, intent["latest_charge"])
        before = dict(charge)
        charges.release(tx, charge)
        events.emit(tx, charge_event, charge, before)
    move(intent, "canceled")
    intent["amount_capturable"] = 0
    intent["next_action"] = None
    intent["canceled_at"] = int(tx.now)
    intent["cancellation_reason"] = reason
    tx.save(intent)
    events.emit(tx, "payment_intent.canceled", intent)
