"""Tells everyone who watches events of their changes, from one read for all of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kit.auth import Caller
from kit.errors import Internal, TesseraError
from ticket_service.availability import domain, operations
from ticket_service.availability.domain import Availability, TooManyWatchers, TooSlow, Update
from ticket_service.availability.operations import sees, sees_hidden
from ticket_service.catalog.domain import EventNotFound

PACE_S = 0.25  # between two reads, when something is known to have changed
POLL_S = 1.0  # and when it is not: other replicas do not say
MAX_UNREAD = 16
# Events read and watchers told: each costs about 0.05 ms of the core that also sells.
MAX_STEPS_PER_S = 2000
AT_ONCE = 50  # watchers who are woken before others get their turn

Message = TypeVar("Message")
Look = Callable[[Mapping[str, Availability | None]], Awaitable[Mapping[str, Update]]]


class Watcher(Generic[Message]):
    """Someone who watches an event, and what they have not read yet."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.end: TesseraError | None = None
        self._unread: deque[Message] = deque()
        self._news = asyncio.Event()

    async def next(self) -> Message:
        """The next message, once there is one.

        Raises:
            EventNotFound: there is no such event, or none any more that this caller may see.
            TooSlow: more messages came than wait for a reader.
            DatabaseUnavailable: nothing could be read when this watcher came.
        """
        while not self._unread:
            if self.end:
                raise self.end
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    def tell(self, message: Message) -> None:
        """Let a message wait to be read; if too many wait already, this is the end."""
        if len(self._unread) >= MAX_UNREAD:
            self.dismiss(TooSlow())
        else:
            self._unread.append(message)
            self._news.set()

    def dismiss(self, why: TesseraError) -> None:
        """Say no more than why."""
        self.end = why
        self._unread.clear()
        self._news.set()


@dataclass(slots=True)
class _Watched(Generic[Message]):
    last: Availability | None = None  # None until the first look
    watchers: set[Watcher[Message]] = field(default_factory=set)


class Hub(Generic[Message]):
    """The watchers of one process.

    `look` reads what can be had of some events, and how their seats differ from what is known of
    them; `render` makes of it what watchers read, once for all of them.
    """

    def __init__(self, look: Look, render: Callable[[Update], Message], max_watchers: int) -> None:
        self._look = look
        self._render = render
        self._max_watchers = max_watchers
        self._count = 0
        self._events: dict[str, _Watched[Message]] = {}
        self._somebody = asyncio.Event()
        self._wake = asyncio.Event()

    @contextmanager
    def watching(self, event_id: str, caller: Caller) -> Iterator[Watcher[Message]]:
        """A watcher of the event, who is told of its state and then of its changes.

        They count until they leave, even if they are dismissed before.

        Raises:
            TooManyWatchers: this process takes no more.
        """
        if self._count >= self._max_watchers:
            raise TooManyWatchers
        watcher: Watcher[Message] = Watcher(caller)
        self._count += 1
        try:
            self._welcome(event_id, watcher)
            yield watcher
        finally:
            self._count -= 1
            self._remove(event_id, watcher)

    def wake(self) -> None:
        """Something has changed: look soon."""
        self._wake.set()

    async def work(self) -> None:
        """Tell of changes once, and rest until it is time again; rests while nobody watches."""
        await self._somebody.wait()
        steps = len(self._events) + await self.tell_changes()
        rest_s = max(PACE_S, steps / MAX_STEPS_PER_S)
        await asyncio.sleep(rest_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0, POLL_S - rest_s)):
                await self._wake.wait()

    async def tell_changes(self) -> int:
        """Look once at all that is watched, and tell of what changed; answers to how many."""
        self._wake.clear()
        known = {event_id: watched.last for event_id, watched in self._events.items()}
        try:
            found = await self._look(known)
        except Exception as error:
            self._dismiss_newcomers(type(error) if isinstance(error, TesseraError) else Internal)
            raise
        told = 0
        for event_id in known:
            if watched := self._events.get(event_id):
                told += await self._tell(event_id, watched, found.get(event_id))
        return told

    async def _tell(self, event_id: str, watched: _Watched[Message], update: Update | None) -> int:
        if update is None:
            for watcher in tuple(watched.watchers):
                self._dismiss(event_id, watcher, EventNotFound())
            return 0
        if update.now == watched.last:
            return 0
        for_admins = self._render(update)
        for_public = self._render_for_public(update, watched.last, for_admins)
        watched.last = update.now
        # Who comes while we tell the others is welcomed with what they are told.
        watchers = tuple(watched.watchers)
        for number, watcher in enumerate(watchers, 1):
            is_admin = sees_hidden(watcher.caller, update.now)
            message = for_admins if is_admin else for_public
            self._tell_one(event_id, watcher, update.now, message)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
        return len(watchers)

    def _render_for_public(
        self, update: Update, before: Availability | None, for_admins: Message
    ) -> Message | None:
        """What the public is told: nothing of what is hidden, not even that it changed."""
        if not update.now.hidden:
            return for_admins
        public = operations.for_public(update)
        is_news = before is None or domain.for_public(before) != public.now
        return self._render(public) if is_news else None

    def _tell_one(
        self, event_id: str, watcher: Watcher[Message], now: Availability, message: Message | None
    ) -> None:
        if not sees(watcher.caller, now):
            self._dismiss(event_id, watcher, EventNotFound())
            return
        if message is None:
            return
        watcher.tell(message)
        if watcher.end:
            self._remove(event_id, watcher)

    def _welcome(self, event_id: str, watcher: Watcher[Message]) -> None:
        watched = self._events.setdefault(event_id, _Watched())
        watched.watchers.add(watcher)
        self._somebody.set()
        if watched.last is None:
            self._wake.set()
        else:
            state = domain.first(watched.last)
            if not sees_hidden(watcher.caller, watched.last):
                state = operations.for_public(state)
            self._tell_one(event_id, watcher, watched.last, self._render(state))

    def _dismiss_newcomers(self, why: type[TesseraError]) -> None:
        """Those who know nothing yet can be told to come again; the others wait with us."""
        for event_id, watched in tuple(self._events.items()):
            if watched.last is None:
                for watcher in tuple(watched.watchers):
                    self._dismiss(event_id, watcher, why())

    def _dismiss(self, event_id: str, watcher: Watcher[Message], why: TesseraError) -> None:
        watcher.dismiss(why)
        self._remove(event_id, watcher)

    def _remove(self, event_id: str, watcher: Watcher[Message]) -> None:
        watched = self._events.get(event_id)
        if watched and watcher in watched.watchers:
            watched.watchers.remove(watcher)
            if not watched.watchers:
                del self._events[event_id]
        if not self._events:
            self._somebody.clear()
