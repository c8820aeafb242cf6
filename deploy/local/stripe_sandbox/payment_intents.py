"""PaymentIntents as the API shows them: https://docs.stripe.com/api/payment_intents."""

import hmac

from deploy.local.stripe_sandbox import (
    attempts,
    charges,
    disputes,
    events,
    intent_states,
    lists,
    params,
)
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.cards import Decline
from deploy.local.stripe_sandbox.currencies import check_amount, check_currency
from deploy.local.stripe_sandbox.errors import (
    JsonObject,
    StripeError,
    invalid_request,
    missing_parameter,
    no_such,
    refused,
    unexpected_state,
)
from deploy.local.stripe_sandbox.payment_methods import TYPES, resolve
from deploy.local.stripe_sandbox.rendering import public
from deploy.local.stripe_sandbox.store import Transaction, new_id

CAPTURE_METHODS = ("automatic", "automatic_async", "manual")
CANCELLATION_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")

# What API version `settings.API_VERSION` has and the sandbox understands. That version has no
# `payment_method_types` in requests any more; `allowed_payment_method_types` took its place.
REVISABLE = frozenset({
    "allowed_payment_method_types", "capture_method", "excluded_payment_method_types",
    "payment_method_options", "receipt_email", "setup_future_usage", "shipping",
})  # fmt: skip
METHOD = frozenset({"payment_method", "payment_method_data", "expand"})
CONFIRMATION = frozenset({
    "error_on_requires_action", "mandate_data", "off_session", "return_url", "use_stripe_sdk",
})  # fmt: skip
DESCRIPTION = frozenset({
    "amount", "currency", "description", "metadata", "statement_descriptor",
    "statement_descriptor_suffix",
})  # fmt: skip
AT_CREATE_ONLY = frozenset({"automatic_payment_methods", "confirm", "confirmation_method"})
KNOWN_AT_CREATE = REVISABLE | METHOD | CONFIRMATION | DESCRIPTION | AT_CREATE_ONLY
KNOWN_AT_UPDATE = REVISABLE | METHOD | DESCRIPTION | {"client_secret"}
KNOWN_AT_CONFIRM = REVISABLE | METHOD | CONFIRMATION | {"client_secret"}
# What a page may say when it confirms: nothing about how the shop wants its money.
KNOWN_FROM_PAGES = METHOD | {
    "client_secret", "mandate_data", "receipt_email", "return_url", "shipping", "use_stripe_sdk",
}  # fmt: skip

# The values of `off_session` that say the customer is not there to authenticate.
OFF_SESSION = ("true", "one_off", "recurring")
TEXTS = ("description", "receipt_email", "setup_future_usage", "statement_descriptor",
         "statement_descriptor_suffix")  # fmt: skip


def create(tx: Transaction, call: Call) -> JsonObject:
    given = call.params
    params.refuse_unknown(given, KNOWN_AT_CREATE)
    intent = _new(tx, given)
    _revise(intent, given)
    method = resolve(tx, given)
    if method is not None:
        attempts.check_method_type(intent, method["type"])
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_confirmation"
    tx.insert(intent)
    events.emit(tx, "payment_intent.created", intent)
    if params.boolean(given, "confirm"):
        return _confirm(tx, intent, method, call)
    return intent


def _new(tx: Transaction, given: JsonObject) -> JsonObject:
    amount = params.positive(given, "amount")
    if amount is None:
        raise missing_parameter("amount")
    currency = params.required_text(given, "currency").lower()
    check_currency(currency)
    check_amount(amount, currency)
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "allowed_payment_method_types": None,
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": _automatic_payment_methods(given),
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{new_id('')[1:]}",
        "confirmation_method": params.text(given, "confirmation_method") or "automatic",
        "created": int(tx.now),
        "currency": currency,
        "customer": None,
        "description": None,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": params.merged_metadata({}, given),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": [],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        "_return_url": params.text(given, "return_url"),
    }


