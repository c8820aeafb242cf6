"""What a test or a developer asked to go wrong: with the next calls, or with webhooks.

Faults live in memory: a restart clears them.
"""

import asyncio
import contextlib
import fnmatch
from dataclasses import dataclass
from typing import Literal

MAX_FAULTS = 1000

CallAction = Literal["error", "drop", "hang", "delay"]
WebhookAction = Literal["hold", "drop", "delay", "duplicate"]
When = Literal["before", "after"]


@dataclass(slots=True)
class CallFault:
    """Spoils the next `times` calls that match; `path` is a glob in which `*` crosses slashes.

    `when` is relative to the operation: an error, a dropped connection or silence *after* it means
    that the money moved and the caller does not know.
    """

    action: CallAction
    method: str = "*"
    path: str = "*"
    times: int = 1
    when: When = "before"
    status: int = 500
    code: str | None = None
    seconds: float = 0.0

    def matches(self, method: str, path: str) -> bool:
        return fnmatch.fnmatchcase(method, self.method) and fnmatch.fnmatchcase(path, self.path)


@dataclass(slots=True)
class WebhookFault:
    """Spoils the next `times` events whose type matches; None means until it is taken away."""

    action: WebhookAction
    types: tuple[str, ...] = ("*",)
    times: int | None = None
    seconds: float = 0.0
    copies: int = 2

    def matches(self, event_type: str) -> bool:
        return any(fnmatch.fnmatchcase(event_type, pattern) for pattern in self.types)


class Faults:
    """Those waiting for something to match; the oldest match wins."""

    def __init__(self) -> None:
        self.calls: list[CallFault] = []
        self.webhooks: list[WebhookFault] = []
        self._cleared = asyncio.Event()

    def clear(self) -> None:
        """Nothing goes wrong any more, and calls held back go on at once."""
        self.calls.clear()
        self.webhooks.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def hold_back(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cleared.wait()

    def take_for_call(self, method: str, path: str) -> CallFault | None:
        for fault in self.calls:
            if fault.matches(method, path):
                fault.times -= 1
                if fault.times == 0:
                    self.calls.remove(fault)
                return fault
        return None

    def take_for_event(self, event_type: str) -> WebhookFault | None:
        for fault in self.webhooks:
            if fault.matches(event_type):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times == 0:
                        self.webhooks.remove(fault)
                return fault
        return None
