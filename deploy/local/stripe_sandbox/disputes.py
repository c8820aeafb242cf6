"""Disputes: the customer's bank takes the money back and asks for evidence."""

import copy
from typing import Literal

from deploy.local.stripe_sandbox import balance, charges, events, lists, params
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.cards import BY_NUMBER
from deploy.local.stripe_sandbox.errors import JsonObject, no_such, refused
from deploy.local.stripe_sandbox.store import Transaction, new_id

FEE = 1500
EVIDENCE_TIME = 9 * 86_400
FINAL = frozenset({"won", "lost", "warning_closed"})
REASONS = (
    "bank_cannot_process", "check_returned", "credit_not_processed", "customer_initiated",
    "debit_not_authorized", "duplicate", "fraudulent", "general", "incorrect_account_details",
    "insufficient_funds", "noncompliant", "product_not_received", "product_unacceptable",
    "subscription_canceled", "unrecognized",
)  # fmt: skip
# What to write as `uncategorized_text` to decide a test dispute: Stripe's documented values.
VERDICTS: dict[str, Literal["won", "lost"]] = {
    "winning_evidence": "won",
    "losing_evidence": "lost",
}


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    return load(tx, call.path_params["id"])


def list_disputes(tx: Transaction, call: Call) -> JsonObject:
    return lists.page(tx, call, "dispute", lists.by(call, "payment_intent", "charge"))


def update(tx: Transaction, call: Call) -> JsonObject:
    """Submit evidence; the magic words decide the dispute, others leave it under review."""
    params.refuse_unknown(call.params, ("evidence", "expand", "metadata", "submit"))
    dispute = retrieve(tx, call)
    _check_open(dispute)
    before = copy.deepcopy(dispute)
    evidence = params.group(call.params, "evidence")
    dispute["metadata"] = params.merged_metadata(dispute["metadata"], call.params)
    dispute["evidence"] = {**dispute["evidence"], **evidence}
    if evidence and params.boolean(call.params, "submit", default=True):
        is_inquiry = dispute["status"].startswith("warning")
        dispute["status"] = "warning_under_review" if is_inquiry else "under_review"
        dispute["evidence_details"]["submission_count"] += 1
        dispute["evidence_details"]["has_evidence"] = True
    tx.save(dispute)
    events.emit(tx, "charge.dispute.updated", dispute, before)
    verdict = VERDICTS.get(params.text(evidence, "uncategorized_text") or "")
    if verdict is not None and dispute["status"].endswith("under_review"):
        decide(tx, dispute, verdict)
    return dispute


def close(tx: Transaction, call: Call) -> JsonObject:
    """Accept that the customer is right."""
    params.refuse_unknown(call.params, ("expand",))
    dispute = retrieve(tx, call)
    _check_open(dispute)
    decide(tx, dispute, "lost")
    return dispute


def load(tx: Transaction, dispute_id: str) -> JsonObject:
    dispute = tx.get("dispute", dispute_id)
    if dispute is None:
        raise no_such("dispute", dispute_id)
    return dispute


def _check_open(dispute: JsonObject) -> None:
    if dispute["status"] in FINAL:
        raise refused("This dispute is already closed")


def open_if_card_does(tx: Transaction, charge: JsonObject) -> None:
    """Some test cards dispute whatever is charged to them."""
    card = BY_NUMBER.get(charge["_card_number"] or "")
    if card is not None and card.dispute_reason is not None:
        open_dispute(tx, charge, card.dispute_reason, is_inquiry=card.dispute_is_inquiry)


def open_dispute(
    tx: Transaction,
    charge: JsonObject,
    reason: str,
    *,
    is_inquiry: bool = False,
    amount: int | None = None,
) -> JsonObject:
    """An inquiry only asks; any other dispute takes the money and a fee at once.

    It is about an amount, or all that was not given back.
    """
    remaining: int = charge["amount"] - charge["amount_refunded"]
    if not charge["captured"] or charge["disputed"] or not 0 < (amount or remaining) <= remaining:
        raise refused(f"Charge {charge['id']} cannot be disputed.")
    dispute = _new(tx, charge, reason, amount or remaining, is_inquiry=is_inquiry)
    if not is_inquiry:
        why = f"Chargeback withdrawal for {charge['id']}"
        withdrawn = balance.record(tx, "adjustment", dispute, -dispute["amount"], fee=FEE, why=why)
        dispute["balance_transactions"].append(withdrawn)
    tx.insert(dispute)
    charge["disputed"] = True
    charge["_is_refundable_while_disputed"] = is_inquiry
    tx.save(charge)
    events.emit(tx, "charge.dispute.created", dispute)
    if not is_inquiry:
        events.emit(tx, "charge.dispute.funds_withdrawn", dispute)
    return dispute


def _new(
    tx: Transaction, charge: JsonObject, reason: str, amount: int, *, is_inquiry: bool
) -> JsonObject:
    kind: str = charge["payment_method_details"]["type"]
    details: JsonObject = {"type": kind}
    if kind == "card":
        details["card"] = {
            "brand": charge["payment_method_details"]["card"]["brand"],
            "case_type": "inquiry" if is_inquiry else "chargeback",
            "network_reason_code": "10.4",
        }
    return {
        "id": new_id("du"),
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": int(tx.now),
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": int(tx.now) + EVIDENCE_TIME,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": is_inquiry,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "payment_method_details": details,
        "reason": reason,
        "status": "warning_needs_response" if is_inquiry else "needs_response",
    }


def decide(tx: Transaction, dispute: JsonObject, verdict: Literal["won", "lost"]) -> None:
    """The bank's last word. A dispute that is won brings the money back, and the fee with it.

    Of one that is lost, what it was not about can be refunded.
    """
    before = copy.deepcopy(dispute)
    is_inquiry = dispute["status"].startswith("warning")
    dispute["status"] = "warning_closed" if is_inquiry else verdict
    charge = charges.load(tx, dispute["charge"])
    if not is_inquiry:
        charge["_is_refundable_while_disputed"] = True
        charge["_lost"] = dispute["amount"] if verdict == "lost" else 0
        tx.save(charge)
    if verdict == "won" and not is_inquiry:
        why = f"Chargeback reversal for {charge['id']}"
        returned = balance.record(tx, "adjustment", dispute, dispute["amount"], fee=-FEE, why=why)
        dispute["balance_transactions"].append(returned)
    tx.save(dispute)
    events.emit(tx, "charge.dispute.updated", dispute, before)
    if verdict == "won" and not is_inquiry:
        events.emit(tx, "charge.dispute.funds_reinstated", dispute)
    events.emit(tx, "charge.dispute.closed", dispute)