def _automatic_payment_methods(given: JsonObject) -> JsonObject | None:
    """On unless switched off: the default since API version 2023-08-16."""
    settings = params.group(given, "automatic_payment_methods")
    if not params.boolean(settings, "enabled", default=True):
        return None
    redirects = params.choice(settings, "allow_redirects", ("always", "never")) or "always"
    return {"allow_redirects": redirects, "enabled": True}


def _revise(intent: JsonObject, given: JsonObject) -> None:
    """Take over what may be said at any call, and find the types of method that fit it."""
    for name in TEXTS:
        if name in given:
            intent[name] = params.text(given, name)
    if "shipping" in given:
        intent["shipping"] = params.group(given, "shipping") or None
    for name in ("allowed_payment_method_types", "excluded_payment_method_types"):
        if name in given:
            intent[name] = _known_types(given, name) or None
    options = params.group(given, "payment_method_options")
    for kind in options:
        params.choice(params.group(options, kind), "capture_method", CAPTURE_METHODS)
    intent["payment_method_options"] = {**intent["payment_method_options"], **options}
    capture_method = params.choice(given, "capture_method", CAPTURE_METHODS)
    intent["capture_method"] = capture_method or intent["capture_method"]
    intent["payment_method_types"] = _fitting_types(intent)


def _fitting_types(intent: JsonObject) -> list[str]:
    """Of the types allowed, those that fit the currency and the way of capturing."""
    currency, capture_method = intent["currency"], intent["capture_method"]
    automatic = intent["automatic_payment_methods"]
    allowed = intent["allowed_payment_method_types"] or (list(TYPES) if automatic else ["card"])
    excluded = intent["excluded_payment_method_types"] or []
    redirects = automatic is None or automatic["allow_redirects"] == "always"
    fitting = [
        name
        for name, kind in TYPES.items()
        if name in allowed
        and name not in excluded
        and (kind.currencies is None or currency in kind.currencies)
        and (kind.can_be_authorized or capture_method != "manual")
        and (kind.flow != "redirect" or redirects)
    ]
    if not fitting:
        raise invalid_request(
            "No valid payment method types for this Payment Intent. Please ensure that the types"
            f" you allow are compatible with currency {currency} and capture_method"
            f" {capture_method}.",
            param="allowed_payment_method_types",
            code="payment_intent_incompatible_payment_method",
        )
    return fitting


def _known_types(given: JsonObject, name: str) -> list[str]:
    types = params.texts(given, name)
    for kind in types:
        if kind not in TYPES:
            raise invalid_request(f'The payment method type "{kind}" is invalid.', param=name)
    return types


def load(tx: Transaction, call: Call) -> JsonObject:
    """The intent the address names; the publishable key must prove it with the client secret."""
    intent_id = call.path_params["id"]
    intent = tx.get("payment_intent", intent_id)
    secret = params.text(call.params, "client_secret")
    if call.is_public and secret is None:
        raise missing_parameter("client_secret")
    if intent is None:
        raise no_such("payment_intent", intent_id, param="intent")
    if secret is not None and not hmac.compare_digest(
        secret.encode(), intent["client_secret"].encode()
    ):
        if call.is_public:
            raise no_such("payment_intent", intent_id, param="intent")
        raise invalid_request(
            "The client_secret provided does not match the client_secret associated with this"
            " PaymentIntent.",
            param="client_secret",
            code="payment_intent_invalid_parameter",
        )
    return intent


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("client_secret", "expand"))
    return load(tx, call)


def list_intents(tx: Transaction, call: Call) -> JsonObject:
    return lists.page(tx, call, "payment_intent")


def update(tx: Transaction, call: Call) -> JsonObject:
    given = call.params
    params.refuse_unknown(given, KNOWN_AT_UPDATE)
    intent = load(tx, call)
    if "amount" in given or "currency" in given:
        _change_amount(intent, given)
    if "capture_method" in given:
        intent_states.require(intent, intent_states.CHANGEABLE, "updated")
    _revise(intent, given)
    method = resolve(tx, given)
    if method is not None:
        intent_states.require(intent, intent_states.CHANGEABLE, "updated")
        attempts.check_method_type(intent, method["type"])
        intent["payment_method"] = method["id"]
        intent_states.move(intent, "requires_confirmation")
        intent["next_action"] = None
    intent["metadata"] = params.merged_metadata(intent["metadata"], given)
    tx.save(intent)
    return intent


