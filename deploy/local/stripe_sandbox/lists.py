"""Lists, newest first, paged by id: https://docs.stripe.com/api/pagination."""

from typing import Any

from deploy.local.stripe_sandbox import params
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.errors import JsonObject, invalid_request, no_such
from deploy.local.stripe_sandbox.store import Transaction

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

# A piece of SQL with the values for its placeholders.
Condition = tuple[str, tuple[Any, ...]]


def page(
    tx: Transaction, call: Call, kind: str, conditions: list[Condition] | None = None
) -> JsonObject:
    limit = params.integer(call.params, "limit")
    limit = DEFAULT_LIMIT if limit is None else limit
    if not 1 <= limit <= MAX_LIMIT:
        raise invalid_request(f"This value must be between 1 and {MAX_LIMIT}.", param="limit")
    before = params.text(call.params, "ending_before")
    after = params.text(call.params, "starting_after")
    parts = [("kind = ?", (kind,)), *(conditions or []), *_created(call.params)]
    if after:
        parts.append(("seq < ?", (_position(tx, kind, after, "starting_after"),)))
    if before:
        parts.append(("seq > ?", (_position(tx, kind, before, "ending_before"),)))
    order = "ASC" if before else "DESC"
    where = " AND ".join(part for part, _ in parts)
    values = tuple(value for _, group in parts for value in group)
    found = tx.select(f"{where} ORDER BY seq {order} LIMIT ?", (*values, limit + 1))
    data = found[:limit]
    return {
        "object": "list",
        "data": data[::-1] if before else data,
        "has_more": len(found) > limit,
        "url": call.path,
    }


def by(call: Call, *names: str) -> list[Condition]:
    """Conditions for the filters among `names` (columns of their own) that the call gives."""
    given = ((name, params.text(call.params, name)) for name in names)
    return [(f"{name} = ?", (value,)) for name, value in given if value]


def _created(given: JsonObject) -> list[Condition]:
    if isinstance(given.get("created"), str):
        return [("created = ?", (params.integer(given, "created"),))]
    bounds = params.group(given, "created")
    params.refuse_unknown(bounds, COMPARISONS)
    return [(f"created {COMPARISONS[name]} ?", (params.integer(bounds, name),)) for name in bounds]


def _position(tx: Transaction, kind: str, object_id: str, param: str) -> int:
    row = tx.sql.execute(
        "SELECT seq FROM objects WHERE id = ? AND kind = ?", (object_id, kind)
    ).fetchone()
    if row is None:
        raise no_such(kind, object_id, param=param, status=400)
    position: int = row[0]
    return position
