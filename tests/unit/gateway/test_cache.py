"""Public reads: the same answer for everybody, kept for a moment, and asked for once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from google.protobuf.message import Message
from starlette.responses import Response
from starlette.types import Message as AsgiMessage
from tessera.ticket.v1 import event_pb2, event_service_pb2

from gateway.cache import STALE_S, Cache, Key
from kit import errors
from tests.unit.gateway.support import World, assert_problem, world

EVENT = "/v1/events/evt_1"


@dataclass(slots=True)
class Clock:
    """Time that passes when a test says so."""

    now_s: float = 1000

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> Cache:
    return Cache(clock)


@pytest.fixture
async def gateway(cache: Cache) -> AsyncIterator[World]:
    """A gateway whose service knows a Hamlet."""
    async with world(cache=cache) as started:
        started.services.answers["GetEvent"] = event_pb2.Event(title="Hamlet", version=4)
        yield started


def _titles(*answers: httpx.Response) -> list[str]:
    return [answer.json()["title"] for answer in answers]


async def test_an_answer_is_given_again_for_as_long_as_the_proto_says(
    gateway: World, clock: Clock
) -> None:
    first = await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Macbeth")
    clock.now_s += 0.9
    second = await gateway.client.get(EVENT)
    clock.now_s += 0.2
    third = await gateway.client.get(EVENT)
    assert _titles(first, second, third) == ["Hamlet", "Hamlet", "Macbeth"]
    assert len(gateway.services.calls) == 2


async def test_it_says_how_long_it_may_be_kept_and_for_whom(gateway: World) -> None:
    headers = (await gateway.client.get(EVENT)).headers
    assert headers["cache-control"] == "public, max-age=1"
    assert headers["vary"] == "Authorization"
    assert headers["age"] == "0"
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"


async def test_each_answer_has_the_id_of_its_own_request(gateway: World) -> None:
    answers = [await gateway.client.get(EVENT) for _ in range(3)]
    assert len({answer.headers["x-request-id"] for answer in answers}) == 3
    assert all(len(answer.headers.get_list("x-request-id")) == 1 for answer in answers)


async def test_who_is_signed_in_is_never_answered_from_the_cache(gateway: World) -> None:
    await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Draft of Macbeth", version=5)
    mine = await gateway.client.get(EVENT, headers=gateway.signer.bearer())
    assert _titles(mine) == ["Draft of Macbeth"]
    assert mine.headers["cache-control"] == "no-store"
    assert mine.headers["etag"] == '"5"'


async def test_what_is_said_to_who_is_signed_in_is_kept_for_nobody(gateway: World) -> None:
    await gateway.client.get(EVENT, headers=gateway.signer.bearer())
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Macbeth")
    assert _titles(await gateway.client.get(EVENT)) == ["Macbeth"]


async def test_a_bad_token_is_refused_whatever_is_kept(gateway: World) -> None:
    await gateway.client.get(EVENT)
    answer = await gateway.client.get(EVENT, headers={"Authorization": "Bearer nonsense"})
    assert_problem(answer, 401, "INVALID_TOKEN")


async def test_other_questions_have_other_answers(gateway: World) -> None:
    async def echo(request: event_service_pb2.ListEventsRequest) -> Message:
        events = [event_pb2.Event(title=request.query)]
        return event_service_pb2.ListEventsResponse(events=events)

    gateway.services.answers["ListEvents"] = echo
    for query in ("Hamlet", "Macbeth", "Hamlet"):
        answer = await gateway.client.get("/v1/events", params={"query": query})
        assert answer.json()["events"][0]["title"] == query
    assert len(gateway.services.calls) == 2


@pytest.mark.parametrize(
    "path", ["/v1/event%73/evt_1", "/%761/events/evt%5f1", "/v1/events/evt_%31"]
)
async def test_needless_escapes_do_not_lead_past_the_cache(gateway: World, path: str) -> None:
    assert _titles(await gateway.client.get("/v1/events/evt_1")) == ["Hamlet"]
    assert _titles(await gateway.client.get(path)) == ["Hamlet"]
    assert len(gateway.services.calls) == 1


async def test_an_escaped_slash_is_none(gateway: World) -> None:
    await gateway.client.get("/v1/events/a%2Fb")
    await gateway.client.get("/v1/events/a%2fb")
    assert len(gateway.services.calls) == 1
    assert (await gateway.client.get("/v1/events/a/b")).status_code == 404


async def test_what_may_not_be_kept_is_not(gateway: World) -> None:
    for _ in range(2):
        answer = await gateway.client.get("/v1/holds/hold_1")
        assert answer.headers["cache-control"] == "no-store"
    assert len(gateway.services.calls) == 2


async def test_a_method_that_is_not_allowed_is_not_answered_with_what_is_kept(
    gateway: World,
) -> None:
    await gateway.client.get(EVENT)
    assert_problem(await gateway.client.post(EVENT), 405, "METHOD_NOT_ALLOWED")


async def test_head_is_answered_with_the_headers_of_what_is_kept(gateway: World) -> None:
    for _ in range(2):
        headed, got = await gateway.client.head(EVENT), await gateway.client.get(EVENT)
        assert not headed.content
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert headed.headers[name] == got.headers[name]
    assert len(gateway.services.calls) == 1


async def test_a_body_that_nobody_asked_for_does_not_cost_the_connection(gateway: World) -> None:
    for _ in range(2):
        assert (await gateway.client.request("GET", EVENT, content=b" " * 1000)).status_code == 200


async def test_the_etag_tells_contents_apart_and_is_no_version(
    gateway: World, clock: Clock
) -> None:
    first = (await gateway.client.get(EVENT)).headers["etag"]
    clock.now_s += 2
    assert (await gateway.client.get(EVENT)).headers["etag"] == first
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Macbeth", version=4)
    clock.now_s += 2
    assert (await gateway.client.get(EVENT)).headers["etag"] != first
    headers = {**gateway.signer.bearer(), "If-Match": first}
    answer = await gateway.client.patch(EVENT, json={}, headers=headers)
    assert answer.status_code == 200  # the fake service takes any; what it was sent is no version
    assert first.startswith('"c-')


@pytest.mark.parametrize(
    "if_none_match",
    ["{0}", "W/{0}", '"1", {0}', '{0} , W/"1"', "*", " * ", '"1",W/{0},"2"'],
)
async def test_who_has_the_content_is_told_so(gateway: World, if_none_match: str) -> None:
    etag = (await gateway.client.get(EVENT)).headers["etag"]
    answer = await gateway.client.get(EVENT, headers={"If-None-Match": if_none_match.format(etag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "public, max-age=1"
    assert answer.headers["vary"] == "Authorization"
    assert "content-length" not in answer.headers
    assert "content-type" not in answer.headers


@pytest.mark.parametrize("if_none_match", ['"4"', 'W/"4"', "", '"c-0"', "c-0", '"*"'])
async def test_who_has_other_content_gets_it(gateway: World, if_none_match: str) -> None:
    for _ in range(2):
        answer = await gateway.client.get(EVENT, headers={"If-None-Match": if_none_match})
        assert (answer.status_code, _titles(answer)) == (200, ["Hamlet"])


async def test_if_none_match_may_be_sent_in_several_lines(gateway: World) -> None:
    etag = (await gateway.client.get(EVENT)).headers["etag"]
    for values in ((etag, '"1"'), ('"1"', etag)):
        lines = [("If-None-Match", value) for value in values]
        assert (await gateway.client.get(EVENT, headers=lines)).status_code == 304


async def test_an_answer_just_made_may_be_known_too(gateway: World, clock: Clock) -> None:
    etag = (await gateway.client.get(EVENT)).headers["etag"]
    clock.now_s += 10
    answer = await gateway.client.get(EVENT, headers={"If-None-Match": etag})
    assert answer.status_code == 304
    assert len(gateway.services.calls) == 2


async def test_a_refusal_is_not_kept(gateway: World) -> None:
    gateway.services.answers["GetEvent"] = errors.NotFound()
    for _ in range(2):
        answer = await gateway.client.get(EVENT)
        assert_problem(answer, 404, "NOT_FOUND")
        assert answer.headers["cache-control"] == "no-store"
    assert len(gateway.services.calls) == 2


@dataclass(slots=True)
class Slow:
    """A service that answers when a test lets it."""

    answer: Message | errors.TesseraError
    asked: asyncio.Event
    may_answer: asyncio.Event

    async def __call__(self, _request: Message) -> Message:
        self.asked.set()
        await self.may_answer.wait()
        return self.answer  # type: ignore[return-value]  # the fake service aborts with an error


def _slow(answer: Message | errors.TesseraError) -> Slow:
    return Slow(answer, asyncio.Event(), asyncio.Event())


async def _waiting(
    gateway: World, cache: Cache, count: int
) -> list["asyncio.Task[httpx.Response]"]:
    """This many clients who ask for the event, once all of them wait."""
    asking = [asyncio.create_task(gateway.client.get(EVENT)) for _ in range(count)]
    while sum(flight.waiting for flight in cache._flights.values()) < count:
        await asyncio.sleep(0)
    return asking


async def test_those_who_ask_at_once_are_answered_by_one_call(gateway: World, cache: Cache) -> None:
    slow = gateway.services.answers["GetEvent"] = _slow(event_pb2.Event(title="Hamlet"))
    asking = await _waiting(gateway, cache, 20)
    slow.may_answer.set()
    assert set(_titles(*await asyncio.gather(*asking))) == {"Hamlet"}
    assert len(gateway.services.calls) == 1


async def test_those_who_waited_share_a_refusal_and_the_next_asks_again(
    gateway: World, cache: Cache
) -> None:
    slow = gateway.services.answers["GetEvent"] = _slow(errors.NotFound())
    asking = await _waiting(gateway, cache, 5)
    slow.may_answer.set()
    answers = await asyncio.gather(*asking)
    problems = [assert_problem(answer, 404, "NOT_FOUND") for answer in answers]
    assert len({problem["instance"] for problem in problems}) == 5
    assert len(gateway.services.calls) == 1
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Hamlet")
    assert _titles(await gateway.client.get(EVENT)) == ["Hamlet"]


async def test_who_leaves_does_not_take_the_answer_from_the_others(
    gateway: World, cache: Cache
) -> None:
    slow = gateway.services.answers["GetEvent"] = _slow(event_pb2.Event(title="Hamlet"))
    first, second = await _waiting(gateway, cache, 2)
    await slow.asked.wait()
    first.cancel()
    await asyncio.wait({first})
    slow.may_answer.set()
    assert _titles(await second) == ["Hamlet"]
    assert not gateway.services.cancelled.is_set()


async def test_when_nobody_waits_any_more_the_call_is_cancelled(
    gateway: World, cache: Cache
) -> None:
    slow = gateway.services.answers["GetEvent"] = _slow(event_pb2.Event(title="Hamlet"))
    asking = await _waiting(gateway, cache, 2)
    await slow.asked.wait()
    for each in asking:
        each.cancel()
    async with asyncio.timeout(30):
        await gateway.services.cancelled.wait()
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Macbeth")
    assert _titles(await gateway.client.get(EVENT)) == ["Macbeth"]


@pytest.mark.parametrize("error", [errors.Unavailable(), errors.DeadlineExceeded()])
async def test_while_the_service_is_away_an_old_answer_stands_in(
    gateway: World, clock: Clock, error: errors.TesseraError
) -> None:
    await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = error
    clock.now_s += STALE_S
    answer = await gateway.client.get(EVENT)
    assert _titles(answer) == ["Hamlet"]
    assert answer.headers["age"] == str(STALE_S)
    await gateway.client.get(EVENT)
    assert len(gateway.services.calls) == 2  # it is asked about once a second, not by everyone
    clock.now_s += 1
    assert_problem(await gateway.client.get(EVENT), *_as_problem(error))


def _as_problem(error: errors.TesseraError) -> tuple[int, str]:
    return (503 if error.reason == "UNAVAILABLE" else 504), error.reason


async def test_an_old_answer_does_not_stand_in_for_a_refusal(gateway: World, clock: Clock) -> None:
    await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = errors.NotFound()
    clock.now_s += 2
    assert_problem(await gateway.client.get(EVENT), 404, "NOT_FOUND")


async def test_a_service_that_is_back_is_asked_again(gateway: World, clock: Clock) -> None:
    await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = errors.Unavailable()
    clock.now_s += 5
    await gateway.client.get(EVENT)
    gateway.services.answers["GetEvent"] = event_pb2.Event(title="Macbeth")
    clock.now_s += 1
    assert _titles(await gateway.client.get(EVENT)) == ["Macbeth"]


async def test_a_call_that_nobody_waits_for_does_not_end_the_next_one(cache: Cache) -> None:
    loads: list[asyncio.Event] = []
    cancelled = asyncio.Event()

    async def load() -> Response:
        loads.append(asyncio.Event())
        try:
            await loads[-1].wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Response(b"x")

    async def ask() -> None:
        await cache.get((b"/a", b""), 1, load, _stays)

    async def asked(times: int) -> None:
        while len(loads) < times:
            await asyncio.sleep(0)

    first = asyncio.create_task(ask())
    await asked(1)
    first.cancel()
    second = asyncio.create_task(ask())
    await asyncio.wait({first})
    await asked(2)
    third = asyncio.create_task(ask())
    while sum(flight.waiting for flight in cache._flights.values()) < 2:
        await asyncio.sleep(0)
    loads[1].set()
    await asyncio.gather(second, third)
    assert len(loads) == 2
    assert cancelled.is_set()


class Asked:
    """A cache in front of a service that answers so many bytes to anything."""

    def __init__(self, clock: Callable[[], float], **limits: int) -> None:
        self.cache = Cache(clock, **limits)
        self.loads: list[bytes] = []

    async def ask(self, path: bytes, size: int = 10) -> None:
        async def load() -> Response:
            self.loads.append(path)
            return Response(b"x" * size)

        key: Key = (path, b"")
        await self.cache.get(key, 60, load, _stays)

    @property
    def kept_bytes(self) -> int:
        return self.cache._bytes


async def _stays() -> AsgiMessage:
    await asyncio.Event().wait()
    return {}


Ask = Callable[..., Awaitable[Any]]


async def test_what_nobody_asked_for_longest_goes_first(clock: Clock) -> None:
    asked = Asked(clock, max_entries=2)
    for path in (b"/a", b"/b", b"/a", b"/c", b"/a", b"/b"):
        await asked.ask(path)
    assert asked.loads == [b"/a", b"/b", b"/c", b"/b"]


async def test_whatever_is_asked_for_only_so_much_is_kept(clock: Clock) -> None:
    asked = Asked(clock, max_bytes=100_000)
    for number in range(1000):
        await asked.ask(b"/%d" % number, size=number)
        assert asked.kept_bytes <= 100_000
    assert asked.kept_bytes > 90_000


async def test_long_addresses_count_too(clock: Clock) -> None:
    asked = Asked(clock, max_bytes=100_000)
    for number in range(100):
        await asked.ask(b"/%d" % number + b"x" * 8000)
    assert sum(len(path) for path, _ in asked.cache._kept) < 100_000


async def test_one_answer_does_not_push_out_all_others(clock: Clock) -> None:
    asked = Asked(clock, max_bytes=100_000)
    await asked.ask(b"/small")
    await asked.ask(b"/huge", size=50_000)
    await asked.ask(b"/small")
    assert asked.loads == [b"/small", b"/huge"]
    await asked.ask(b"/huge", size=50_000)
    assert asked.loads == [b"/small", b"/huge", b"/huge"]


async def test_an_answer_that_is_made_anew_takes_the_place_of_the_old(clock: Clock) -> None:
    asked = Asked(clock)
    for _ in range(5):
        await asked.ask(b"/a", size=1000)
        clock.now_s += 100
    assert asked.kept_bytes < 3000
