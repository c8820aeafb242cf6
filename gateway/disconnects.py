"""Clients that hang up before they have their answer."""

import asyncio
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

Result = TypeVar("Result")


async def disconnected(receive: Receive) -> None:
    """Return when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_disconnected(work: "asyncio.Future[Result]", receive: Receive) -> Result:
    """What the work comes to, which goes on without us if the client hangs up.

    Raises:
        ClientDisconnect: nobody waits for it any more.
    """
    leaves = asyncio.create_task(disconnected(receive))
    either: set[asyncio.Future[Any]] = {work, leaves}
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaves.cancel()
    if not work.done():
        raise ClientDisconnect
    return work.result()
