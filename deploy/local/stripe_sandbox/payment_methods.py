"""What a customer pays with: a test card, a bank redirect or a bank debit."""

import hashlib
import time
from dataclasses import dataclass
from typing import Literal

from deploy.local.stripe_sandbox import params
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.cards import (
    BY_NAME,
    BY_NUMBER,
    INVALID_EXPIRY_YEAR,
    Decline,
    TestCard,
    why_unusable,
)
from deploy.local.stripe_sandbox.errors import (
    JsonObject,
    StripeError,
    invalid_request,
    missing_parameter,
    no_such,
)
from deploy.local.stripe_sandbox.store import Transaction, new_id

Flow = Literal["card", "redirect", "debit"]


@dataclass(frozen=True, slots=True)
class MethodType:
    """`redirect` sends the customer to their bank first; `debit` takes days to succeed or fail.

    Only cards can be authorised now and captured later; the others charge at once.
    """

    flow: Flow
    currencies: frozenset[str] | None = None

    @property
    def can_be_authorized(self) -> bool:
        return self.flow == "card"


EUR_ONLY = frozenset({"eur"})

TYPES: dict[str, MethodType] = {
    "card": MethodType("card"),
    "bancontact": MethodType("redirect", EUR_ONLY),
    "eps": MethodType("redirect", EUR_ONLY),
    "ideal": MethodType("redirect", EUR_ONLY),
    "p24": MethodType("redirect", frozenset({"eur", "pln"})),
    "sepa_debit": MethodType("debit", EUR_ONLY),
}

DEBIT_SUCCEEDS = "DE89370400440532013000"
DEBIT_FAILS = "DE62370400440532013001"
# Ready-made ids for methods that Stripe.js would make from what the customer types.
READY_MADE: dict[str, JsonObject] = {
    "pm_bancontact": {"type": "bancontact"},
    "pm_eps": {"type": "eps"},
    "pm_ideal": {"type": "ideal"},
    "pm_p24": {"type": "p24"},
    "pm_sepa_debit": {"type": "sepa_debit", "sepa_debit": {"iban": DEBIT_SUCCEEDS}},
    "pm_success_de": {"type": "sepa_debit", "sepa_debit": {"iban": DEBIT_SUCCEEDS}},
    "pm_failed_de": {"type": "sepa_debit", "sepa_debit": {"iban": DEBIT_FAILS}},
}

BILLING_DETAILS: JsonObject = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def create(tx: Transaction, call: Call) -> JsonObject:
    return make(tx, call.params)


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    method_id = call.path_params["id"]
    method = tx.get("payment_method", method_id)
    if method is None:
        raise no_such("PaymentMethod", method_id, param="payment_method")
    return method


def resolve(tx: Transaction, given: JsonObject) -> JsonObject | None:
    """The payment method that `payment_method` or `payment_method_data` names; None: neither."""
    method_id = params.text(given, "payment_method")
    data = params.group(given, "payment_method_data")
    if method_id is None:
        return make(tx, data) if data else None
    if method_id in READY_MADE:
        return make(tx, READY_MADE[method_id])
    card = BY_NAME.get(method_id.removeprefix("pm_card_"))
    if card and method_id.startswith("pm_card_"):
        return _make_card(tx, card, {}, {})
    method = tx.get("payment_method", method_id)
    if method is None:
        raise no_such("PaymentMethod", method_id, param="payment_method", status=400)
    return method


def make(tx: Transaction, data: JsonObject) -> JsonObject:
    kind = params.required_text(data, "type")
    if kind not in TYPES:
        raise invalid_request(f"Invalid type: must be one of {', '.join(TYPES)}", param="type")
    if kind == "card":
        given = params.group(data, "card")
        return _make_card(tx, _card(given), given, data)
    method = _new(tx, kind, data)
    method[kind] = {}
    if kind == "sepa_debit":
        iban = params.required_text(params.group(data, "sepa_debit"), "iban").replace(" ", "")
        method["sepa_debit"] = {"country": iban[:2], "last4": iban[-4:], "bank_code": iban[4:12]}
        method["_fails"] = iban == DEBIT_FAILS
    tx.insert(method)
    return method


def card_of(method: JsonObject) -> TestCard:
    return BY_NUMBER[method["_card_number"]]


def _card(given: JsonObject) -> TestCard:
    token = params.text(given, "token")
    if token is not None:
        card = BY_NAME.get(token.removeprefix("tok_"))
        if card is None or not token.startswith("tok_"):
            raise no_such("token", token, param="payment_method_data[card][token]", status=400)
        return card
    number = params.text(given, "number")
    if number is None:
        raise missing_parameter("card")
    number = number.replace(" ", "").replace("-", "")
    problem = why_unusable(number) or _expiry_problem(given)
    if problem is not None:
        raise unusable(problem)
    return BY_NUMBER[number]


def _expiry_problem(given: JsonObject) -> Decline | None:
    year = params.integer(given, "exp_year")
    full_year = None if year is None else year if year > 99 else 2000 + year
    past = full_year is not None and full_year < time.gmtime().tm_year
    return INVALID_EXPIRY_YEAR if past else None


def unusable(problem: Decline) -> StripeError:
    """A card that never became a payment method; nothing was attempted."""
    details = problem.details()
    message, code, kind = details.pop("message"), details.pop("code"), details.pop("type")
    return StripeError(402, kind, message, code=code, param=problem.param, details=details)


def _make_card(tx: Transaction, card: TestCard, given: JsonObject, data: JsonObject) -> JsonObject:
    method = _new(tx, "card", data)
    method["_card_number"] = card.number
    year = params.integer(given, "exp_year") or time.gmtime().tm_year + 4
    method["card"] = {
        "brand": card.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "unchecked",
        },
        "country": card.country,
        "display_brand": card.brand,
        "exp_month": params.integer(given, "exp_month") or 12,
        "exp_year": year if year > 99 else 2000 + year,
        # The same card has the same fingerprint, whoever uses it.
        "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
        "funding": card.funding,
        "generated_from": None,
        "last4": card.number[-4:],
        "networks": {"available": [card.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    tx.insert(method)
    return method


def _new(tx: Transaction, kind: str, data: JsonObject) -> JsonObject:
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {**BILLING_DETAILS, **params.group(data, "billing_details")},
        "created": int(tx.now),
        "customer": None,
        "livemode": False,
        "metadata": params.merged_metadata({}, data),
        "type": kind,
    }