def _change_amount(intent: JsonObject, given: JsonObject) -> None:
    """A new amount needs a new confirmation."""
    amount = params.positive(given, "amount") or intent["amount"]
    currency = (params.text(given, "currency") or intent["currency"]).lower()
    intent_states.require(intent, intent_states.CHANGEABLE, "updated")
    check_currency(currency)
    check_amount(amount, currency)
    intent["amount"], intent["currency"] = amount, currency
    if intent["status"] == "requires_action":
        intent_states.move(intent, "requires_confirmation")
        intent["next_action"] = None


def confirm(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, KNOWN_FROM_PAGES if call.is_public else KNOWN_AT_CONFIRM)
    intent = load(tx, call)
    intent_states.require(intent, intent_states.CONFIRMABLE, "confirmed")
    _revise(intent, call.params)
    method = resolve(tx, call.params)
    if method is None and intent["payment_method"] is not None:
        method = tx.get("payment_method", intent["payment_method"])
    return _confirm(tx, intent, method, call)


def _confirm(
    tx: Transaction, intent: JsonObject, method: JsonObject | None, call: Call
) -> JsonObject:
    given = call.params
    if method is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can"
            " either update the PaymentIntent with a payment method and then confirm it again, or"
            " confirm it again directly with a payment method or ConfirmationToken.",
            public(intent),
        )
    attempts.check_method_type(intent, method["type"])
    intent["_return_url"] = params.text(given, "return_url") or intent["_return_url"]
    if TYPES[method["type"]].flow == "redirect" and not intent["_return_url"]:
        raise missing_parameter("return_url")
    is_away = params.text(given, "off_session") in OFF_SESSION
    may_ask = not (is_away or params.boolean(given, "error_on_requires_action"))
    decline = attempts.start(tx, intent, method, origin=call.origin, may_ask=may_ask)
    if decline is not None:
        raise _declined(decline, intent, method)
    return intent


def _declined(decline: Decline, intent: JsonObject, method: JsonObject) -> StripeError:
    details: JsonObject = {
        "charge": intent["latest_charge"],
        "payment_intent": public(intent),
        "payment_method": public(method),
    }
    if decline.decline_code:
        details["decline_code"] = decline.decline_code
    return StripeError(
        402,
        "card_error",
        decline.message,
        code=decline.code,
        param=decline.param,
        details=details,
        keeps_effects=True,
        is_remembered=True,
    )


def capture(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("amount_to_capture", "expand", "final_capture", "metadata"))
    amount = params.positive(call.params, "amount_to_capture")
    intent = load(tx, call)
    intent_states.require(intent, intent_states.CAPTURABLE, "captured")
    amount = intent["amount_capturable"] if amount is None else amount
    if amount > intent["amount_capturable"]:
        raise refused(
            f"The amount to capture ({amount}) is greater than the amount that can be captured"
            f" ({intent['amount_capturable']}).",
            param="amount_to_capture",
            code="amount_too_large",
        )
    intent["metadata"] = params.merged_metadata(intent["metadata"], call.params)
    charge = charges.load(tx, intent["latest_charge"])
    before = dict(charge)
    charges.capture(tx, charge, amount)
    attempts.record_success(tx, intent, charge)
    events.emit(tx, "charge.captured", charge, before)
    events.emit(tx, "payment_intent.succeeded", intent)
    disputes.open_if_card_does(tx, charge)
    return intent


def cancel(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("cancellation_reason", "expand"))
    reason = params.choice(call.params, "cancellation_reason", CANCELLATION_REASONS)
    intent = load(tx, call)
    intent_states.require(intent, intent_states.CANCELABLE, "canceled")
    attempts.cancel(tx, intent, reason, charge_event="charge.refunded")
    return intent
