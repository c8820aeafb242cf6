"""I2 and I8: what must always hold of money, in the databases and between them and Stripe."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx

from payment_service.payments.stripe_api import stripe_amount
from tests.support.checks import Check, ask

MONEY = (
    Check(
        "I2",
        "a paid order has its tickets, and keeps one payment of its total that succeeded",
        """
        SELECT orders.id, orders.total_minor, orders.fulfilment, kept.state, kept.amount_minor
        FROM orders LEFT JOIN payments kept
             ON kept.id = orders.payment_id AND kept.order_id = orders.id
        WHERE orders.state = 'PAID' AND (
            orders.fulfilment <> 'ISSUED'
            OR (orders.total_minor > 0 AND kept.state IS DISTINCT FROM 'SUCCEEDED')
            OR coalesce(kept.amount_minor, 0) <> orders.total_minor)
        """,
    ),
    Check(
        "I2",
        "a payment that succeeded is kept by its order, or goes back, less what failed or was lost",
        """
        SELECT payments.id, orders.id AS order_id, orders.state
        FROM payments JOIN orders ON orders.id = payments.order_id
        WHERE payments.state = 'SUCCEEDED' AND orders.payment_id IS DISTINCT FROM payments.id
          AND payments.amount_minor - payments.refunded_minor > (
              SELECT coalesce(sum(amount_minor), 0) FROM refunds
              WHERE refunds.payment_id = payments.id AND refunds.state = 'FAILED'
          ) + (
              SELECT coalesce(sum(amount_minor), 0) FROM disputes
              WHERE disputes.payment_id = payments.id AND disputes.state = 'LOST')
        """,
    ),
    Check(
        "I2",
        "what is refunded of a payment is what its refunds take, and no more than there is",
        """
        SELECT payments.id, payments.amount_minor, payments.refunded_minor, taken.minor
        FROM payments LEFT JOIN (
            SELECT payment_id, sum(amount_minor) AS minor
            FROM refunds WHERE state <> 'FAILED' GROUP BY 1
        ) taken ON taken.payment_id = payments.id
        WHERE payments.refunded_minor <> coalesce(taken.minor, 0)
           OR payments.refunded_minor > payments.amount_minor
        """,
    ),
    Check(
        "I2",
        "a ticket is refunded once",
        """
        SELECT order_id, number, count(*) FROM refunds, unnest(ticket_numbers) AS number
        GROUP BY 1, 2 HAVING count(*) > 1
        """,
    ),
    Check(
        "I2",
        "an order's lines and its booking fee add up to its total",
        """
        SELECT orders.id, orders.total_minor FROM orders
        WHERE orders.total_minor - orders.booking_fee_minor <> (
            SELECT sum(amount_minor) FROM order_lines WHERE order_lines.order_id = orders.id)
        """,
    ),
)

BOOKS = (
    Check(
        "I8",
        "every transaction of the ledger has entries, and sums to zero",
        """
        SELECT booked.id, booked.source, sum(entries.amount_minor) AS total
        FROM ledger_transactions booked
        LEFT JOIN ledger_entries entries ON entries.transaction_id = booked.id
        GROUP BY booked.id HAVING sum(entries.amount_minor) IS DISTINCT FROM 0
        """,
    ),
    Check(
        "I8",
        "the ledger sums to zero in each currency",
        """
        SELECT booked.currency_code, sum(entries.amount_minor) AS total
        FROM ledger_transactions booked
        JOIN ledger_entries entries ON entries.transaction_id = booked.id
        GROUP BY 1 HAVING sum(entries.amount_minor) <> 0
        """,
    ),
    Check(
        "I8",
        "a payment is booked if it succeeded, and only then",
        """
        SELECT payments.id, payments.state, charge.source
        FROM payments LEFT JOIN ledger_transactions charge
             ON charge.source = 'charge:' || payments.id
        WHERE (payments.state = 'SUCCEEDED') <> (charge.id IS NOT NULL)
        """,
    ),
    Check(
        "I8",
        "a refund is booked once Stripe has it, and booked back if it failed then",
        """
        SELECT refunds.id, refunds.state, given.source, failed.source
        FROM refunds
        LEFT JOIN ledger_transactions given ON given.source = 'refund:' || refunds.id
        LEFT JOIN ledger_transactions failed ON failed.source = 'refund_failed:' || refunds.id
        WHERE refunds.allocation <> '[]' AND NOT CASE refunds.state
            WHEN 'CREATED' THEN given.id IS NULL AND failed.id IS NULL
            WHEN 'FAILED' THEN (given.id IS NULL) = (failed.id IS NULL)
            ELSE given.id IS NOT NULL AND failed.id IS NULL END
        """,
    ),
    Check(
        "I8",
        "a dispute is booked as it stands",
        """
        SELECT disputes.id, disputes.state
        FROM disputes
        LEFT JOIN ledger_transactions opened ON opened.source = 'dispute_opened:' || disputes.id
        LEFT JOIN ledger_transactions won ON won.source = 'dispute_won:' || disputes.id
        LEFT JOIN ledger_transactions lost ON lost.source = 'dispute_lost:' || disputes.id
        WHERE opened.id IS NULL
           OR (won.id IS NOT NULL) <> (disputes.state = 'WON')
           OR (lost.id IS NULL) <> (disputes.state = 'OPEN') AND disputes.state <> 'WON'
        """,
    ),
    Check(
        "I8",
        "what is booked has moved what was charged, given back and withdrawn",
        """
        WITH due (source, minor) AS (
            SELECT 'charge:' || id, amount_minor FROM payments
            UNION ALL SELECT 'refund:' || id, -amount_minor FROM refunds
            UNION ALL SELECT 'refund_failed:' || id, amount_minor FROM refunds
            UNION ALL SELECT 'dispute_opened:' || id, -amount_minor FROM disputes
            UNION ALL SELECT 'dispute_won:' || id, amount_minor FROM disputes
            UNION ALL SELECT 'dispute_lost:' || id, 0 FROM disputes
        )
        SELECT booked.source, due.minor AS due, moved.minor AS moved
        FROM ledger_transactions booked LEFT JOIN due ON due.source = booked.source
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor) FILTER (WHERE account = 'PROVIDER'), 0) AS minor
            FROM ledger_entries WHERE transaction_id = booked.id
        ) moved
        WHERE split_part(booked.source, ':', 1) IN ('charge', 'refund', 'refund_failed',
              'dispute_opened', 'dispute_won', 'dispute_lost')
          AND due.minor IS DISTINCT FROM moved.minor
        """,
    ),
    Check(
        "I8",
        "a charge is booked as its order's lines, booking fee and tax, or is owed if it keeps none",
        """
        SELECT booked.source, parts.booked, lines.net, lines.tax
        FROM payments JOIN orders ON orders.id = payments.order_id
        JOIN ledger_transactions booked ON booked.source = 'charge:' || payments.id
        CROSS JOIN LATERAL (
            SELECT ARRAY[
                coalesce(-sum(amount_minor) FILTER (WHERE account = 'TICKET_REVENUE'), 0),
                coalesce(-sum(amount_minor) FILTER (WHERE account = 'BOOKING_FEES'), 0),
                coalesce(-sum(amount_minor) FILTER (WHERE account = 'TAX'), 0),
                coalesce(-sum(amount_minor) FILTER (WHERE account = 'UNALLOCATED'), 0)
            ] AS booked FROM ledger_entries WHERE transaction_id = booked.id
        ) parts
        CROSS JOIN LATERAL (
            SELECT sum(amount_minor - tax_minor) AS net, sum(tax_minor) AS tax
            FROM order_lines WHERE order_id = orders.id
        ) lines
        WHERE parts.booked IS DISTINCT FROM CASE WHEN orders.payment_id = payments.id
            THEN ARRAY[lines.net, orders.booking_fee_minor - orders.booking_fee_tax_minor,
                       lines.tax + orders.booking_fee_tax_minor, 0]
            ELSE ARRAY[0, 0, 0, payments.amount_minor::numeric] END
        """,
    ),
    Check(
        "I8",
        "what is owed is what is left of the charges that no order keeps",
        """
        SELECT orders.id, booked.minor AS booked, left_over.minor AS left_over
        FROM orders
        JOIN LATERAL (
            SELECT coalesce(-sum(amount_minor) FILTER (WHERE account = 'UNALLOCATED'), 0) AS minor
            FROM ledger_entries JOIN ledger_transactions ON ledger_transactions.id = transaction_id
            WHERE ledger_transactions.order_id = orders.id
        ) booked ON true
        JOIN LATERAL (
            SELECT coalesce(sum(amount_minor - (
                SELECT coalesce(sum(amount_minor), 0) FROM refunds
                WHERE payment_id = payments.id AND state IN ('PENDING', 'SUCCEEDED')
            ) - (
                SELECT coalesce(sum(amount_minor), 0) FROM disputes
                WHERE payment_id = payments.id AND state = 'LOST'
            )), 0) AS minor
            FROM payments WHERE order_id = orders.id AND state = 'SUCCEEDED'
            AND id IS DISTINCT FROM orders.payment_id
        ) left_over ON true
        WHERE booked.minor <> left_over.minor
        """,
    ),
    Check(
        "I8",
        "what is booked about an order is in its organizer's books, under its event and voucher",
        """
        SELECT booked.source, booked.organizer_id, booked.event_id, booked.voucher_id
        FROM ledger_transactions booked JOIN orders ON orders.id = booked.order_id
        WHERE (booked.organizer_id, booked.event_id, booked.voucher_id)
            IS DISTINCT FROM (orders.organizer_id, orders.event_id, orders.voucher_id)
        """,
    ),
)

_PAYMENTS = """
    SELECT payments.id AS payment_id, payments.provider_id, payments.state AS payment_state,
        payments.currency_code, payments.amount_minor, orders.id AS order_id,
        orders.state AS order_state, orders.payment_id = payments.id AS is_kept,
        (SELECT coalesce(sum(amount_minor), 0) FROM refunds
         WHERE payment_id = payments.id AND state IN ('PENDING', 'SUCCEEDED')) AS refunded_minor,
        (SELECT coalesce(sum(amount_minor), 0) FROM refunds
         WHERE payment_id = payments.id AND state IN ('CREATED', 'FAILED')) AS unreturned_minor,
        EXISTS (SELECT FROM disputes
                WHERE payment_id = payments.id AND state <> 'WON') AS is_disputed
    FROM payments JOIN orders ON orders.id = payments.order_id
