"""Lets a background loop sleep until something is due, or until it is told there is more to do."""

import asyncio


class Alarm:
    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float | None) -> None:
        """Return when rung since the last wait, or after `seconds`; None waits for the ring."""
        try:
            async with asyncio.timeout(None if seconds is None else max(seconds, 0.0)):
                await self._rung.wait()
        except TimeoutError:
            return
        finally:
            self._rung.clear()
