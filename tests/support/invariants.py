"""What must always hold (docs: "What must always hold"), asked of the databases themselves.

Every fault and load test ends with `assert_invariants`. Each check is a query for the rows that
break it, and holds at any moment: services may be at work meanwhile.
"""

from collections.abc import Mapping, Sequence

from tests.support.checks import Check, ask
from tests.support.money_invariants import BOOKS, MONEY, broken_money

__all__ = ["assert_invariants", "broken_invariants", "broken_money", "undelivered", "unsettled"]

_STOCK = (
    Check(
        "I1",
        "sold and held tickets, with those that remain, are exactly the stock",
        """
        SELECT types.id, types.total_stock, types.remaining, held.quantity AS held, sold.quantity
        FROM ticket_types types,
        LATERAL (
            SELECT coalesce(sum(items.quantity), 0) AS quantity
            FROM hold_items items JOIN holds ON holds.id = items.hold_id
            WHERE items.ticket_type_id = types.id AND holds.state = 'ACTIVE'
        ) held,
        LATERAL (
            SELECT count(*) AS quantity FROM tickets
            WHERE tickets.ticket_type_id = types.id AND tickets.state = 'ISSUED'
        ) sold
        WHERE types.remaining + held.quantity + sold.quantity <> types.total_stock
           OR held.quantity + sold.quantity > types.total_stock
        """,
    ),
    Check(
        "I1",
        "a converted hold has become exactly its tickets, of one order",
        """
        SELECT holds.id, items.ticket_type_id, items.quantity, issued.quantity AS issued
        FROM holds JOIN hold_items items ON items.hold_id = holds.id
        LEFT JOIN (
            SELECT hold_id, order_id, ticket_type_id, count(*) AS quantity
            FROM tickets WHERE transfers = 0 GROUP BY 1, 2, 3
        ) issued
             ON issued.hold_id = holds.id AND issued.order_id = holds.order_id
            AND issued.ticket_type_id = items.ticket_type_id
        WHERE coalesce(issued.quantity, 0)
            <> CASE WHEN holds.state = 'CONVERTED' THEN items.quantity ELSE 0 END
        """,
    ),
    Check(
        "I1",
        "what a quota lacks is what is sold and held of its ticket types",
        """
        SELECT quotas.id, quotas.size, quotas.remaining, coalesce(sum(taken.quantity), 0) AS taken
        FROM quotas
        LEFT JOIN quota_ticket_types uses ON uses.quota_id = quotas.id
        LEFT JOIN (
            SELECT items.ticket_type_id, items.quantity
            FROM holds JOIN hold_items items ON items.hold_id = holds.id
            WHERE holds.state = 'ACTIVE'
            UNION ALL
            SELECT ticket_type_id, 1 FROM tickets WHERE state = 'ISSUED'
        ) taken ON taken.ticket_type_id = uses.ticket_type_id
        GROUP BY quotas.id
        HAVING quotas.size - quotas.remaining <> coalesce(sum(taken.quantity), 0)
            OR quotas.size < coalesce(sum(taken.quantity), 0)
        """,
    ),
    Check(
        "I1",
        "a ticket that is given on has one successor, which is it for somebody else",
        """
        SELECT coalesce(given.order_id, taken.order_id) AS order_id,
               coalesce(given.number, taken.number) AS number,
               array_agg(given.id) AS given, array_agg(taken.id) AS taken
        FROM (SELECT * FROM tickets WHERE state = 'TRANSFERRED') given
        FULL JOIN (SELECT * FROM tickets WHERE transfers > 0) taken
             ON taken.order_id = given.order_id AND taken.number = given.number
            AND taken.transfers = given.transfers + 1
        GROUP BY 1, 2, coalesce(given.transfers + 1, taken.transfers)
        HAVING count(given.id) <> 1 OR count(taken.id) <> 1
            OR bool_or((given.hold_id, given.ticket_type_id, given.seat_id)
               IS DISTINCT FROM (taken.hold_id, taken.ticket_type_id, taken.seat_id))
        """,
    ),
    Check(
        "I1",
        "a ticket is admitted once, whoever has had it, and not given on after that",
        """
        SELECT tickets.order_id, tickets.number, count(*), array_agg(tickets.id) AS tickets
        FROM check_ins JOIN tickets ON tickets.id = check_ins.ticket_id
        WHERE check_ins.rejection IS NULL
        GROUP BY tickets.order_id, tickets.number
        HAVING count(*) > 1 OR bool_or(tickets.state = 'TRANSFERRED')
        """,
    ),
    Check(
        "I6",
        "a hold expires within 5 s after its deadline, and never before it",
        """
        SELECT id, state, expires_at FROM holds
        WHERE (state = 'EXPIRED' AND expires_at > clock_timestamp())
           OR (state = 'ACTIVE' AND expires_at < clock_timestamp() - interval '5 seconds')
        """,
    ),
)