"""
# Of an order that was paid, all tickets are valid that no refund cancels, unless its bank took the
# money back. Once it is cancelled these can only be such as were used before.
_ORDERS = """
    SELECT orders.id AS order_id, orders.state, orders.total_minor, orders.payment_id,
        CASE WHEN orders.paid_at IS NULL OR orders.cancel_reason = 'DISPUTE_LOST' OR EXISTS (
            SELECT FROM disputes
            WHERE disputes.payment_id = orders.payment_id AND disputes.state = 'LOST'
        ) THEN 0 ELSE
            (SELECT sum(quantity) FROM order_lines WHERE order_id = orders.id)
            - (SELECT count(*) FROM refunds, unnest(ticket_numbers) WHERE order_id = orders.id)
        END AS tickets,
        ARRAY(SELECT number FROM refunds, unnest(ticket_numbers) AS number
              WHERE order_id = orders.id AND NOT include_admitted) AS unused
    FROM orders
"""
_TICKETS = """
    SELECT order_id, count(*) FILTER (WHERE state = 'ISSUED') AS issued,
        count(*) FILTER (WHERE state = 'ISSUED' AND admitted.ticket_id IS NULL) AS unused,
        coalesce(array_agg(number) FILTER (
            WHERE state = 'CANCELLED' AND admitted.ticket_id IS NOT NULL), '{}') AS used
    FROM tickets
    LEFT JOIN check_ins admitted ON admitted.ticket_id = tickets.id AND admitted.rejection IS NULL
    GROUP BY order_id
