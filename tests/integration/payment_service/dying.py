"""Processes that die between any two of their steps, as `kill -9` has them."""

import inspect
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from sqlalchemy import Executable, Row
from sqlalchemy.engine import URL

from kit.database import Database, Transaction

Thing = TypeVar("Thing")


class Killed(BaseException):
    """SIGKILL: nothing in the process gets to react."""


class Fate:
    """Ends a process at its n-th step: before or after a call, or after a commit."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    @property
    def is_fulfilled(self) -> bool:
        return self._left <= 0

    def step(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


class MortalDatabase(Database):
    """A database whose process may die after each commit."""

    def __init__(self, url: URL, fate: Fate) -> None:
        super().__init__(url, pool_size=2)
        self._fate = fate

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Transaction]:
        async with super().begin() as tx:
            yield tx
        self._fate.step()

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        rows = await super().execute(statement, values)
        self._fate.step()
        return rows


class _Mortal:
    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(attribute):
            return attribute

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._fate.step()
            answer = await attribute(*args, **kwargs)
            self._fate.step()
            return answer

        return call


def mortal(inner: Thing, fate: Fate) -> Thing:
    """The same, in a process that may die around each of its calls."""
    return cast(Thing, _Mortal(inner, fate))
