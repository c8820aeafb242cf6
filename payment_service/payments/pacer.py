"""When the next call to Stripe may begin: one line for all replicas, so that Stripe refuses none.

Stripe allows a live account 100 requests a second (https://docs.stripe.com/rate-limits) and answers
429 beyond that. Here every call has its turn: turns are moments that lie apart as the rate says,
taken off one row that all replicas share, by the database's clock. Who waits in this process has
turns taken for it together, in order; nobody is refused.
"""

import asyncio
import contextvars
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from enum import IntEnum

from sqlalchemy import bindparam, func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import Interval

from kit.database import Database
from payment_service.payments.domain import PaymentProviderUnavailable
from payment_service.tables import pacers

MAX_WAITING = 50_000  # in each line of a process; their holds run out long before
_AHEAD_S = 0.25  # turns are taken for so long ahead, that replicas take turns, too
_LOOK_S = 0.02  # how often background work looks whether there is nothing else to do
_LEAST = 0.8  # of the time between two turns
_PATIENCE_S = 1.0  # background work that waited so long has a turn like everybody


class Lane(IntEnum):
    """Who waits. The first two have turns alternately; the third when both are empty."""

    SETTLING = 0  # a customer has paid, or must get money back; few wait at once
    OPENING = 1  # a customer wants to pay: as many as come
    BACKGROUND = 2  # nobody waits for it: refunds in bulk, what unpaid orders leave over


_lane: ContextVar[Lane] = ContextVar("lane", default=Lane.OPENING)


@contextmanager
def in_lane(lane: Lane) -> Iterator[None]:
    """Have the calls to Stripe that are made in this block wait in a lane."""
    token = _lane.set(lane)
    try:
        yield
    finally:
        _lane.reset(token)


def current_lane() -> Lane:
    """Where a call to Stripe would wait."""
    return _lane.get()


class Pacer:
    """Gives out turns, `per_second` of them by all replicas together."""

    def __init__(self, database: Database, per_second: int, name: str = "stripe") -> None:
        self._database = database
        self._apart_s = 1 / per_second
        self._at_once = max(1, int(per_second * _AHEAD_S))
        self._name = name
        self._lines: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}
        self._serving: asyncio.Task[None] | None = None
        self._came = asyncio.Event()
        self._given = 0.0  # when the last turn was given
        self._background_since = 0.0  # when background work last had a turn, or began to wait

    async def turn(self) -> None:
        """Return when the next call may begin.

        Raises:
            DatabaseUnavailable: nobody knows.
            PaymentProviderUnavailable: too many wait.
        """
        line = self._lines[current_lane()]
        if len(line) >= MAX_WAITING:
            raise PaymentProviderUnavailable
        loop = asyncio.get_running_loop()
        if line is self._lines[Lane.BACKGROUND] and not line:
            self._background_since = loop.time()
        turn = loop.create_future()
        line.append(turn)
        self._came.set()
        if self._serving is None:
            self._serving = asyncio.create_task(self._serve(), context=contextvars.Context())
        await turn

    def wait_s(self) -> float:
        """About how long a customer who comes now waits."""
        opening = len(self._lines[Lane.OPENING])
        return (opening + min(opening, len(self._lines[Lane.SETTLING]))) * self._apart_s

    async def close(self) -> None:
        """Send everybody home; turns that were taken are still given."""
        for line in self._lines.values():
            self._refuse(line, PaymentProviderUnavailable())
            line.clear()
        if self._serving is not None:
            await self._serving

    async def _serve(self) -> None:
        try:
            while any(self._lines.values()):
                turns = self._next()
                try:
                    in_s = await self._take(len(turns), in_background=not turns)
                except Exception as error:  # they may ask again
                    self._refuse(turns or self._lines[Lane.BACKGROUND], error)
                    continue
                if in_s is None:
                    await self._wait_for_customers()
                else:
                    await self._give(turns or self._next_in_background(), in_s)
        finally:
            self._serving = None

    def _next(self) -> list[asyncio.Future[None]]:
        """The customers whose turn it is, in order; background work that waited too long, too."""
        settling, opening = self._lines[Lane.SETTLING], self._lines[Lane.OPENING]
        turns: list[asyncio.Future[None]] = []
        if self._is_overdue():
            turns += self._next_in_background()
        while len(turns) < self._at_once and (settling or opening):
            turns += [line.popleft() for line in (settling, opening) if line]
        return [turn for turn in turns if not turn.done()]

    def _is_overdue(self) -> bool:
        waited_s = asyncio.get_running_loop().time() - self._background_since
        return bool(self._waiting_in_background()) and waited_s > _PATIENCE_S

    def _waiting_in_background(self) -> deque[asyncio.Future[None]]:
        line = self._lines[Lane.BACKGROUND]
        while line and line[0].done():
            line.popleft()
        return line

    def _next_in_background(self) -> list[asyncio.Future[None]]:
        self._background_since = asyncio.get_running_loop().time()
        line = self._waiting_in_background()
        return [line.popleft()] if line else []

    async def _take(self, count: int, *, in_background: bool) -> float | None:
        """Take turns off the row; answers in how many seconds the first of them is.

        In the background it is one, if it is the very next: None when others have turns ahead.
        """
        if in_background and not self._waiting_in_background():
            return None
        statement = _TAKE_IF_IDLE if in_background else _TAKE
        count = 1 if in_background else count
        long = timedelta(seconds=count * self._apart_s)
        rows = await self._database.execute(statement, {"name": self._name, "long": long})
        return float(rows[0][0]) if rows else None

    async def _give(self, turns: Sequence[asyncio.Future[None]], in_s: float) -> None:
        """At its moment, each; who is late for some reason does not make up for it in one go."""
        loop = asyncio.get_running_loop()
        first = loop.time() + in_s
        for number, turn in enumerate(turns):
            moment = max(first + number * self._apart_s, self._given + _LEAST * self._apart_s)
            await asyncio.sleep(max(0.0, moment - loop.time()))
            self._given = loop.time()
            if not turn.done():
                turn.set_result(None)

    def _refuse(self, turns: Iterable[asyncio.Future[None]], error: Exception) -> None:
        for turn in turns:
            if not turn.done():
                turn.set_exception(error)

    async def _wait_for_customers(self) -> None:
        self._came.clear()
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._came.wait()
        except TimeoutError:
            pass


# The clock is looked at when the row is ours, not when the statement began.
_now = func.clock_timestamp()
_long = bindparam("long", type_=Interval())
_mine = insert(pacers).values(name=bindparam("name"), next_at=_now + _long)
_in_s = func.extract("epoch", pacers.c.next_at - _long - _now)
_TAKE = _mine.on_conflict_do_update(
    index_elements=["name"],
    set_={"next_at": func.greatest(pacers.c.next_at, _now) + _long},
).returning(_in_s)
_TAKE_IF_IDLE = _mine.on_conflict_do_update(
    index_elements=["name"],
    set_={"next_at": func.greatest(pacers.c.next_at, _now) + _long},
    where=pacers.c.next_at <= _now + _long,
).returning(_in_s)
