"""Refunds: money on its way back, all of it or a part."""

from deploy.local.stripe_sandbox import balance, charges, events, lists, params, schedule
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.cards import BY_NUMBER, Refunding
from deploy.local.stripe_sandbox.currencies import money
from deploy.local.stripe_sandbox.errors import (
    JsonObject,
    StripeError,
    invalid_request,
    no_such,
    refused,
)
from deploy.local.stripe_sandbox.store import Transaction, new_id

REASONS = ("duplicate", "fraudulent", "requested_by_customer")
KNOWN = ("payment_intent", "charge", "amount", "reason", "metadata", "currency", "expand")
MAX_FUNDED_AT_ONCE = 100


def create(tx: Transaction, call: Call) -> JsonObject:
    given = call.params
    params.refuse_unknown(given, KNOWN)
    reason = params.choice(given, "reason", REASONS)
    amount = params.positive(given, "amount")
    charge = _refundable_charge(tx, given)
    amount = _check_amount(charge, amount)
    refund = _new(tx, charge, amount, reason, params.merged_metadata({}, given))
    before = dict(charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    tx.save(charge)
    _pay_or_wait(tx, refund)
    tx.insert(refund)
    events.emit(tx, "charge.refunded", charge, before)
    events.emit(tx, "refund.created", refund)
    return refund


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    refund_id = call.path_params["id"]
    refund = tx.get("refund", refund_id)
    if refund is None:
        raise no_such("refund", refund_id)
    return refund


def update(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("metadata", "expand"))
    refund = retrieve(tx, call)
    before = dict(refund)
    refund["metadata"] = params.merged_metadata(refund["metadata"], call.params)
    _changed(tx, refund, before)
    return refund


def list_refunds(tx: Transaction, call: Call) -> JsonObject:
    return lists.page(tx, call, "refund", lists.by(call, "payment_intent", "charge"))


def _refundable_charge(tx: Transaction, given: JsonObject) -> JsonObject:
    intent_id = params.text(given, "payment_intent")
    charge_id = params.text(given, "charge")
    if intent_id is None and charge_id is None:
        raise invalid_request(
            "One of the following params should be provided for this request: payment_intent or"
            " charge.",
            code="parameter_missing",
        )
    if intent_id is not None:
        charge = _charge_of(tx, intent_id)
    else:
        assert charge_id is not None
        charge = charges.load(tx, charge_id, param="charge", status=400)
    if charge["status"] != "succeeded":
        raise refused(f"Charge {charge['id']} is not refundable.", code="charge_not_refundable")
    if charge["disputed"] and not charge.get("_is_refundable_while_disputed"):
        raise _charged_back(charge)
    if charge["refunded"]:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    return charge


def _charged_back(charge: JsonObject) -> StripeError:
    return refused(
        f"Charge {charge['id']} has been charged back; cannot issue a refund.",
        code="charge_disputed",
    )


def _charge_of(tx: Transaction, intent_id: str) -> JsonObject:
    intent = tx.get("payment_intent", intent_id)
    if intent is None:
        raise no_such("payment_intent", intent_id, param="payment_intent")
    if intent["status"] != "succeeded":
        raise refused(
            f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
            param="payment_intent",
            code="payment_intent_unexpected_state",
        )
    return charges.load(tx, intent["latest_charge"])


def _check_amount(charge: JsonObject, amount: int | None) -> int:
    lost: int = charge.get("_lost", 0)
    remaining: int = max(charge["amount"] - charge["amount_refunded"] - lost, 0)
    if lost and (amount or 1) > remaining:
        raise _charged_back(charge)
    if amount is None:
        return remaining
    if amount > remaining:
        currency = charge["currency"]
        raise refused(
            f"Refund amount ({money(amount, currency)}) is greater than unrefunded amount on"
            f" charge ({money(remaining, currency)})",
            param="amount",
        )
    return amount


def _new(
    tx: Transaction, charge: JsonObject, amount: int, reason: str | None, metadata: JsonObject
) -> JsonObject:
    kind = charge["payment_method_details"]["type"]
    details: JsonObject = {"type": kind, kind: {}}
    if kind == "card":
        details["card"] = {"reference_status": "pending", "type": "refund"}
    return {
        "id": new_id("re" if kind == "card" else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": int(tx.now),
        "currency": charge["currency"],
        "destination_details": details,
        "metadata": metadata,
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "pending",
        "transfer_reversal": None,
        "_refunding": _refunding(charge),
    }


def _refunding(charge: JsonObject) -> Refunding:
    """What the test card does to its refunds; banks take their time."""
    number = charge["_card_number"]
    return BY_NUMBER[number].refunding if number else "pends"


def _pay_or_wait(tx: Transaction, refund: JsonObject) -> None:
    """Take the money from the balance; where there is not enough, wait for more."""
    amount, currency = refund["amount"], refund["currency"]
    if not balance.can_pay(tx, amount, currency):
        refund["status"] = "pending"
        refund["pending_reason"] = "insufficient_funds"
        return
    refund.pop("pending_reason", None)
    refund["balance_transaction"] = balance.record(tx, "refund", refund, -amount)["id"]
    if refund["_refunding"] == "pends":
        refund["pending_reason"] = "processing"
        schedule.after(tx, tx.settings.settlement_delay, "settle_refund", refund["id"])
        return
    refund["status"] = "succeeded"
    if refund["_refunding"] == "fails":
        schedule.after(tx, tx.settings.settlement_delay, "fail_refund", refund["id"])


def fund_waiting(tx: Transaction, currency: str) -> None:
    """Pay, oldest first, the refunds that wait for funds, as far as there are any now."""
    waiting = tx.select(
        "kind = 'refund' AND json_extract(body, '$.pending_reason') = 'insufficient_funds'"
        " AND json_extract(body, '$.currency') = ? ORDER BY seq LIMIT ?",
        (currency, MAX_FUNDED_AT_ONCE),
    )
    for refund in waiting:
        before = dict(refund)
        _pay_or_wait(tx, refund)
        if refund != before:
            _changed(tx, refund, before)
    if len(waiting) == MAX_FUNDED_AT_ONCE and "pending_reason" not in waiting[-1]:
        schedule.after(tx, 0.0, "fund_refunds", currency)


def settle(tx: Transaction, refund_id: str) -> None:
    refund = tx.get("refund", refund_id)
    assert refund is not None
    if refund["status"] == "pending":
        before = dict(refund)
        refund.pop("pending_reason", None)
        refund["status"] = "succeeded"
        _changed(tx, refund, before)


def fail(tx: Transaction, refund_id: str) -> None:
    """The customer's bank sent the money back; the charge counts as not refunded again."""
    refund = tx.get("refund", refund_id)
    assert refund is not None
    if refund["status"] == "failed":
        return
    before = dict(refund)
    refund.pop("pending_reason", None)
    refund["status"] = "failed"
    refund["failure_reason"] = "unknown"
    if refund["balance_transaction"] is not None:
        returned = balance.record(tx, "refund_failure", refund, refund["amount"])
        refund["failure_balance_transaction"] = returned["id"]
    charge = charges.load(tx, refund["charge"])
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    tx.save(charge)
    _changed(tx, refund, before)
    events.emit(tx, "refund.failed", refund)


def _changed(tx: Transaction, refund: JsonObject, before: JsonObject) -> None:
    tx.save(refund)
    events.emit(tx, "refund.updated", refund, before)
    events.emit(tx, "charge.refund.updated", refund, before)
