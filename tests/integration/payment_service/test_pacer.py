"""Turns to call Stripe: as many a second as it allows, whatever number of replicas there are."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text

from kit.database import Database, DatabaseUnavailable, ensure_database, service_url
from kit.migrations import upgrade
from kit.service import ROOT
from payment_service.payments.pacer import Lane, Pacer, in_lane
from tests.integration.ticket_service.support import eventually
from tests.support.databases import close_database

PER_SECOND = 50
LATE_S = 0.2  # what a busy machine may be late by, so that two turns come closer


@pytest.fixture
async def replicas(postgres_url: str) -> AsyncIterator[list[Database]]:
    url = service_url(postgres_url, "payment")
    await ensure_database(url)
    await upgrade(ROOT / "payment_service", url)
    found = [Database(url, pool_size=2) for _ in range(2)]
    yield found
    for database in found:
        await database.close()


@asynccontextmanager
async def pacers(
    replicas: Sequence[Database], per_second: int = PER_SECOND
) -> AsyncIterator[list[Pacer]]:
    made = [Pacer(database, per_second) for database in replicas]
    yield made
    for pacer in made:
        await pacer.close()


async def turns(pacer: Pacer, count: int, lane: Lane = Lane.OPENING) -> list[float]:
    """Wait for so many turns at once; answers when each began."""

    async def one() -> float:
        with in_lane(lane):
            await pacer.turn()
        return time.monotonic()

    return list(await asyncio.gather(*(one() for _ in range(count))))


def most_within(window_s: float, began: Sequence[float]) -> int:
    """The most turns that began in any window so long."""
    return max(sum(first <= each < first + window_s for each in began) for first in began)


async def test_replicas_together_never_call_more_often_than_the_rate_says(
    replicas: list[Database],
) -> None:
    async with pacers(replicas) as (one, other):
        found = await asyncio.gather(turns(one, 60), turns(other, 60), turns(one, 20))
    began = sorted(moment for each in found for moment in each)
    assert most_within(1 - LATE_S, began) <= PER_SECOND
    assert began[-1] - began[0] < 140 / PER_SECOND + 1
    ((next_in_s,),) = await replicas[0].execute(
        text("SELECT extract(epoch FROM next_at - clock_timestamp()) FROM pacers")
    )
    assert next_in_s < 1 / PER_SECOND


async def test_turns_that_are_taken_lie_apart_by_the_databases_clock(
    replicas: list[Database],
) -> None:
    """Whatever happens to be late in a process, no two turns are nearer than the rate says."""
    async with pacers(replicas, per_second=1000) as (one, other):
        began = time.monotonic()
        await asyncio.gather(turns(one, 500), turns(other, 500))
        assert time.monotonic() - began >= 0.999


async def test_who_comes_first_has_the_first_turn(replicas: list[Database]) -> None:
    order: list[int] = []
    async with pacers(replicas) as (pacer, _):

        async def one(number: int) -> None:
            await pacer.turn()
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(30)))
    assert order == list(range(30))


async def test_settling_does_not_wait_for_a_crowd_of_new_orders(replicas: list[Database]) -> None:
    async with pacers(replicas) as (pacer, _):
        crowd = asyncio.create_task(turns(pacer, 60))
        await eventually(lambda: _is_true(pacer.wait_s() > 0.5))
        settled = await turns(pacer, 5, Lane.SETTLING)
        began = await crowd
    assert settled[-1] < sorted(began)[30]
    assert began == sorted(began)


async def test_background_work_yields_to_customers_of_every_replica(
    replicas: list[Database],
) -> None:
    async with pacers(replicas, per_second=100) as (one, other):
        background = asyncio.create_task(turns(one, 80, Lane.BACKGROUND))
        customers = await asyncio.gather(turns(one, 40), turns(other, 40))
        ended = max(moment for each in customers for moment in each)
        assert ended - min(moment for each in customers for moment in each) < 1.2
        began = await background
    assert sum(moment < ended for moment in began) <= 12
    assert most_within(1 - LATE_S, began) <= 100


async def test_background_work_has_all_turns_that_nobody_else_wants(
    replicas: list[Database],
) -> None:
    async with pacers(replicas, per_second=100) as (pacer, _):
        began = await turns(pacer, 60, Lane.BACKGROUND)
    assert began[-1] - began[0] < 1.2


async def test_background_work_goes_on_however_many_customers_there_are(
    replicas: list[Database],
) -> None:
    async with pacers(replicas) as (pacer, _):
        crowd = asyncio.create_task(turns(pacer, 150))
        (began,) = await turns(pacer, 1, Lane.BACKGROUND)
        assert began < (await crowd)[-1]


async def test_turn_of_somebody_who_gave_up_is_not_waited_for(replicas: list[Database]) -> None:
    async with pacers(replicas) as (pacer, _):
        gone = [asyncio.create_task(pacer.turn()) for _ in range(100)]
        await eventually(lambda: _is_true(pacer.wait_s() > 1))
        for task in gone:
            task.cancel()
        before = time.monotonic()
        (began,) = await turns(pacer, 1)
    assert began - before < 1


async def test_without_the_database_nobody_waits_for_ever(
    replicas: list[Database], postgres_url: str
) -> None:
    url = service_url(postgres_url, "payment")
    async with pacers(replicas) as (pacer, _):
        await pacer.turn()
        await close_database(url)
        for lane in Lane:
            with pytest.raises(DatabaseUnavailable):
                await turns(pacer, 1, lane)
        await close_database(url, closed=False)

        async def is_back() -> bool:
            return bool(await turns(pacer, 1))

        await eventually(is_back)


async def _is_true(value: bool) -> bool:
    return value
