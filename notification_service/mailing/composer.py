"""Makes the mail that a notification stands for, of what the other services know by then."""

import asyncio
from email.headerregistry import Address

from tessera.payment.v1 import order_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, waitlist_entry_pb2

from kit import clock
from notification_service.documents.domain import Mail
from notification_service.documents.letter import UndeliverableAddress
from notification_service.documents.operations import Renderer
from notification_service.documents.proto import (
    event_facts,
    offer_facts,
    order_facts,
    ticket_facts,
)
from notification_service.mailing.domain import Undeliverable
from notification_service.notifications.domain import Kind, Notification
from notification_service.orders_client import OrdersClient
from notification_service.tickets_client import TicketsClient


class Composer:
    """Composes mails of every kind. `storefront_url`: see Settings."""

    def __init__(
        self,
        orders: OrdersClient,
        tickets: TicketsClient,
        renderer: Renderer,
        sender: Address,
        storefront_url: str,
    ) -> None:
        self._orders = orders
        self._tickets = tickets
        self._renderer = renderer
        self._sender = sender
        self._storefront_url = storefront_url

    async def compose(self, notification: Notification) -> Mail:
        """The mail, ready to be handed over.

        Raises:
            Undeliverable: there is nothing to tell any more, or no way to address it.
            RemoteError: another service does not answer, or does not know what the mail is about.
        """
        try:
            if notification.kind is Kind.WAITLIST_OFFER:
                return await self._offer(notification)
            return await self._receipt(notification)
        except UndeliverableAddress as error:
            raise Undeliverable(str(error)) from error

    async def _receipt(self, notification: Notification) -> Mail:
        order, tickets, event = await asyncio.gather(
            self._orders.order(notification.order_id),
            self._tickets.tickets(notification.order_id),
            self._tickets.event(notification.event_id),
        )
        if order.state != order_pb2.ORDER_STATE_PAID or not tickets:
            raise Undeliverable("The order has no valid tickets.")
        return await self._renderer.receipt(
            event_facts(event),
            order_facts(order),
            ticket_facts(tickets, order),
            sender=self._sender,
            mail_id=notification.mail_id,
            date=notification.queued_at,
        )

    async def _offer(self, notification: Notification) -> Mail:
        entry, event = await asyncio.gather(
            self._tickets.waitlist_entry(notification.waitlist_entry_id),
            self._tickets.event(notification.event_id),
        )
        if not entry.hold_id:
            raise Undeliverable("Nothing is offered.")
        hold = await self._tickets.hold(entry.hold_id)
        _check_open(entry, hold, event)
        return await self._renderer.offer(
            event_facts(event),
            offer_facts(entry, hold, self._storefront_url),
            sender=self._sender,
            mail_id=notification.mail_id,
            date=notification.queued_at,
        )


def _check_open(
    entry: waitlist_entry_pb2.WaitlistEntry, hold: hold_pb2.Hold, event: event_pb2.Event
) -> None:
    """Raise Undeliverable, saying why, for an offer that can no longer be taken."""
    if entry.state == waitlist_entry_pb2.WAITLIST_ENTRY_STATE_CONVERTED:
        raise Undeliverable("The offered tickets are bought already.")
    if entry.state == waitlist_entry_pb2.WAITLIST_ENTRY_STATE_CANCELLED:
        raise Undeliverable("The offer was given up.")
    if event.state != event_pb2.EVENT_STATE_PUBLISHED:
        raise Undeliverable("The event is no longer on sale.")
    is_live = hold.state == hold_pb2.HOLD_STATE_ACTIVE
    if not is_live or clock.from_timestamp(hold.expires_at) <= clock.now():
        raise Undeliverable("The offer has expired.")
