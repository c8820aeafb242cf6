"""Makes the mail that a notification stands for, of what the other services know by then."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from email.headerregistry import Address
from functools import partial

from tessera.payment.v1 import order_pb2, refund_pb2
from tessera.ticket.v1 import event_pb2, hold_pb2, ticket_pb2, waitlist_entry_pb2

from kit import clock
from notification_service.documents.domain import Mail, Previously
from notification_service.documents.letter import Envelope, Letter, UndeliverableAddress
from notification_service.documents.letters import (
    event_cancelled,
    event_changed,
    offer,
    order_cancelled,
    order_expired,
    order_lookup,
    payment_failed,
    receipt,
    refund,
    ticket_transferred,
    ticket_withdrawn,
)
from notification_service.documents.operations import Renderer
from notification_service.documents.proto import (
    event_facts,
    lookup_facts,
    offer_facts,
    order_facts,
    refund_facts,
    ticket_facts,
)
from notification_service.mailing.domain import Undeliverable
from notification_service.mailing.sources import Sources, Suits, always
from notification_service.notifications.domain import Kind, Notification

Write = Callable[[], Letter]
"""What writes a letter, for the thread that renders."""


class Composer:
    """Composes mails of every kind. `storefront_url`: see Settings."""

    def __init__(
        self, sources: Sources, renderer: Renderer, sender: Address, storefront_url: str
    ) -> None:
        self._sources = sources
        self._renderer = renderer
        self._sender = sender
        self._storefront_url = storefront_url
        self._by_kind: Mapping[Kind, Callable[[Notification], Awaitable[Write]]] = {
            Kind.RECEIPT: self._receipt,
            Kind.WAITLIST_OFFER: self._offer,
            Kind.PAYMENT_FAILED: self._payment_failed,
            Kind.ORDER_EXPIRED: self._order_expired,
            Kind.ORDER_CANCELLED: self._order_cancelled,
            Kind.REFUND: self._refund,
            Kind.EVENT_CHANGED: self._event_changed,
            Kind.EVENT_CANCELLED: self._event_cancelled,
            Kind.TICKET_TRANSFERRED: self._ticket_transferred,
            Kind.ORDER_LOOKUP: self._order_lookup,
            Kind.TICKET_WITHDRAWN: self._ticket_withdrawn,
        }

    async def compose(self, notification: Notification) -> Mail:
        """The mail, ready to be handed over.

        Raises:
            Undeliverable: there is nothing to tell any more, or no way to address it.
            RemoteError: another service does not answer, or does not know what the mail is about.
        """
        letter = await self.letter(notification)
        envelope = Envelope(self._sender, notification.mail_id, notification.queued_at)
        try:
            return await self._renderer.mail(letter, envelope)
        except UndeliverableAddress as error:
            raise Undeliverable(str(error)) from error

    async def letter(self, notification: Notification) -> Write:
        """What the mail says. Raises Undeliverable and RemoteError, as `compose` does."""
        return await self._by_kind[notification.kind](notification)

    async def _receipt(self, about: Notification) -> Write:
        (event, order), tickets = await asyncio.gather(
            self._bought(about), self._sources.tickets(about.order_id)
        )
        valid = [each for each in tickets if _is_the_customers(each)]
        if order.state != order_pb2.ORDER_STATE_PAID or not valid:
            raise Undeliverable("The order has no valid tickets.")
        return lambda: receipt.write(
            event_facts(event), order_facts(order), ticket_facts(valid, order)
        )

    async def _payment_failed(self, about: Notification) -> Write:
        event, order = await self._bought(about)
        deadline = clock.from_timestamp(order.expires_at)
        if order.state != order_pb2.ORDER_STATE_PENDING or deadline <= clock.now():
            raise Undeliverable("The order no longer waits for a payment.")
        code = about.details.get("decline_code", "")
        return lambda: payment_failed.write(event_facts(event), order_facts(order), code, deadline)

    async def _order_expired(self, about: Notification) -> Write:
        event, order = await self._bought(about)
        if order.state != order_pb2.ORDER_STATE_EXPIRED:
            raise Undeliverable("The order has not expired.")
        return lambda: order_expired.write(event_facts(event), order_facts(order))

    async def _order_cancelled(self, about: Notification) -> Write:
        event, order = await self._bought(about)
        _check_cancelled(order)
        return lambda: order_cancelled.write(event_facts(event), order_facts(order))

    async def _event_cancelled(self, about: Notification) -> Write:
        event, order = await self._bought(about, _is_cancelled)
        _check_cancelled(order)
        return lambda: event_cancelled.write(event_facts(event), order_facts(order))

    async def _refund(self, about: Notification) -> Write:
        (event, order), made = await asyncio.gather(
            self._bought(about), self._sources.refund(about.order_id, about.subject_id)
        )
        if made.state == refund_pb2.REFUND_STATE_FAILED:
            raise Undeliverable("The refund failed.")
        facts = refund_facts(made)
        tickets = await self._sources.tickets(order.id) if facts.ticket_numbers else ()

        def write() -> Letter:
            known = {each.number: each for each in ticket_facts(tickets, order)}
            taken = [known[number] for number in facts.ticket_numbers if number in known]
            return refund.write(event_facts(event), order_facts(order), facts, taken)

        return write

    async def _event_changed(self, about: Notification) -> Write:
        version = int(about.details.get("event_version", "0"))
        event, order = await self._bought(about, lambda known: known.version >= version)
        if _is_cancelled(event):
            raise Undeliverable("The event was cancelled since.")
        if order.state != order_pb2.ORDER_STATE_PAID:
            raise Undeliverable("The order has no valid tickets.")
        facts, previously = event_facts(event), _previously(about.details)
        if previously.says_something and not event_changed.changes(facts, previously):
            raise Undeliverable("The event is as it was again.")
        return lambda: event_changed.write(facts, order_facts(order), previously)

    async def _ticket_transferred(self, about: Notification) -> Write:
        (event, order), tickets = await asyncio.gather(
            self._bought(about), self._sources.tickets(about.order_id)
        )
        given = next((each for each in tickets if each.id == about.subject_id), None)
        if given is None or given.state != ticket_pb2.TICKET_STATE_ISSUED:
            raise Undeliverable("The ticket is not valid any more.")
        [facts], email = ticket_facts([given], order), given.holder_email
        return lambda: ticket_transferred.write(
            event_facts(event), order_facts(order), facts, email
        )

    async def _ticket_withdrawn(self, about: Notification) -> Write:
        (event, order), tickets = await asyncio.gather(
            self._bought(about), self._sources.tickets(about.order_id)
        )
        gone = next((each for each in tickets if each.id == about.subject_id), None)
        if gone is None or gone.HasField("admitted_at"):
            raise Undeliverable("The ticket was used.")
        [facts], email = ticket_facts([gone], order), gone.holder_email
        return lambda: ticket_withdrawn.write(event_facts(event), order_facts(order), facts, email)

    async def _order_lookup(self, about: Notification) -> Write:
        facts = lookup_facts(await self._sources.lookup_mail(about.subject_id))
        if facts.expires_at <= clock.now():
            raise Undeliverable("The code has expired.")
        return partial(order_lookup.write, facts)

    async def _offer(self, about: Notification) -> Write:
        entry, event = await asyncio.gather(
            self._sources.waitlist_entry(about.waitlist_entry_id),
            self._sources.event(about.event_id),
        )
        if not entry.hold_id:
            raise Undeliverable("Nothing is offered.")
        hold = await self._sources.hold(entry.hold_id)
        _check_open(entry, hold, event)
        return lambda: offer.write(
            event_facts(event), offer_facts(entry, hold, self._storefront_url)
        )

    async def _bought(
        self, about: Notification, suits: Suits = always
    ) -> tuple[event_pb2.Event, order_pb2.Order]:
        """The event and the order that a mail is about."""
        return await asyncio.gather(
            self._sources.event(about.event_id, suits),
            self._sources.order(about.order_id),
        )


def _previously(details: Mapping[str, str]) -> Previously:
    """What an event's change replaced, as the message told it."""

    def time(name: str) -> datetime | None:
        return datetime.fromisoformat(details[name]) if name in details else None

    return Previously(
        title=details.get("previous_title"),
        location=details.get("previous_location"),
        starts_at=time("previous_starts_at"),
        ends_at=time("previous_ends_at"),
    )


def _is_cancelled(event: event_pb2.Event) -> bool:
    return event.state == event_pb2.EVENT_STATE_CANCELLED


def _is_the_customers(ticket: ticket_pb2.Ticket) -> bool:
    """Whether it is valid, and was not given to somebody else: they have it by mail."""
    return ticket.state == ticket_pb2.TICKET_STATE_ISSUED and not ticket.holder_email


def _check_cancelled(order: order_pb2.Order) -> None:
    if order.state != order_pb2.ORDER_STATE_CANCELLED:
        raise Undeliverable("The order is not cancelled.")


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
