"""Where the facts of a mail come from: the seam between other services and made-up examples."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tessera.payment.v1 import order_lookup_service_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, ticket_pb2, waitlist_entry_pb2

from notification_service.orders_client import OrdersClient
from notification_service.tickets_client import TicketsClient

# Many mails in a row are about one event. But not for long: a change is announced to who has
# tickets by then, and who pays after that must read of the event as it is.
EVENT_KEPT_S = 0.1
_EVENTS_KEPT = 200


Suits = Callable[[event_pb2.Event], bool]
"""Whether what is known of an event is new enough."""


def always(_event: event_pb2.Event) -> bool:
    """It is, however old."""
    return True


class Sources(Protocol):
    """What mails are made of. Each raises RemoteError where a service does not answer or know."""

    async def event(self, event_id: str, suits: Suits = always) -> event_pb2.Event:
        """An event in any state, and one that `suits` if it does by now."""

    async def order(self, order_id: str) -> order_pb2.Order:
        """An order in any state."""

    async def tickets(self, order_id: str) -> Sequence[ticket_pb2.Ticket]:
        """An order's tickets in any state, in the order they were issued."""

    async def refund(self, order_id: str, refund_id: str) -> refund_pb2.Refund:
        """A refund in any state."""

    async def hold(self, hold_id: str) -> hold_pb2.Hold:
        """A hold in any state."""

    async def waitlist_entry(self, entry_id: str) -> waitlist_entry_pb2.WaitlistEntry:
        """An entry of a waiting list in any state."""

    async def lookup_mail(self, lookup_id: str) -> order_lookup_service_pb2.OrderLookupMail:
        """What finds the orders of an address again."""


@dataclass(frozen=True, slots=True)
class _Kept:
    asked: "asyncio.Task[event_pb2.Event]"
    until: float  # on time.monotonic()'s clock


class Services:
    """The other services. An event is asked for once for all mails of a moment."""

    def __init__(self, orders: OrdersClient, tickets: TicketsClient) -> None:
        self.order = orders.order
        self.refund = orders.refund
        self.lookup_mail = orders.lookup_mail
        self.tickets = tickets.tickets
        self.hold = tickets.hold
        self.waitlist_entry = tickets.waitlist_entry
        self._ask = tickets.event
        self._events: dict[str, _Kept] = {}

    async def event(self, event_id: str, suits: Suits = always) -> event_pb2.Event:
        """See Sources."""
        kept = self._events.get(event_id)
        if kept is None or kept.until < time.monotonic():
            return await self._fresh(event_id)
        event = await asyncio.shield(kept.asked)
        return event if suits(event) else await self._fresh(event_id)

    async def _fresh(self, event_id: str) -> event_pb2.Event:
        if len(self._events) >= _EVENTS_KEPT:
            self._events.clear()
        asked = asyncio.create_task(self._ask(event_id))
        self._events[event_id] = _Kept(asked, time.monotonic() + EVENT_KEPT_S)
        try:
            return await asyncio.shield(asked)
        except Exception:
            self._events.pop(event_id, None)  # an error is nobody else's
            raise
