"""Payments that land when the time to pay runs out: each ends in a ticket, or in no charge.

`TESSERA_EXPIRY_RACES` asks for more of them than a test run has time for.
"""

import asyncio
import os
from collections import Counter
from random import Random

from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2, ticket_pb2

from tests.integration.payment_service.support import SETTLED_WITHIN_S, Shop, intent_id, state_of
from tests.integration.ticket_service.support import eventually

RACES = int(os.environ.get("TESSERA_EXPIRY_RACES", "60"))
AT_ONCE = 20
AHEAD_S = 1.0  # enough to be there in time
WITHIN_S = 0.05  # of the deadline, before or after it


async def expires_soon(shop: Shop, order: order_pb2.Order) -> float:
    """Let the time to pay end in a moment, everywhere; answers when, on the event loop's clock."""
    soon = "SET expires_at = now() + :ahead * interval '1 second'"
    loop = asyncio.get_running_loop()
    await shop.installation.execute(
        "payment",
        f"UPDATE orders {soon}, next_attempt_at = now() + :ahead * interval '1 second'"
        " WHERE id = :id",
        id=order.id,
        ahead=AHEAD_S,
    )
    at = loop.time() + AHEAD_S
    await shop.installation.execute(
        "ticket", f"UPDATE holds {soon} WHERE id = :id", id=order.hold_id, ahead=AHEAD_S
    )
    return at


async def race(shop: Shop, of: event_pb2.Event, off_s: float, *, charged: bool) -> order_pb2.Order:
    """An order that is paid that much after its time is over, perhaps without being reserved."""
    order = await shop.order(await shop.hold(of))
    if charged:
        await shop.charges_at_once(order)
    at = await expires_soon(shop, order)
    await asyncio.sleep(max(0.0, at + off_s - asyncio.get_running_loop().time()))
    await shop.pay(order)
    return order


async def test_payment_around_the_deadline_ends_in_a_ticket_or_in_no_charge(shop: Shop) -> None:
    of = await shop.event(stock=RACES)
    random = Random(50)
    ends: Counter[str] = Counter()
    for _ in range(0, RACES, AT_ONCE):
        orders = await asyncio.gather(
            *(
                race(shop, of, random.uniform(-WITHIN_S, WITHIN_S), charged=number % 2 == 0)
                for number in range(AT_ONCE)
            )
        )
        for order in orders:
            ends[await ended(shop, order)] += 1
    assert sum(ends.values()) == RACES
    assert set(ends) <= {"PAID", "EXPIRED", "CANCELLED"}
    await shop.settled()  # and Stripe, the tickets and the books agree

    async def stock_is_back() -> bool:
        return await shop.remaining(of) == RACES - ends["PAID"]

    await eventually(stock_is_back)


async def ended(shop: Shop, order: order_pb2.Order) -> str:
    found = [order]

    async def is_over() -> bool:
        found[0] = await shop.get(order)
        return found[0].state != order_pb2.ORDER_STATE_PENDING

    await eventually(is_over, SETTLED_WITHIN_S)
    state = state_of(found[0])
    tickets = [ticket.state for ticket in await shop.issued(order)]
    intent = await shop.intent(order)
    if state == "PAID":
        assert tickets == [ticket_pb2.TICKET_STATE_ISSUED]
        assert intent.amount_received == 5000, intent_id(order)
    else:
        assert ticket_pb2.TICKET_STATE_ISSUED not in tickets
    return state
