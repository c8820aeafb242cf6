"""The sums of an event's entries are the same in SQL as by hand, whatever was booked."""

import uuid
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings

from payment_service.insights import store as insights
from payment_service.ledger import store as ledger
from payment_service.ledger.domain import Question
from tests.integration.payment_service.bookkeeping import Books
from tests.unit.payment_service.books import BOOKED, Booked, summed


@settings(
    max_examples=30,
    deadline=None,
    # Each example has an event of its own.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(BOOKED)
async def test_insights_sum_up_exactly_what_is_booked(
    books: Books, booked: Sequence[Booked]
) -> None:
    event_id = f"evt_{uuid.uuid4().hex}"
    mine = [
        replace(
            each,
            transaction=replace(
                each.transaction,
                event_id=event_id,
                source=f"{each.transaction.source} {event_id}",
            ),
        )
        for each in booked
    ]
    foreign = [
        replace(each.transaction, currency_code="USD", source=f"{each.transaction.source} USD")
        for each in mine
    ]
    await books.book(*(each.transaction for each in mine), *foreign)
    async with books.database.begin() as tx:
        found = await insights.books(tx, event_id, "EUR", "UTC")
        balances = await ledger.balances(tx, Question(event_id=event_id))
    assert found == summed(mine)
    by_account: dict[str, int] = {}
    for moved in found.by_kind.values():
        for account, minor in moved.items():
            by_account[account] = by_account.get(account, 0) + minor
    assert by_account == {
        row.account: row.balance_minor for row in balances if row.currency_code == "EUR"
    }
    assert sum(by_account.values()) == 0
