"""Ten times as many orders at once as Stripe allows calls: queued in order, and nobody refused."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tessera.payment.v1 import order_pb2

from deploy.local.postgres import EmbeddedPostgres
from tests.integration.payment_service.installation import installed
from tests.integration.payment_service.support import Shop, open_shop
from tests.integration.ticket_service.support import eventually

PER_SECOND = 10
BURST = 10 * PER_SECOND
AT_ONCE = 1.0  # in seconds: how far apart the answers to those in line may be by their place in it


@pytest.fixture(scope="module")
async def shop(
    postgres: EmbeddedPostgres, tls_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Shop]:
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    async with installed(url, tls_dir, tmp_path_factory.mktemp("stripe")) as installation:
        installation.variables["TESSERA_STRIPE_CALLS_PER_SECOND"] = str(PER_SECOND)
        async with open_shop(installation) as found:
            yield found


async def test_burst_of_ten_times_the_limit_is_queued_in_order_and_nobody_is_refused(
    shop: Shop,
) -> None:
    """Through the gateway, whose calls have as much time as the line is long: ten seconds."""
    event = await shop.event(stock=BURST)
    holds = [await shop.hold(event) for _ in range(BURST)]
    base = shop.webhooks_url.removesuffix("/v1/webhooks/stripe")
    limits = httpx.Limits(max_connections=BURST)
    prepared: list[str] = []
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=60) as http:

        async def order(hold_id: str) -> dict[str, Any]:
            customer = {"email": "grace@customer.example", "full_name": "Grace Hopper"}
            answer = await http.post("/v1/orders", json={"hold_id": hold_id, "customer": customer})
            assert answer.status_code == 201, answer.text
            found: dict[str, Any] = answer.json()
            if found["payment"]["client_secret"]:
                prepared.append(found["id"])
            return found

        orders = await asyncio.gather(*(order(held.id) for held in holds))
    in_time = len(prepared)
    assert {found["state"] for found in orders} == {"PENDING"}
    assert in_time < BURST  # the others are told to look again

    async def all_prepared() -> bool:
        known = "SELECT count(*) FROM payments WHERE provider_id IS NOT NULL"
        [[count]] = await shop.installation.execute("payment", known)
        return bool(count == BURST)

    await eventually(all_prepared, timeout_s=30)
    waiting = [found for found in orders if found["id"] not in prepared]
    for found in waiting[::20]:
        order_now = await shop.get(
            order_pb2.Order(id=found["id"], access_token=found["access_token"])
        )
        assert order_now.payment.client_secret
    calls = [
        call
        for call in (await shop.sandbox.look("/calls"))["data"]
        if call["path"] == "/v1/payment_intents" and call["method"] == "POST"
    ]
    assert len(calls) == BURST  # each order was asked for once
    assert Counter(call["status"] for call in calls) == {200: BURST}
    times = sorted(call["time"] for call in calls)
    per_second = [sum(began <= each < began + 1 for each in times) for began in times]
    assert max(per_second) <= PER_SECOND * 1.25  # Stripe allows 100 where we ask for 80


async def test_order_of_the_queue_is_the_order_in_which_they_came(shop: Shop) -> None:
    event = await shop.event(stock=6 * PER_SECOND)
    holds = [await shop.hold(event) for _ in range(6 * PER_SECOND)]
    orders: list[order_pb2.Order] = []

    async def order(number: int) -> None:
        await asyncio.sleep(number * 0.005)
        orders.append(await shop.order(holds[number]))

    await asyncio.gather(*(order(number) for number in range(len(holds))))
    query = """
        SELECT payments.id, row_number() OVER (ORDER BY orders.created_at) AS place
        FROM orders JOIN payments ON payments.order_id = orders.id WHERE orders.event_id = :id
    """
    places = {
        row.id: row.place for row in await shop.installation.execute("payment", query, id=event.id)
    }

    async def all_called() -> bool:
        return len(await _asked(shop, places)) == len(holds)

    await eventually(all_called)
    order_of_calls = [places[payment_id] for payment_id in await _asked(shop, places)]
    late = [abs(place - called) for called, place in enumerate(order_of_calls, start=1)]
    assert max(late) <= AT_ONCE * PER_SECOND


async def _asked(shop: Shop, payments: dict[str, int]) -> list[str]:
    """The payments that Stripe was asked to create, in order."""
    calls = (await shop.sandbox.look("/calls"))["data"]
    asked = [call.get("params", {}).get("metadata", {}).get("payment_id") for call in calls]
    return [payment_id for payment_id in asked if payment_id in payments]