_SEATS = (
    Check(
        "I1",
        "the stock of a ticket type with seats is its seats that are not blocked, and available",
        """
        SELECT types.id, types.total_stock, types.remaining, seats.unblocked, seats.available
        FROM ticket_types types,
        LATERAL (
            SELECT count(*) FILTER (WHERE state <> 'BLOCKED') AS unblocked,
                   count(*) FILTER (WHERE state = 'AVAILABLE') AS available
            FROM event_seats WHERE event_seats.ticket_type_id = types.id
        ) seats
        WHERE types.is_seated
          AND (types.total_stock <> seats.unblocked OR types.remaining <> seats.available)
        """,
    ),
    Check(
        "I1",
        "a held seat is named by its live hold, and a sold one by its converted hold",
        """
        SELECT seats.event_id, seats.seat_id, seats.state, seats.hold_id, holds.state AS hold_state
        FROM event_seats seats
        LEFT JOIN holds ON holds.id = seats.hold_id AND holds.event_id = seats.event_id
        LEFT JOIN hold_items items ON items.hold_id = seats.hold_id
              AND items.ticket_type_id = seats.ticket_type_id
        WHERE seats.state IN ('HELD', 'SOLD') AND (
            seats.seat_id = ANY(items.seat_ids)
            AND holds.state = CASE seats.state WHEN 'HELD' THEN 'ACTIVE' ELSE 'CONVERTED' END
        ) IS NOT TRUE
        """,
    ),
    Check(
        "I1",
        "a seat that a live hold names is held by it",
        """
        SELECT holds.id, named.seat_id, seats.state, seats.hold_id
        FROM holds JOIN hold_items items ON items.hold_id = holds.id
        CROSS JOIN unnest(items.seat_ids) AS named (seat_id)
        LEFT JOIN event_seats seats ON seats.event_id = holds.event_id
              AND seats.seat_id = named.seat_id
        WHERE holds.state = 'ACTIVE'
          AND (seats.state, seats.hold_id) IS DISTINCT FROM ('HELD', holds.id)
        """,
    ),
    Check(
        "I1",
        "a hold names as many seats as it has tickets with seats",
        """
        SELECT holds.id, items.ticket_type_id, items.quantity, items.seat_ids
        FROM holds JOIN hold_items items ON items.hold_id = holds.id
        JOIN ticket_types types ON types.id = items.ticket_type_id
        WHERE holds.state = 'ACTIVE' AND (
            SELECT count(DISTINCT seat_id) FROM unnest(items.seat_ids) AS named (seat_id)
        ) <> CASE WHEN types.is_seated THEN items.quantity ELSE 0 END
        """,
    ),
    Check(
        "I1",
        "a sold seat has one ticket, and a ticket's seat is sold to it",
        """
        SELECT coalesce(seats.event_id, tickets.event_id) AS event_id, seats.seat_id, seats.state,
               seats.hold_id, array_agg(tickets.id) AS tickets
        FROM (SELECT * FROM event_seats WHERE state = 'SOLD') seats
        FULL JOIN (SELECT * FROM tickets WHERE state = 'ISSUED' AND seat_id IS NOT NULL) tickets
             ON tickets.event_id = seats.event_id AND tickets.seat_id = seats.seat_id
            AND tickets.hold_id = seats.hold_id
        GROUP BY 1, 2, 3, 4
        HAVING count(tickets.id) <> 1 OR count(seats.seat_id) <> 1
        """,
    ),
)