"""
_NO_TICKETS: Mapping[str, Any] = {"issued": 0, "unused": 0, "used": []}


class _Charged(NamedTuple):
    """What Stripe captured of a PaymentIntent, and what went back of it, as Stripe counts it."""

    captured: int = 0
    refunded: int = 0


_PAGE_WITHIN_S = 60  # on a busy machine


async def broken_money(database_url: str, stripe_url: str, secret_key: str) -> list[str]:
    """I2 between Stripe, payment_service and ticket_service. Ask when nothing is unsettled."""
    paid, orders = await ask(database_url, "payment", _PAYMENTS, _ORDERS)
    payments = {row["payment_id"]: row for row in paid}
    charged = await _charged(stripe_url, secret_key)
    broken: list[str] = []
    seen: set[str] = set()
    for intent in await _all(stripe_url, secret_key, "payment_intents"):
        row = payments.get(intent["metadata"].get("payment_id", ""))
        if row and row["provider_id"] == intent["id"]:
            seen.add(row["payment_id"])
            broken += _compare(row, intent, charged.get(intent["id"], _Charged()))
        else:
            broken += _stray(intent, charged.get(intent["id"], _Charged()))
    broken += [
        f"I2: paid order {row['order_id']} was never charged"
        for row in orders
        if row["state"] == "PAID" and row["total_minor"] and row["payment_id"] not in seen
    ]
    (tickets,) = await ask(database_url, "ticket", _TICKETS)
    of_orders = {row["order_id"]: row for row in tickets}
    for row in orders:
        broken += _compare_tickets(row, of_orders.get(row["order_id"], _NO_TICKETS))
    return broken


def _compare_tickets(order: Mapping[str, Any], has: Mapping[str, Any]) -> list[str]:
    """What is wrong with an order's tickets."""
    if order["state"] == "PENDING":  # it keeps tickets whose payment lapsed, for another
        return []
    about, broken = f"{order['state']} order {order['order_id']}", []
    is_wrong = has["issued"] != order["tickets"]
    if is_wrong or (order["state"] != "PAID" and has["unused"]):
        broken.append(f"I2: {about} has the wrong tickets")
    if used := set(has["used"]).intersection(order["unused"]):
        broken.append(f"I2: {about} got back what tickets {used} cost, which were used")
    return broken


