"""Background work that goes on until the service stops, whatever goes wrong meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

from kit import telemetry
from kit.errors import TesseraError

Work = Callable[[], Awaitable[None]]

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0


async def repeat(name: str, work: Work) -> None:
    """Run `work` again and again; after a failure, pause a little longer each time.

    `work` does its own waiting when there is nothing to do.
    """
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            await work()
        except TesseraError as error:
            telemetry.log.warning("work delayed", work=name, reason=error.reason, why=error.message)
        except Exception:
            telemetry.log.exception("work failed", work=name)
        else:
            pause_s = FIRST_PAUSE_S
            continue
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
