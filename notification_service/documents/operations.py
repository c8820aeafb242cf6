"""Rendering beside the event loop: one document at a time, a step of each in turn."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.headerregistry import Address
from functools import partial
from typing import Generic, TypeVar

from kit.errors import ResourceExhausted
from notification_service.documents.domain import Event, Mail, Order, Ticket
from notification_service.documents.letter import (
    Envelope,
    Letter,
    write_html,
    write_mail_in_steps,
    write_text,
)
from notification_service.documents.steps import Steps
from notification_service.documents.tickets_pdf import draw_tickets

Result = TypeVar("Result")

MAX_VIEWS = 16
"""How many documents that somebody looks at may wait, that which is drawn included."""
_MAILS_AT_ONCE = 2  # one is written, and the next is at hand

_Asked = tuple[Event, Order, tuple[Ticket, ...]]


class TooManyDocuments(ResourceExhausted):
    """More documents are asked for than can be drawn in time; try again shortly."""


@dataclass(slots=True)
class _Drawing:
    """A document that somebody waits for."""

    task: asyncio.Task[bytes]
    wanted_by: int = 0


class Renderer:
    """A thread that renders.

    A thread and not a process, which would cost some 80 MB for work that comes a few times a
    second at most; and one only, since rendering is all Python and more of them would but wait for
    each other. The event loop goes on meanwhile, a few milliseconds late. Fonts are prepared with
    the first document, not at start.

    Mails stand in a line outside of the thread, and what somebody looks at in another one, a short
    one. The thread takes what is first in each, a step of every one in turn: so neither line is
    behind the other, whatever its length, nor behind a document of many pages.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="renderer")
        self._mails = asyncio.Semaphore(_MAILS_AT_ONCE)
        self._views = asyncio.Lock()
        self._viewing = 0
        self._drawings: dict[_Asked, _Drawing] = {}

    async def tickets(self, event: Event, order: Order, tickets: Sequence[Ticket]) -> bytes:
        """A PDF with a page a ticket; whoever asks for the same meanwhile gets the same.

        Raises:
            TooManyDocuments: the line is full.
        """
        asked = (event, order, tuple(tickets))
        drawing = self._drawings.get(asked) or self._draw(asked)
        drawing.wanted_by += 1
        try:
            return await asyncio.shield(drawing.task)
        finally:
            drawing.wanted_by -= 1
            if not drawing.wanted_by:
                drawing.task.cancel()
                self._forget(asked, drawing)

    async def mail(self, letter: Callable[[], Letter], envelope: Envelope) -> Mail:
        """A letter as it goes over the wire.

        Raises:
            UndeliverableAddress: no mail can be addressed to its recipient.
        """

        def write() -> Steps[Mail]:
            return (yield from write_mail_in_steps(letter(), envelope))

        async with self._mails:
            return await self._run(write())

    async def preview(
        self, letter: Callable[[], Letter], sender: Address, *, plain_text: bool
    ) -> str:
        """The part of a letter that a customer would see.

        Raises:
            TooManyDocuments: the line is full.
        """

        def write() -> Steps[str]:
            yield  # it is a single step
            return (write_text if plain_text else write_html)(letter(), sender)

        return await self._view(write())

    def close(self) -> None:
        """Begin nothing more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _draw(self, asked: _Asked) -> _Drawing:
        drawing = _Drawing(asyncio.create_task(self._view(draw_tickets(*asked))))
        drawing.task.add_done_callback(lambda _: self._forget(asked, drawing))
        self._drawings[asked] = drawing
        return drawing

    def _forget(self, asked: _Asked, drawing: _Drawing) -> None:
        """Whoever asks from now on has the document drawn anew."""
        if self._drawings.get(asked) is drawing:
            del self._drawings[asked]

    async def _view(self, steps: Steps[Result]) -> Result:
        if self._viewing >= MAX_VIEWS:
            raise TooManyDocuments
        self._viewing += 1
        try:
            async with self._views:
                return await self._run(steps)
        finally:
            self._viewing -= 1

    async def _run(self, steps: Steps[Result]) -> Result:
        loop = asyncio.get_running_loop()
        while True:
            done = await loop.run_in_executor(self._thread, partial(_step, steps))
            if done:
                return done.made


@dataclass(frozen=True, slots=True)
class _Done(Generic[Result]):
    made: Result


def _step(steps: Steps[Result]) -> _Done[Result] | None:
    """Take a step; what the work made, after its last."""
    try:
        next(steps)
    except StopIteration as end:
        return _Done(end.value)
    return None
