"""Who waits for whom where documents are drawn. The conditions are set, and no time is measured."""

import asyncio
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from notification_service.documents.letter import Envelope, Letter
from notification_service.documents.letters import order_expired
from notification_service.documents.operations import MAX_VIEWS, Renderer, TooManyDocuments
from notification_service.documents.tickets_pdf import draw_tickets
from tests.unit.notification_service.samples import (
    QUEUED_AT,
    SENDER,
    an_event,
    an_order,
    some_tickets,
)

ENVELOPE = Envelope(SENDER, "ntf_0199", QUEUED_AT)


@pytest.fixture
async def renderer() -> AsyncIterator[Renderer]:
    renderer = Renderer()
    yield renderer
    renderer.close()


def a_letter() -> Letter:
    return order_expired.write(an_event(), an_order())


async def drawn(renderer: Renderer, count: int = 1, number: int = 1) -> bytes:
    """The tickets of one of many orders."""
    order = replace(an_order(), id=f"ord_{number}")
    return await renderer.tickets(an_event(), order, some_tickets(count))


async def mailed(renderer: Renderer) -> None:
    await renderer.mail(a_letter, ENVELOPE)


@contextmanager
def busy(renderer: Renderer) -> Iterator[asyncio.Task[object]]:
    """Meanwhile the thread is at a mail that does not come to an end."""
    may_end = threading.Event()

    def write() -> Letter:
        may_end.wait()
        return a_letter()

    mail: asyncio.Task[object] = asyncio.create_task(renderer.mail(write, ENVELOPE))
    try:
        yield mail
    finally:
        may_end.set()


async def in_line() -> None:
    """Let everybody who was begun stand where they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_mail_is_behind_no_document_of_the_many_that_are_looked_at(
    renderer: Renderer,
) -> None:
    done: list[str] = []

    async def note(name: str, work: "asyncio.Task[bytes] | asyncio.Task[None]") -> None:
        await work
        done.append(name)

    documents = [asyncio.create_task(drawn(renderer, 40, each)) for each in range(MAX_VIEWS)]
    waiting = [note("document", each) for each in documents]
    waiting += [note("mail", asyncio.create_task(mailed(renderer))) for _ in range(3)]
    await asyncio.gather(*waiting)

    assert done == ["mail"] * 3 + ["document"] * MAX_VIEWS


async def test_a_document_is_not_behind_all_the_mails(renderer: Renderer) -> None:
    """Between two of its steps there are the mails that are at hand, of the many that wait."""
    steps = 1 + sum(1 for _ in draw_tickets(an_event(), an_order(), some_tickets(30)))
    document = asyncio.create_task(drawn(renderer, 30))
    written = 0

    async def write_on() -> None:
        nonlocal written
        while not document.done():
            await mailed(renderer)
            written += 1

    await asyncio.gather(*(write_on() for _ in range(20)))

    assert await document
    assert written <= 3 * steps + 20


async def test_who_would_wait_too_long_is_refused_at_once(renderer: Renderer) -> None:
    with busy(renderer) as mail:
        first = [asyncio.create_task(drawn(renderer, number=each)) for each in range(MAX_VIEWS)]
        await in_line()
        with pytest.raises(TooManyDocuments):
            await drawn(renderer, number=MAX_VIEWS)
        with pytest.raises(TooManyDocuments):
            await renderer.preview(a_letter, SENDER, plain_text=True)
        others = asyncio.create_task(mailed(renderer))
        await in_line()
    await asyncio.gather(mail, others, *first)

    assert await drawn(renderer, number=MAX_VIEWS)


async def test_the_same_tickets_are_drawn_once_for_all_who_ask_meanwhile(
    renderer: Renderer,
) -> None:
    with busy(renderer) as mail:
        same = [asyncio.create_task(drawn(renderer)) for _ in range(3 * MAX_VIEWS)]
        await in_line()
        others = [
            asyncio.create_task(drawn(renderer, number=2 + each)) for each in range(MAX_VIEWS - 1)
        ]
        await in_line()
    first, *rest = await asyncio.gather(*same)
    await asyncio.gather(mail, *others)

    assert all(each is first for each in rest)
    assert await drawn(renderer) is not first


async def test_tickets_that_changed_are_drawn_as_they_are_now(renderer: Renderer) -> None:
    with busy(renderer) as mail:
        before = asyncio.create_task(drawn(renderer))
        await in_line()
        renamed = some_tickets(1, holder_name="Grace Hopper")
        after = asyncio.create_task(
            renderer.tickets(an_event(), replace(an_order(), id="ord_1"), renamed)
        )
        await in_line()

    assert await before != await after
    await mail


async def test_who_gives_up_leaves_the_line_and_takes_nothing_from_the_others(
    renderer: Renderer,
) -> None:
    with busy(renderer) as mail:
        shared = [asyncio.create_task(drawn(renderer)) for _ in range(2)]
        rest = [
            asyncio.create_task(drawn(renderer, number=2 + each)) for each in range(MAX_VIEWS - 1)
        ]
        await in_line()
        shared[0].cancel()
        rest[0].cancel()
        await in_line()
        late = asyncio.create_task(drawn(renderer, number=100))
        await in_line()
    await asyncio.gather(mail, shared[1], late, *rest[1:])

    assert shared[0].cancelled()
    assert rest[0].cancelled()


def test_a_document_of_many_pages_may_be_put_aside_every_few_of_them() -> None:
    pauses = [
        sum(1 for _ in draw_tickets(an_event(), an_order(), some_tickets(count)))
        for count in (1, 50, 200)
    ]

    assert pauses == [2, 6, 21]


def test_a_document_that_nobody_wants_any_more_leaves_nothing_open() -> None:
    steps = draw_tickets(an_event(title="مهرجان"), an_order(), some_tickets(50))
    next(steps)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del steps
        gc.collect()

    assert not warned