def _stray(intent: Mapping[str, Any], charged: _Charged) -> list[str]:
    """What is wrong with a PaymentIntent that no payment calls its own."""
    if charged.captured > charged.refunded:
        return [f"I2: {intent['id']} is charged for nothing"]
    if intent["status"] == "requires_capture":
        return [f"I2: {intent['id']} is reserved for nothing"]
    return []


def _compare(payment: Mapping[str, Any], intent: Mapping[str, Any], charged: _Charged) -> list[str]:
    """How Stripe's view of a payment differs from ours."""

    def count(minor: int) -> int:
        return stripe_amount(payment["currency_code"], minor)

    about = f"{intent['id']} of {payment['order_state']} order {payment['order_id']}"
    due = count(payment["amount_minor"]) if payment["payment_state"] == "SUCCEEDED" else 0
    broken = []
    if charged.captured != due:
        broken.append(f"I2: {about} is charged {charged.captured}, and not {due}")
    if charged.refunded != count(payment["refunded_minor"]):
        broken.append(f"I2: {about} is refunded {charged.refunded}, and we know otherwise")
    unexplained = charged.captured - charged.refunded - count(payment["unreturned_minor"])
    if unexplained > 0 and not payment["is_kept"] and not payment["is_disputed"]:
        broken.append(f"I2: {about} is charged, and the order does not keep it")
    if intent["status"] == "requires_capture" and payment["order_state"] != "PENDING":
        broken.append(f"I2: {about} is reserved for no order that waits")
    return broken


async def _charged(stripe_url: str, secret_key: str) -> dict[str, _Charged]:
    """What was captured and refunded, by PaymentIntent."""
    found: dict[str, _Charged] = {}
    for charge in await _all(stripe_url, secret_key, "charges"):
        if not charge["captured"]:  # Stripe shows a released authorisation as refunded
            continue
        before = found.get(charge["payment_intent"], _Charged())
        found[charge["payment_intent"]] = _Charged(
            before.captured + charge["amount_captured"], before.refunded + charge["amount_refunded"]
        )
    return found


async def _all(stripe_url: str, secret_key: str, kind: str) -> list[dict[str, Any]]:
    """Every object of a kind that Stripe has."""
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Bearer {secret_key}"}
    async with httpx.AsyncClient(
        base_url=stripe_url, headers=headers, trust_env=False, timeout=_PAGE_WITHIN_S
    ) as http:
        while True:
            params = {"limit": "100", **({"starting_after": found[-1]["id"]} if found else {})}
            page = (await http.get(f"/v1/{kind}", params=params)).raise_for_status().json()
            found += page["data"]
            if not page["has_more"]:
                return found
