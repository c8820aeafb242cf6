"""What carries the Stripe SDK's calls: aiohttp, which takes a quarter of httpx's CPU time for one.

The SDK has such a client, too. It does not see a connection that breaks while the answer is read.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, NoReturn

import aiohttp
import stripe


class StripeHttp(stripe.HTTPClient):
    """The SDK's seam. An answer takes at most `timeout_s`; connections are kept for the next."""

    name = "aiohttp"

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """The body, the status and the headers of Stripe's answer."""
        try:
            async with self._open().request(method, url, headers=headers, data=post_data) as answer:
                return await answer.read(), answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            _fail(error)

    def sleep_async(self, secs: float) -> Any:
        return asyncio.sleep(secs)

    async def close_async(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        """Made by the first call, which finds an event loop."""
        if self._session is None:
            trusted = ssl.create_default_context(cafile=stripe.ca_bundle_path)
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(ssl=trusted),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _fail(error: Exception) -> NoReturn:
    """Nobody knows whether Stripe did what was asked: the SDK asks again, with the same key."""
    why = f"Stripe cannot be reached: {type(error).__name__}"
    raise stripe.APIConnectionError(why, should_retry=True) from error  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
