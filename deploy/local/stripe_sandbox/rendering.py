"""How stored objects look to callers: without private fields, expanded, or as a page sees them."""

from typing import Any

from deploy.local.stripe_sandbox import params
from deploy.local.stripe_sandbox.errors import JsonObject, invalid_request
from deploy.local.stripe_sandbox.store import Transaction

MAX_EXPANSION_DEPTH = 4

# What a PaymentIntent shows to the publishable key.
PUBLISHABLE_FIELDS = (
    "id", "object", "amount", "automatic_payment_methods", "canceled_at", "cancellation_reason",
    "capture_method", "client_secret", "confirmation_method", "created", "currency", "description",
    "last_payment_error", "livemode", "next_action", "payment_method", "payment_method_types",
    "processing", "receipt_email", "setup_future_usage", "shipping", "status",
)  # fmt: skip


def public(body: JsonObject) -> JsonObject:
    """Without the sandbox's own notes, whose names begin with an underscore.

    An object has them at its top only: what stands inside of another is public already, save in a
    list of objects.
    """
    shown = {name: value for name, value in body.items() if not name.startswith("_")}
    if shown.get("object") == "list":
        shown["data"] = [public(item) for item in shown["data"]]
    return shown


def for_browser(body: JsonObject) -> JsonObject:
    if body["object"] != "payment_intent":
        return body
    return {name: body[name] for name in PUBLISHABLE_FIELDS}


def expanded(tx: Transaction, body: JsonObject, given: JsonObject) -> JsonObject:
    """Replace the ids that `expand[]` names by their objects."""
    for path in params.texts(given, "expand"):
        parts = path.split(".")
        if len(parts) > MAX_EXPANSION_DEPTH:
            raise invalid_request(
                f"You cannot expand more than {MAX_EXPANSION_DEPTH} levels of a property.",
                param="expand",
            )
        _expand(tx, body, parts, path)
    return body


def _expand(tx: Transaction, node: Any, parts: list[str], path: str) -> None:
    if isinstance(node, list):
        for item in node:
            _expand(tx, item, parts, path)
        return
    name, *rest = parts
    if not isinstance(node, dict) or name not in node:
        raise invalid_request(
            f"This property cannot be expanded ({path}).", param="expand", code="property_unknown"
        )
    if isinstance(node[name], str):
        found = tx.get_any(node[name])
        if found is None:
            raise invalid_request(f"This property cannot be expanded ({path}).", param="expand")
        node[name] = public(found)
    if rest and node[name] is not None:
        _expand(tx, node[name], rest, path)
