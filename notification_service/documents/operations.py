"""Rendering beside the event loop, one document at a time."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.headerregistry import Address
from functools import partial
from typing import TypeVar

from notification_service.documents.domain import Event, Mail, Order, Ticket
from notification_service.documents.letter import (
    Envelope,
    Letter,
    write_html,
    write_mail,
    write_text,
)
from notification_service.documents.tickets_pdf import render_tickets

Result = TypeVar("Result")

_MAILS_AT_ONCE = 2  # one is written, and the next is at hand


class Renderer:
    """A thread that renders.

    A thread and not a process, which would cost some 80 MB for work that comes a few times a
    second at most; and one only, since rendering is all Python and more of them would but wait for
    each other. The event loop goes on meanwhile, a few milliseconds late. Fonts are prepared with
    the first document, not at start.

    Mails stand in line outside of the thread: who looks at a screen is not behind all of them.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="renderer")
        self._mails = asyncio.Semaphore(_MAILS_AT_ONCE)

    async def tickets(self, event: Event, order: Order, tickets: Sequence[Ticket]) -> bytes:
        """A PDF with a page a ticket."""
        return await self._run(partial(render_tickets, event, order, tickets))

    async def mail(self, letter: Callable[[], Letter], envelope: Envelope) -> Mail:
        """A letter as it goes over the wire.

        Raises:
            UndeliverableAddress: no mail can be addressed to its recipient.
        """
        async with self._mails:
            return await self._run(lambda: write_mail(letter(), envelope))

    async def preview(
        self, letter: Callable[[], Letter], sender: Address, *, plain_text: bool
    ) -> str:
        """The part of a letter that a customer would see."""
        write = write_text if plain_text else write_html
        return await self._run(lambda: write(letter(), sender))

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, render: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, render)
