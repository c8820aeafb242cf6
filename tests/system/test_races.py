"""Many buyers at once: nothing is sold twice, nothing stays unsold, and nobody meets a fault."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support import shop
from tests.support.mesh import LocalMesh, until
from tests.support.shop import Json, Shop, assert_all_is_well, refused

RACERS = 500
BUYERS = 200
TICKETS = 100
TILLS = 8  # how many buy at the same time; the others wait or dawdle
HOLD_S = 3
OVER = {"EXPIRED", "CONVERTED"}


@pytest.fixture(scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalMesh]:
    """A mesh whose holds last for moments only."""
    settings = {"TESSERA_HOLD_SECONDS": str(HOLD_S)}
    made = LocalMesh(tmp_path_factory.mktemp("hasty"), settings=settings)
    await made.start()
    yield made
    await made.close()


async def test_the_last_ticket_has_exactly_one_winner(mesh: LocalMesh) -> None:
    event = await (await Shop.open(mesh)).event(stock=1)
    items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 1}]
    body = {"event_id": event["id"], "items": items}
    limits = httpx.Limits(max_connections=RACERS)

    async with httpx.AsyncClient(base_url=mesh.url, limits=limits, timeout=60) as http:

        async def racer() -> httpx.Response:
            """Asks again when told to: only a machine that is too busy says so."""
            answer = await http.post("/v1/holds", json=body)
            while answer.status_code == 503:
                await asyncio.sleep(int(answer.headers["retry-after"]))
                answer = await http.post("/v1/holds", json=body)
            return answer

        answers = await asyncio.gather(*(racer() for _ in range(RACERS)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: RACERS - 1}
    for answer in answers:
        if answer.status_code != 201:
            refused(answer, 409, "SOLD_OUT")
    await assert_all_is_well(mesh)


async def test_two_hundred_buyers_get_the_hundred_tickets_though_holds_expire(
    hasty: LocalMesh,
) -> None:
    organizer = await Shop.open(hasty)
    event = await organizer.event(stock=TICKETS)
    sale = Sale(hasty, event)
    outcomes = await asyncio.gather(*(sale.buyer(number) for number in range(BUYERS)))
    assert Counter(outcomes) == {"PAID": TICKETS, "SOLD_OUT": BUYERS - TICKETS}
    insights = await organizer.get(f"/v1/events/{event['id']}/insights")
    assert (insights["sold"], insights["remaining"]) == (TICKETS, 0)
    assert sale.lapsed >= BUYERS // 4, "some tickets were held in vain"
    await assert_all_is_well(hasty)


class Sale:
    """Buyers who try until they have a ticket, or all are sold."""

    def __init__(self, mesh: LocalMesh, event: Json) -> None:
        self._mesh, self._event = mesh, event
        self._items = [{"ticket_type_id": event["ticket_types"][0]["id"], "quantity": 1}]
        self._tills = asyncio.Semaphore(TILLS)
        self._paid = 0
        self.lapsed = 0

    async def buyer(self, number: int) -> str:
        """Some forget their first hold; some pay their first order when it is late."""
        forgets, pays_late = number % 4 == 0, number % 4 == 1
        while self._paid < TICKETS:
            async with self._tills:
                held = await self._hold()
                if held and not forgets:
                    if await self._buy(held, late=pays_late):
                        return "PAID"
                    pays_late = False
            if held and forgets:
                await self._lapse(held)
                forgets = False
            elif not held:
                await asyncio.sleep(0.5)  # a customer's patience
        return "SOLD_OUT"

    async def _hold(self) -> Json | None:
        body = {"event_id": self._event["id"], "items": self._items}
        answer = await self._mesh.http.post("/v1/holds", json=body)
        if answer.is_success:
            return shop.read(answer)
        refused(answer, 409, "SOLD_OUT")
        return None

    async def _buy(self, held: Json, *, late: bool) -> bool:
        customer = {"email": "grace@customer.example", "full_name": "Grace Guest"}
        body = {"hold_id": held["id"], "customer": customer}
        answer = await self._mesh.http.post("/v1/orders", json=body)
        if answer.is_error:
            refused(answer, 409, "HOLD_GONE")
            return False
        ordered = shop.read(answer)
        if late:
            await self._lapse(held)
        await shop.pay(self._mesh, ordered)
        done = await shop.order_in_state(self._mesh, ordered, "PAID", "EXPIRED", "CANCELLED")
        self._paid += done["state"] == "PAID"
        return bool(done["state"] == "PAID")

    async def _lapse(self, held: Json) -> None:
        async def is_over() -> bool:
            return shop.read(await self._mesh.http.get(f"/v1/holds/{held['id']}"))["state"] in OVER

        await asyncio.sleep(HOLD_S)
        await until(is_over)
        self.lapsed += 1
