"""What every broker does around a handler: its time limit, what follows a failure, a calm end."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from kit import telemetry
from kit.broker import Handler, Message, Queue, Unprocessable

# How often a message may take a whole process down with it (or lose its connection) before it is
# taken for the cause.
DELIVERY_LIMIT = 20

# How long `stop` waits for handlers: less than the 30 s that Kubernetes gives a process.
_STOP_TIMEOUT_S = 20
_MAX_ERROR_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """A handler's failure: what to write down, and when to try again (None: never)."""

    error: str
    retry_in_s: float | None


async def deliver(
    queue: Queue, handler: Handler, message: Message, failures: int
) -> Failure | None:
    """Have a message handled that failed `failures` times before."""
    telemetry.traceparent.set(message.headers.get("traceparent", ""))
    delays_s = queue.retry_delays_s
    retry_in_s = delays_s[failures] if failures < len(delays_s) else None
    try:
        async with asyncio.timeout(queue.handler_timeout_s):
            await handler(message)
    except Unprocessable as error:
        failure = Failure(describe(error), None)
    except asyncio.CancelledError as error:
        if being_cancelled():
            raise
        failure = Failure(describe(error), retry_in_s)  # a call inside the handler was cancelled
    except Exception as error:  # whatever it is, the message must go somewhere
        failure = Failure(describe(error), retry_in_s)
    else:
        return None
    telemetry.log.warning(
        "message failed",
        queue=queue.name,
        message_id=message.id,
        failures=failures + 1,
        error=failure.error,
        retry_in_s=failure.retry_in_s,
    )
    return failure


def describe(error: BaseException) -> str:
    """The error's class and the start of what it says, on one line."""
    text = f"{type(error).__name__}: {error}".removesuffix(": ")
    return text.split("\n", 1)[0][:_MAX_ERROR_CHARACTERS]


async def stop(consuming: Collection[asyncio.Task[Any]]) -> None:
    """Cancel the tasks that fetch messages."""
    for task in consuming:
        task.cancel()
    await asyncio.gather(*consuming, return_exceptions=True)


async def finish(handling: Collection[asyncio.Task[Any]]) -> None:
    """Let running handlers end; those that take too long are cancelled, their messages return."""
    if handling:
        _, late = await asyncio.wait(handling, timeout=_STOP_TIMEOUT_S)
        await stop(late)


def being_cancelled() -> bool:
    """Whether a CancelledError just caught is meant for this task, and not a library's own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
