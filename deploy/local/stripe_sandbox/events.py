"""Events: what happened, kept for `GET /v1/events` and sent to the webhook endpoint."""

from deploy.local.stripe_sandbox import deliveries, lists, params
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.errors import JsonObject, no_such
from deploy.local.stripe_sandbox.rendering import public
from deploy.local.stripe_sandbox.settings import API_VERSION
from deploy.local.stripe_sandbox.store import Transaction, new_id


def emit(
    tx: Transaction, event_type: str, subject: JsonObject, before: JsonObject | None = None
) -> None:
    """Record that something happened to `subject`, which looked like `before` until then."""
    now = public(subject)
    data: JsonObject = {"object": now}
    if before is not None:
        data["previous_attributes"] = {
            name: value for name, value in public(before).items() if now.get(name) != value
        }
    event: JsonObject = {
        "id": new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": int(tx.now),
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {
            "id": tx.cause.request_id if tx.cause else None,
            "idempotency_key": tx.cause.idempotency_key if tx.cause else None,
        },
        "type": event_type,
    }
    event["pending_webhooks"] = deliveries.enqueue(tx, event)
    tx.insert(event)


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    event_id = call.path_params["id"]
    event = tx.get("event", event_id)
    if event is None:
        raise no_such("event", event_id)
    return event


def list_events(tx: Transaction, call: Call) -> JsonObject:
    wanted = params.texts(call.params, "types")
    one = params.text(call.params, "type")
    patterns = [*wanted, one] if one else wanted
    conditions: list[lists.Condition] = []
    if patterns:
        one_of = " OR ".join("json_extract(body, '$.type') GLOB ?" for _ in patterns)
        conditions.append((f"({one_of})", tuple(patterns)))
    return lists.page(tx, call, "event", conditions)
