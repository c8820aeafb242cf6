"""Charges: one for every attempt to take money, and what became of it."""

from deploy.local.stripe_sandbox import balance, events, lists, params, schedule
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.cards import Decline
from deploy.local.stripe_sandbox.currencies import processing_fee
from deploy.local.stripe_sandbox.errors import JsonObject, no_such
from deploy.local.stripe_sandbox.payment_methods import BILLING_DETAILS
from deploy.local.stripe_sandbox.store import Transaction, new_id


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    return load(tx, call.path_params["id"])


def list_charges(tx: Transaction, call: Call) -> JsonObject:
    return lists.page(tx, call, "charge", lists.by(call, "payment_intent"))


def update(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("metadata", "description", "receipt_email", "expand"))
    charge = load(tx, call.path_params["id"])
    before = dict(charge)
    charge["metadata"] = params.merged_metadata(charge["metadata"], call.params)
    for name in ("description", "receipt_email"):
        if name in call.params:
            charge[name] = params.text(call.params, name)
    tx.save(charge)
    events.emit(tx, "charge.updated", charge, before)
    return charge


def load(tx: Transaction, charge_id: str, *, param: str = "id", status: int = 404) -> JsonObject:
    charge = tx.get("charge", charge_id)
    if charge is None:
        raise no_such("charge", charge_id, param=param, status=status)
    return charge


def make(
    tx: Transaction, intent: JsonObject, method: JsonObject, decline: Decline | None = None
) -> JsonObject:
    """Attempt a charge for the intent: authorised, unless declined; nothing is captured yet."""
    charge_id = new_id("ch" if method["type"] == "card" else "py")
    charge: JsonObject = {
        "id": charge_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": method.get("billing_details", BILLING_DETAILS),
        "calculated_statement_descriptor": "TESSERA SANDBOX",
        "captured": False,
        "created": int(tx.now),
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(tx, method),
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
        "_card_number": method.get("_card_number"),
    }
    tx.insert(charge)
    return charge


def _outcome(decline: Decline | None) -> JsonObject:
    if decline is None:
        return {
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 24,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "network_status": "not_sent_to_network" if decline.is_blocked else "declined_by_network",
        "reason": "highest_risk_level" if decline.is_blocked else decline.decline_code,
        "risk_level": "highest" if decline.is_blocked else "normal",
        "risk_score": 92 if decline.is_blocked else 24,
        "seller_message": (
            "Stripe blocked this payment as too risky."
            if decline.is_blocked
            else "The bank did not return any further details with this decline."
        ),
        "type": "blocked" if decline.is_blocked else "issuer_declined",
    }


def _method_details(tx: Transaction, method: JsonObject) -> JsonObject:
    kind: str = method["type"]
    if kind != "card":
        return {"type": kind, kind: method[kind]}
    card = {name: method["card"][name] for name in method["card"] if name != "generated_from"}
    card["capture_before"] = int(tx.now + tx.settings.authorization_lifetime)
    card["network"] = card["brand"]
    card["three_d_secure"] = None
    return {"type": "card", "card": card}


def capture(tx: Transaction, charge: JsonObject, amount: int, *, is_async: bool = False) -> None:
    """Take `amount` of what was authorised; the rest goes back to the customer.

    An asynchronous capture knows its balance transaction only later, with `charge.updated`.
    """
    charge["captured"] = True
    charge["amount_captured"] = amount
    charge["amount_refunded"] = charge["amount"] - amount
    if is_async:
        schedule.after(tx, tx.settings.settlement_delay, "settle_charge", charge["id"])
    else:
        _credit(tx, charge)
    tx.save(charge)


def settle(tx: Transaction, charge_id: str) -> None:
    charge = load(tx, charge_id)
    if charge["balance_transaction"] is None and charge["captured"]:
        before = dict(charge)
        _credit(tx, charge)
        tx.save(charge)
        events.emit(tx, "charge.updated", charge, before)


def _credit(tx: Transaction, charge: JsonObject) -> None:
    amount: int = charge["amount_captured"]
    kind = "charge" if charge["id"].startswith("ch_") else "payment"
    fee = processing_fee(amount, charge["currency"])
    movement = balance.record(tx, kind, charge, amount, fee=fee, why=charge["description"] or "")
    charge["balance_transaction"] = movement["id"]


def release(tx: Transaction, charge: JsonObject) -> None:
    """Give an authorisation back uncaptured; Stripe shows that as a refund of all of it."""
    charge["amount_refunded"] = charge["amount"]
    charge["refunded"] = True
    tx.save(charge)
