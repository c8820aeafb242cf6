"""The account's money: one balance transaction for every movement.

Funds are available at once, and by default there is always enough to refund from. Giving the
account a balance (`/_sandbox/balance`) makes it run out: refunds beyond it wait, as Stripe's do.
"""

from deploy.local.stripe_sandbox import lists, params, schedule
from deploy.local.stripe_sandbox.calls import Call
from deploy.local.stripe_sandbox.errors import JsonObject, no_such
from deploy.local.stripe_sandbox.store import Transaction, new_id


def record(
    tx: Transaction, kind: str, source: JsonObject, amount: int, *, fee: int = 0, why: str = ""
) -> JsonObject:
    """Move `amount` (negative: away from the account) less `fee`, because of `source`."""
    currency: str = source["currency"]
    movement: JsonObject = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": int(tx.now),
        "balance_type": "payments",
        "created": int(tx.now),
        "currency": currency,
        "description": why or None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": _fee_details(fee, currency),
        "net": amount - fee,
        "reporting_category": "dispute" if kind == "adjustment" else kind,
        "source": source["id"],
        "status": "available",
        "type": kind,
    }
    tx.insert(movement)
    tx.sql.execute(
        "INSERT INTO balances (currency, available) VALUES (?, ?)"
        " ON CONFLICT (currency) DO UPDATE SET available = available + excluded.available",
        (currency, movement["net"]),
    )
    if movement["net"] > 0 and limit(tx, currency) is not None:
        schedule.after(tx, 0.0, "fund_refunds", currency)
    return movement


def _fee_details(fee: int, currency: str) -> list[JsonObject]:
    if not fee:
        return []
    detail = {
        "amount": fee,
        "application": None,
        "currency": currency,
        "description": "Stripe processing fees",
        "type": "stripe_fee",
    }
    return [detail]


def limit(tx: Transaction, currency: str) -> int | None:
    """How much can be refunded; None: as much as is asked."""
    row = tx.sql.execute(
        "SELECT available FROM balances WHERE currency = ? AND is_limited", (currency,)
    ).fetchone()
    return None if row is None else row[0]


def can_pay(tx: Transaction, amount: int, currency: str) -> bool:
    available = limit(tx, currency)
    return available is None or amount <= available


def set_available(tx: Transaction, currency: str, amount: int | None) -> None:
    """Give the account exactly `amount`; None: enough for everything again."""
    tx.sql.execute(
        "INSERT INTO balances (currency, available, is_limited) VALUES (?1, ?2, ?3)"
        " ON CONFLICT (currency) DO UPDATE SET is_limited = ?3,"
        " available = CASE WHEN ?3 THEN ?2 ELSE available END",
        (currency, amount or 0, amount is not None),
    )
    schedule.after(tx, 0.0, "fund_refunds", currency)


def retrieve_balance(tx: Transaction, call: Call) -> JsonObject:
    params.refuse_unknown(call.params, ("expand",))
    rows = tx.sql.execute("SELECT currency, available FROM balances ORDER BY currency").fetchall()
    funds = [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in rows
    ]
    pending = [{**fund, "amount": 0, "source_types": {"card": 0}} for fund in funds]
    return {"object": "balance", "available": funds, "pending": pending, "livemode": False}


def retrieve(tx: Transaction, call: Call) -> JsonObject:
    movement_id = call.path_params["id"]
    movement = tx.get("balance_transaction", movement_id)
    if movement is None:
        raise no_such("balance transaction", movement_id)
    return movement


def list_movements(tx: Transaction, call: Call) -> JsonObject:
    filters: list[lists.Condition] = [
        (f"json_extract(body, '$.{name}') = ?", (value,))
        for name in ("source", "currency", "type")
        if (value := params.text(call.params, name))
    ]
    return lists.page(tx, call, "balance_transaction", filters)
