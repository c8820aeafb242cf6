"""Each night goes on where nothing was left out before, whatever was compared on demand."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import pytest

from kit.clock import now
from kit.ids import new_id
from payment_service.payments.provider import PaymentProvider
from payment_service.reconciliation import store
from payment_service.reconciliation.domain import LONGEST_PERIOD, NIGHTLY_AT, Reconciliation
from payment_service.reconciliation.operations import Reconciler
from tests.integration.payment_service.bookkeeping import Books

DAY = timedelta(days=1)


class NothingAtStripe:
    """A Stripe at which nothing ever happened."""

    async def _none(self, _start: datetime, _end: datetime) -> AsyncIterator[Sequence[Any]]:
        pages: Sequence[Sequence[Any]] = ()
        for page in pages:
            yield page

    list_payments = list_refunds = list_disputes = list_movements = _none


def reconciler(books: Books) -> Reconciler:
    return Reconciler(books.database, cast("PaymentProvider", NothingAtStripe()), patience_s=0)


async def compare(
    books: Books, start: datetime, end: datetime, *, is_complete: bool = True
) -> None:
    """Have a period compared to its end, or given up."""
    async with books.database.begin() as tx:
        assert await store.insert(tx, new_id("rec"), start, end)
    if not is_complete:
        age = "UPDATE reconciliations SET created_at = now() - interval '13 hours'"
        await books.execute(f"{age} WHERE state = 'RUNNING'")
    await reconciler(books).run_due()


async def compared_until(books: Books) -> datetime | None:
    async with books.database.begin() as tx:
        return await store.compared_until(tx)


async def periods(books: Books) -> list[Reconciliation]:
    async with books.database.begin() as tx:
        return (await store.list_all(tx, before=None, limit=50))[::-1]


def this_morning() -> datetime:
    morning = datetime.combine(now().astimezone(UTC).date(), NIGHTLY_AT)
    return morning if morning <= now() else morning - DAY


@pytest.mark.parametrize(
    ("runs", "until"),
    [
        ([(0, 3)], 3),
        ([(0, 3), (3, 4)], 4),
        ([(0, 3), (1, 4)], 4),
        ([(0, 3), (1, 2)], 3),
        ([(0, 3), (-9, -5)], 3),
        ([(0, 3), (4, 5)], 3),
        ([(0, 3), (4, 5), (2, 6)], 6),
    ],
)
async def test_only_what_adjoins_what_was_compared_before_goes_on_from_it(
    books: Books, runs: Sequence[tuple[int, int]], until: int
) -> None:
    first = this_morning() - 20 * DAY
    for start, end in runs:
        await compare(books, first + start * DAY, first + end * DAY)
    assert await compared_until(books) == first + until * DAY


async def test_before_anything_was_compared_it_begins_where_the_first_was_to(books: Books) -> None:
    assert await compared_until(books) is None
    first = this_morning() - 3 * DAY
    await compare(books, first, first + 3 * DAY, is_complete=False)
    await compare(books, first + 2 * DAY, first + 3 * DAY)
    assert await compared_until(books) == first
    await compare(books, first, first + DAY)
    assert await compared_until(books) == first + DAY


async def test_night_compares_what_a_run_that_was_given_up_has_not(books: Books) -> None:
    ten_days_ago = this_morning() - 10 * DAY
    await compare(books, ten_days_ago - DAY, ten_days_ago)
    await compare(books, ten_days_ago, this_morning() - DAY, is_complete=False)
    await reconciler(books).schedule()
    night = (await periods(books))[-1]
    assert (night.period_start, night.period_end) == (ten_days_ago, this_morning())


async def test_minute_compared_on_demand_does_not_shorten_the_night(books: Books) -> None:
    ten_days_ago = this_morning() - 10 * DAY
    await compare(books, ten_days_ago - DAY, ten_days_ago)
    await compare(books, now() - timedelta(minutes=1), now())
    await reconciler(books).schedule()
    night = (await periods(books))[-1]
    assert (night.period_start, night.period_end) == (ten_days_ago, this_morning())


async def test_after_a_very_long_pause_all_of_it_is_compared_in_parts(books: Books) -> None:
    long_ago = this_morning() - 200 * DAY
    await compare(books, long_ago - DAY, long_ago)
    for _ in range(3):
        await reconciler(books).run_due()
    parts = (await periods(books))[1:]
    assert parts[0].period_start == long_ago
    assert all(one.period_end == other.period_start for one, other in pairwise(parts))
    assert all(part.period_end - part.period_start <= LONGEST_PERIOD for part in parts)
    assert parts[-1].period_end == await compared_until(books) == this_morning()
    await reconciler(books).schedule()
    assert len(await periods(books)) == 4


async def test_part_that_was_given_up_is_tried_again_the_next_night(books: Books) -> None:
    long_ago = this_morning() - 100 * DAY
    await compare(books, long_ago - DAY, long_ago)
    await compare(books, long_ago, this_morning() - LONGEST_PERIOD, is_complete=False)
    await reconciler(books).schedule()
    assert len(await periods(books)) == 2
    yesterday = "UPDATE reconciliations SET period_end = period_end - interval '1 day'"
    await books.execute(f"{yesterday} WHERE compared_until IS NULL")
    await reconciler(books).schedule()
    part = (await periods(books))[-1]
    assert (part.period_start, part.period_end) == (long_ago, this_morning() - LONGEST_PERIOD)