_LINES = (
    Check(
        "I1",
        "what became of an offer is what became of its hold",
        """
        SELECT entries.id, entries.state, entries.quantity, holds.id AS hold, holds.state AS became,
               items.quantity AS held
        FROM waitlist_entries entries
        LEFT JOIN holds ON holds.id = entries.hold_id
        LEFT JOIN hold_items items ON items.hold_id = entries.hold_id
              AND items.ticket_type_id = entries.ticket_type_id
        WHERE (entries.hold_id IS NOT NULL OR entries.state IN ('OFFERED', 'CONVERTED')) AND (
            items.quantity = entries.quantity
            AND holds.state = CASE entries.state
                WHEN 'OFFERED' THEN 'ACTIVE' WHEN 'CONVERTED' THEN 'CONVERTED'
                WHEN 'OFFER_EXPIRED' THEN 'EXPIRED' WHEN 'CANCELLED' THEN 'RELEASED' END
        ) IS NOT TRUE
        """,
    ),
)

_VOUCHERS = (
    Check(
        "vouchers",
        "a voucher is used by its orders that are paid or may be, and by no others",
        """
        SELECT orders.id, orders.voucher_id, used.order_id, used.voucher_id AS used
        FROM (SELECT * FROM orders WHERE voucher_id IS NOT NULL AND state IN ('PENDING', 'PAID')
        ) orders
        FULL JOIN voucher_redemptions used
             ON used.order_id = orders.id AND used.voucher_id = orders.voucher_id
            AND used.event_id = orders.event_id
            AND used.customer_email = lower(orders.customer_email)
        WHERE orders.id IS NULL OR used.order_id IS NULL
        """,
    ),
)

# By area, which names a service and its database.
CHECKS: Mapping[str, Sequence[Check]] = {
    "ticket": (*_STOCK, *_SEATS, *_LINES),
    "payment": (*MONEY, *BOOKS, *_VOUCHERS),
}


async def broken_invariants(database_url: str, *areas: str) -> list[str]:
    """What does not hold in the databases of these areas (default: all that have checks).

    `database_url` is `TESSERA_DATABASE_URL`: each service appends its area to it.
    """
    broken = []
    for area in areas or CHECKS:
        answers = await ask(database_url, area, *(check.broken for check in CHECKS[area]))
        for check, rows in zip(CHECKS[area], answers, strict=True):
            broken += [f"{check.invariant}: {check.sentence}: {row}" for row in rows]
    return broken


async def assert_invariants(database_url: str, *areas: str) -> None:
    """Fail, and say what does not hold."""
    assert await broken_invariants(database_url, *areas) == []


# Left alone, an order waits for nothing, or for its deadline, or a bank; a refund that waits for a
# dispute, or for a word of Stripe's, is looked after again only in an hour.
_UNSETTLED = (
    """
    SELECT id, state, attempts FROM orders WHERE next_attempt_at <= now()
        OR (next_attempt_at IS NOT NULL AND attempts > 0)
    """,
    """
    SELECT id, state, attempts FROM refunds WHERE next_attempt_at < now() + interval '5 minutes'
    """,
    "SELECT id, state, attempts FROM disputes WHERE next_attempt_at IS NOT NULL",
    "SELECT id, state, attempts FROM operations WHERE next_attempt_at IS NOT NULL",
)


async def unsettled(database_url: str) -> list[str]:
    """What payment_service has something to do for right now, or is doing it."""
    found = await ask(database_url, "payment", *_UNSETTLED)
    return [f"unsettled: {row}" for rows in found for row in rows]


async def undelivered(database_url: str, area: str) -> list[str]:
    """I5: the outbox rows that no broker has yet."""
    (rows,) = await ask(database_url, area, "SELECT id, routing_key, created_at FROM outbox")
    return [f"I5: not delivered: {row}" for row in rows]
