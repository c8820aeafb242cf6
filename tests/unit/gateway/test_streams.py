"""Streams: one of a service's for all who watch the same thing, told as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.message import Message
from tessera.ticket.v1 import availability_pb2, availability_service_pb2, event_pb2

from gateway.settings import Settings
from gateway.sse import event_stream
from gateway.streams import MAX_UNREAD, Streams, Watcher
from kit import errors
from kit.rpc_errors import RemoteError
from tests.unit.gateway.support import World, assert_problem, world

PATH = "/v1/events/evt_1/availability:watch"


def _said(version: int) -> availability_pb2.Availability:
    return availability_pb2.Availability(
        event_id="evt_1",
        event_state=event_pb2.EVENT_STATE_PUBLISHED,
        ticket_types=[
            availability_pb2.TicketTypeAvailability(ticket_type_id="tt_1", remaining=version)
        ],
        seats_version=version,
    )


@dataclass(slots=True)
class Source:
    """What a service says to each who opens its stream: messages, an error, or None for the end."""

    opened: list["asyncio.Queue[Message | errors.TesseraError | None]"] = field(
        default_factory=list
    )

    async def __call__(
        self, _request: availability_service_pb2.WatchAvailabilityRequest
    ) -> AsyncIterator[Message]:
        said: asyncio.Queue[Message | errors.TesseraError | None] = asyncio.Queue()
        self.opened.append(said)
        while (each := await said.get()) is not None:
            if isinstance(each, errors.TesseraError):
                raise each
            yield each

    async def stream(
        self, number: int = 0
    ) -> "asyncio.Queue[Message | errors.TesseraError | None]":
        """What was opened as this one, once it is."""
        await _until(lambda: len(self.opened) > number)
        return self.opened[number]

    async def say(self, each: Message | errors.TesseraError | None, number: int = 0) -> None:
        (await self.stream(number)).put_nowait(each)


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.001)


class Viewer:
    """A client that watches, with a socket that takes what it is given until it is `full`."""

    def __init__(
        self, gateway: World, path: str = PATH, headers: dict[str, str] | None = None
    ) -> None:
        self.start: dict[str, Any] = {}
        self.content = b""
        self.has_ended = False
        self._takes = asyncio.Event()
        self._takes.set()
        self._leaves = asyncio.Event()
        self._asked = False
        sent = {"host": "gateway", **(headers or {})}
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
        self.request = asyncio.create_task(gateway.app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self._takes.wait()
        if message["type"] == "http.response.start":
            self.start = message
        else:
            self.content += message["body"]
            self.has_ended = not message.get("more_body", False)

    def fill(self) -> None:
        """From now on nothing more fits into the socket."""
        self._takes.clear()

    def leave(self) -> None:
        self._leaves.set()

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.start["headers"]}

    @property
    def events(self) -> list[tuple[str, Any]]:
        """The events so far, as a browser sees them: name and JSON."""
        found = []
        for block in self.content.decode().split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in lines:
                found.append((lines.get("event", "message"), json.loads(lines["data"])))
        return found

    @property
    def versions(self) -> list[int]:
        return [said["seats_version"] for name, said in self.events if name == "message"]

    async def sees(self, *versions: int) -> None:
        """Wait until these messages, and no others, have arrived."""
        await _until(lambda: self.versions == list(versions))

    async def ended(self) -> None:
        async with asyncio.timeout(30):
            await self.request


@pytest.fixture
def source(gateway: World) -> Source:
    """The availability of an event."""
    made = gateway.services.streams["WatchAvailability"] = Source()
    return made


@contextmanager
def _watching(*viewers: Viewer) -> Iterator[None]:
    try:
        yield
    finally:
        for viewer in viewers:
            viewer.leave()


async def test_a_stream_is_told_as_server_sent_events(gateway: World, source: Source) -> None:
    viewer = Viewer(gateway)
    await source.say(_said(1))
    await source.say(_said(2))
    await viewer.sees(1, 2)
    assert viewer.start["status"] == 200
    assert viewer.headers["content-type"] == "text/event-stream"
    assert viewer.headers["cache-control"] == "no-store"
    assert viewer.headers["x-accel-buffering"] == "no"
    assert viewer.headers["access-control-allow-origin"] == "*"
    assert "content-length" not in viewer.headers
    retry, first, second, _ = viewer.content.split(b"\n\n")
    assert retry == b"retry: 2000"
    assert json.loads(first.removeprefix(b"data: ")) == {
        "event_id": "evt_1",
        "event_state": "PUBLISHED",
        "ticket_types": [{"ticket_type_id": "tt_1", "remaining": 1}],
        "seats_version": 1,
        "previous_seats_version": 0,
        "changed_seats": [],
    }
    assert second.startswith(b"data: {")
    request = gateway.services.last.request
    assert request == availability_service_pb2.WatchAvailabilityRequest(event_id="evt_1")
    viewer.leave()
    await viewer.ended()


async def test_a_stream_has_no_deadline(gateway: World, source: Source) -> None:
    with _watching(Viewer(gateway)):
        await source.stream()
        assert gateway.services.last.time_remaining_s == 0  # none is set


async def test_a_refusal_before_the_first_message_is_an_ordinary_problem(
    gateway: World, source: Source
) -> None:
    asking = asyncio.create_task(gateway.client.get(PATH))
    await source.say(errors.NotFound())
    assert_problem(await asking, 404, "NOT_FOUND")


async def test_what_goes_wrong_later_is_told_as_an_event_and_is_the_end(
    gateway: World, source: Source
) -> None:
    viewer = Viewer(gateway)
    await source.say(_said(1))
    await source.say(errors.NotFound("It is gone."))
    await viewer.ended()
    assert viewer.has_ended
    name, problem = viewer.events[-1]
    assert name == "problem"
    assert (problem["status"], problem["reason"]) == (404, "NOT_FOUND")
    assert problem["detail"] == "It is gone."
    assert problem["instance"] == viewer.headers["x-request-id"]


async def test_what_went_wrong_inside_stays_inside(gateway: World, source: Source) -> None:
    viewer = Viewer(gateway)
    await source.say(_said(1))
    await source.say(RemoteError("INTERNAL", "A_REASON", "a password: hunter2"))
    await viewer.ended()
    assert viewer.events[-1][1]["reason"] == "INTERNAL"
    assert b"hunter2" not in viewer.content


async def test_when_the_service_has_said_all_the_stream_ends(
    gateway: World, source: Source
) -> None:
    viewer = Viewer(gateway)
    await source.say(_said(1))
    await source.say(None)
    await viewer.ended()
    assert viewer.has_ended
    assert viewer.versions == [1]


async def test_all_who_watch_the_same_share_one_stream(gateway: World, source: Source) -> None:
    viewers = [Viewer(gateway) for _ in range(200)]
    with _watching(*viewers):
        for version in (1, 2, 3):
            await source.say(_said(version))
        for viewer in viewers:
            await viewer.sees(1, 2, 3)
        assert len(source.opened) == 1


async def test_who_comes_later_is_told_the_latest_at_once(gateway: World, source: Source) -> None:
    first = Viewer(gateway)
    await source.say(_said(1))
    await source.say(_said(2))
    await first.sees(1, 2)
    second = Viewer(gateway)
    with _watching(first, second):
        await second.sees(2)
        await source.say(_said(3))
        await second.sees(2, 3)
        await first.sees(1, 2, 3)
    assert len(source.opened) == 1


async def test_the_last_who_leaves_ends_the_stream(gateway: World, source: Source) -> None:
    first, second = Viewer(gateway), Viewer(gateway)
    await source.say(_said(1))
    await first.sees(1)
    await second.sees(1)
    first.leave()
    await first.ended()
    await source.say(_said(2))
    await second.sees(1, 2)
    second.leave()
    await second.ended()
    await _until(lambda: gateway.services.open_streams == 0)
    third = Viewer(gateway)
    with _watching(third):
        await source.say(_said(3), number=1)
        await third.sees(3)


async def test_who_leaves_before_anything_is_said_ends_it_too(
    gateway: World, source: Source
) -> None:
    viewer = Viewer(gateway)
    await source.stream()
    viewer.leave()
    await viewer.ended()
    assert not viewer.start
    await _until(lambda: gateway.services.open_streams == 0)


async def test_who_is_signed_in_has_a_stream_of_their_own(gateway: World, source: Source) -> None:
    authorization = gateway.signer.bearer()
    anyone, admin = Viewer(gateway), Viewer(gateway, headers=authorization)
    with _watching(anyone, admin):
        await source.stream(1)
        calls = [call.metadata.get("authorization") for call in gateway.services.calls]
        assert sorted(calls, key=str) == sorted([None, authorization["Authorization"]], key=str)


async def test_other_things_are_other_streams(gateway: World, source: Source) -> None:
    one, other = Viewer(gateway), Viewer(gateway, PATH.replace("evt_1", "evt_2"))
    with _watching(one, other):
        await source.stream(1)
        assert {call.request.event_id for call in gateway.services.calls} == {"evt_1", "evt_2"}


async def test_a_bad_token_is_401(gateway: World, source: Source) -> None:
    answer = await gateway.client.get(PATH, headers={"Authorization": "Bearer x"})
    assert_problem(answer, 401, "INVALID_TOKEN")
    assert not source.opened


async def test_head_answers_with_the_headers_that_a_get_would_have(
    gateway: World, source: Source
) -> None:
    answering = asyncio.create_task(gateway.client.head(PATH))
    await source.say(_said(1))
    answer = await answering
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"


async def test_head_is_refused_what_a_get_would_be(gateway: World, source: Source) -> None:
    answering = asyncio.create_task(gateway.client.head(PATH))
    await source.say(errors.NotFound())
    answer = await answering
    assert (answer.status_code, answer.content) == (404, b"")


async def test_a_query_that_is_not_taken_is_refused(gateway: World, source: Source) -> None:
    assert_problem(await gateway.client.get(f"{PATH}?x=1"), 400, "INVALID_REQUEST")
    assert not source.opened


async def test_who_does_not_read_is_dropped_and_the_others_are_not(
    gateway: World, source: Source
) -> None:
    stuck, reads = Viewer(gateway), Viewer(gateway)
    await source.say(_said(1))
    await stuck.sees(1)
    await reads.sees(1)
    stuck.fill()
    for version in range(2, MAX_UNREAD + 10):
        await source.say(_said(version))
        await reads.sees(*range(1, version + 1))
    await stuck.ended()
    assert stuck.versions == [1]
    assert not reads.request.done()
    reads.leave()
    await reads.ended()


async def test_who_is_dropped_may_come_again(gateway: World) -> None:
    streams = Streams(max_watchers=1)
    slow = streams.watch("evt_1", _endless, _render)
    for _ in range(MAX_UNREAD + 1):
        slow.tell(b"said")
    assert slow.is_dropped
    slow.leave()
    streams.watch("evt_1", _endless, _render).leave()


async def test_what_was_left_unread_is_told_together(gateway: World, source: Source) -> None:
    viewer = Viewer(gateway)
    await source.say(_said(1))
    await viewer.sees(1)
    viewer.fill()
    await source.say(_said(2))
    await source.say(_said(3))
    viewer._takes.set()
    await viewer.sees(1, 2, 3)
    viewer.leave()
    await viewer.ended()


async def test_only_so_many_may_watch_at_once() -> None:
    async with world(Settings(max_watchers=2)) as gateway:
        source = gateway.services.streams["WatchAvailability"] = Source()
        viewers = [Viewer(gateway), Viewer(gateway, PATH.replace("evt_1", "evt_2"))]
        await source.stream(1)
        answer = await gateway.client.get(PATH)
        assert_problem(answer, 429, "TOO_MANY_WATCHERS")
        assert answer.headers["retry-after"] == "1"
        viewers[0].leave()
        await viewers[0].ended()
        again = Viewer(gateway)
        with _watching(*viewers, again):
            await source.stream(2)


async def test_a_service_that_is_away_for_a_moment_is_waited_for(
    gateway: World, source: Source
) -> None:
    viewer = Viewer(gateway)
    with _watching(viewer):
        await source.say(_said(1))
        await viewer.sees(1)
        await source.say(errors.Unavailable())
        await source.say(errors.Unavailable(), number=1)
        await source.say(_said(2), number=2)
        await viewer.sees(1, 2)
        assert viewer.events[-1][0] == "message"


async def test_a_service_that_found_the_gateway_too_slow_is_asked_again(
    gateway: World, source: Source
) -> None:
    viewer = Viewer(gateway)
    with _watching(viewer):
        await source.say(_said(1))
        await source.say(RemoteError("RESOURCE_EXHAUSTED", "TOO_SLOW", "Too slow."))
        await source.say(_said(2), number=1)
        await viewer.sees(1, 2)


async def test_a_service_that_is_not_there_at_all_is_not_waited_for(
    gateway: World, source: Source
) -> None:
    asking = asyncio.create_task(gateway.client.get(PATH))
    await source.say(errors.Unavailable())
    assert_problem(await asking, 503, "UNAVAILABLE")
    assert len(source.opened) == 1


class Call:
    """An opened stream that says one thing and then fails, or goes on without a word."""

    def __init__(self, error: errors.TesseraError | None = None, says: int = 1) -> None:
        self._error = error
        self._says = says
        self.is_cancelled = False

    async def __aiter__(self) -> AsyncIterator[Message]:
        for version in range(1, self._says + 1):
            yield _said(version)
        if self._error:
            raise self._error
        await asyncio.Event().wait()

    def cancel(self) -> None:
        self.is_cancelled = True


def _endless() -> Any:
    return Call()


class _Wordless(Call):
    async def __aiter__(self) -> AsyncIterator[Message]:
        for _ in ():
            yield _said(1)


def _wordless() -> Any:
    return _Wordless()


def _render(message: Any) -> bytes:
    return b"%d" % message.seats_version


async def test_a_service_that_does_not_come_back_is_given_up() -> None:
    said = iter([Call(errors.Unavailable("Away."))])

    def open_stream() -> Any:
        try:
            return next(said)
        except StopIteration:
            raise errors.Unavailable("Still away.") from None

    watcher = Streams(max_watchers=1, reconnect_s=0.2).watch("evt_1", open_stream, _render)
    assert await watcher.read() == b"1"
    async with asyncio.timeout(30):
        with pytest.raises(errors.Unavailable, match="Still away"):
            await watcher.read()
    watcher.leave()


async def test_a_service_that_says_nothing_is_not_waited_for_without_end() -> None:
    call = Call(says=0)
    streams = Streams(max_watchers=1, first_message_s=0.05)
    watcher = streams.watch("evt_1", lambda: call, _render)  # type: ignore[arg-type, return-value]  # a call, as far as we use it
    async with asyncio.timeout(30):
        with pytest.raises(errors.DeadlineExceeded):
            await watcher.read()
    assert call.is_cancelled
    watcher.leave()


async def test_a_service_that_ends_without_a_word_is_the_end() -> None:
    watcher = Streams(max_watchers=1).watch("evt_1", _wordless, _render)
    assert await watcher.read() == b""
    watcher.leave()


async def test_who_comes_after_the_end_opens_it_anew_even_if_others_linger() -> None:
    streams = Streams(max_watchers=2)
    lingers = streams.watch("evt_1", _wordless, _render)
    assert await lingers.read() == b""
    comes = streams.watch("evt_1", _endless, _render)
    assert await comes.read() == b"1"
    lingers.leave()
    comes.leave()


async def test_a_stream_that_is_left_is_cancelled() -> None:
    call = Call()
    watcher = Streams(max_watchers=1).watch("evt_1", lambda: call, _render)  # type: ignore[arg-type, return-value]  # a call, as far as we use it
    assert await watcher.read() == b"1"
    watcher.leave()
    await _until(lambda: call.is_cancelled)


async def test_what_nobody_planned_for_is_a_bare_problem() -> None:
    def broken(_message: Message) -> bytes:
        raise ZeroDivisionError

    watcher = Streams(max_watchers=1).watch("evt_1", _endless, broken)
    with pytest.raises(errors.Internal):
        await watcher.read()
    watcher.leave()


async def test_a_stop_ends_every_stream_and_lets_nobody_in() -> None:
    streams = Streams(max_watchers=10)
    watchers = [streams.watch(number, _endless, _render) for number in range(3)]
    streams.stop()
    assert all(watcher.is_dropped for watcher in watchers)
    with pytest.raises(errors.Unavailable):
        streams.watch("evt_1", _endless, _render)
    for watcher in watchers:
        watcher.leave()


async def test_who_was_refused_takes_no_place() -> None:
    async with world(Settings(max_watchers=1)) as gateway:
        source = gateway.services.streams["WatchAvailability"] = Source()
        for number in range(3):
            asking = asyncio.create_task(gateway.client.get(PATH))
            await source.say(errors.NotFound(), number)
            assert_problem(await asking, 404, "NOT_FOUND")


async def test_a_stop_just_before_the_answer_begins_ends_it_too() -> None:
    watcher = Watcher(lambda _: None)
    watcher.tell(b"data: 1\n\n")

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    answer = await event_stream(watcher, never)
    watcher.drop(errors.Unavailable())
    async with asyncio.timeout(30):
        await answer({}, never, never)


async def test_a_silent_stream_shows_that_it_is_alive() -> None:
    watcher = Watcher(lambda _: None)
    watcher.tell(b"data: 1\n\n")
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(message: Any) -> None:
        sent.put_nowait(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    answer = await event_stream(watcher, receive, heartbeat_s=0.01)
    task = asyncio.create_task(answer({}, receive, send))
    async with asyncio.timeout(30):
        for expected in (b"", b"retry: 2000\n\ndata: 1\n\n", b":\n\n", b":\n\n"):
            assert await sent.get() == expected
    watcher.end(None)
    await task
