"""Rendering beside the event loop, one document at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from functools import partial
from typing import TypeVar

from notification_service.documents.domain import Event, Mail, Offer, Order, Ticket
from notification_service.documents.offer import render_offer
from notification_service.documents.receipt import render_receipt
from notification_service.documents.tickets_pdf import render_tickets

Result = TypeVar("Result")


class Renderer:
    """A thread that renders.

    A thread and not a process, which would cost some 80 MB for work that comes a few times a
    second at most; and one only, since rendering is all Python and more of them would but wait for
    each other. The event loop goes on meanwhile, a few milliseconds late. Fonts are prepared with
    the first document, not at start.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="renderer")

    async def tickets(self, event: Event, order: Order, tickets: Sequence[Ticket]) -> bytes:
        """A PDF with a page a ticket."""
        return await self._run(partial(render_tickets, event, order, tickets))

    async def receipt(
        self,
        event: Event,
        order: Order,
        tickets: Sequence[Ticket],
        *,
        sender: Address,
        mail_id: str,
        date: datetime,
    ) -> Mail:
        """The receipt as it goes over the wire.

        Raises:
            UndeliverableAddress: no mail can be addressed to the customer.
        """

        def render() -> Mail:
            message = render_receipt(
                event, order, tickets, sender=sender, notification_id=mail_id, date=date
            )
            return _mail(message, sender, order.customer_email)

        return await self._run(render)

    async def offer(
        self, event: Event, offer: Offer, *, sender: Address, mail_id: str, date: datetime
    ) -> Mail:
        """The mail to somebody on a waiting list, as it goes over the wire.

        Raises:
            UndeliverableAddress: no mail can be addressed to the customer.
        """

        def render() -> Mail:
            message = render_offer(event, offer, sender=sender, notification_id=mail_id, date=date)
            return _mail(message, sender, offer.customer_email)

        return await self._run(render)

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, render: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, render)


def _mail(message: EmailMessage, sender: Address, recipient: str) -> Mail:
    return Mail(sender.addr_spec, recipient, str(message["Subject"]), message.as_bytes())
