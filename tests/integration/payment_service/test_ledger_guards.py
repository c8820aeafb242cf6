"""What keeps the books honest. For each guard, a test that fails without it:

- the trigger `balanced`: `test_the_database_refuses_what_does_not_sum_to_zero`; what happens
  without it: `test_without_the_balance_guard_money_appears_and_is_seen`;
- the triggers `append_only`: `test_nobody_changes_what_is_booked`; without them:
  `test_without_the_guard_of_the_past_a_change_is_seen`;
- that the books are those of what happened: `test_booking_of_…_is_seen` (test_invariants.py has
  the rest of I8);
- unique sources: `test_a_source_is_booked_once_however_many_come_at_once`.
"""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from payment_service.ledger import store
from payment_service.ledger.domain import Account, Entry, Kind, Question, Transaction, Unbalanced
from tests.integration.payment_service.auditing import forget, paid, payment_of
from tests.integration.payment_service.bookkeeping import Books
from tests.integration.payment_service.support import Shop
from tests.support.invariants import broken_invariants

TICKETS = Transaction(
    Kind.CHARGE,
    "test:1",
    "org_1",
    "evt_1",
    "ord_1",
    "EUR",
    (
        Entry(Account.PROVIDER, 11_900),
        Entry(Account.TICKET_REVENUE, -10_000, "tt_1"),
        Entry(Account.TAX, -1_900, "tt_1"),
    ),
)


def test_what_does_not_sum_to_zero_is_not_even_made() -> None:
    with pytest.raises(Unbalanced, match="test:1"):
        replace(TICKETS, entries=TICKETS.entries[1:])


async def test_what_is_booked_is_read_back(books: Books) -> None:
    assert await books.book(TICKETS) == {"test:1"}
    async with books.database.begin() as tx:
        found = await store.list_entries(tx, Question(order_id="ord_1"), before=None, limit=10)
    assert [row.entry for row in found[::-1]] == list(TICKETS.entries)
    assert {(row.kind, row.currency_code, row.event_id) for row in found} == {
        (Kind.CHARGE, "EUR", "evt_1")
    }
    assert await books.broken() == []


async def test_a_source_is_booked_once_however_many_come_at_once(books: Books) -> None:
    """Each with others in another order: nobody waits for each other in a circle."""
    batches = [[replace(TICKETS, source=f"test:{n}") for n in range(20)] for _ in range(5)]
    found = await asyncio.gather(
        *(books.book(*batch[:: -1 if turned % 2 else 1]) for turned, batch in enumerate(batches))
    )
    assert sorted(source for sources in found for source in sources) == sorted(
        f"test:{n}" for n in range(20)
    )
    assert sorted(await books.sources()) == sorted(f"test:{n}" for n in range(20))
    assert await books.broken() == []


async def test_twice_in_one_batch_is_once(books: Books) -> None:
    assert await books.book(TICKETS, TICKETS) == {"test:1"}
    assert await books.book(TICKETS, replace(TICKETS, source="test:2")) == {"test:2"}
    assert await books.broken() == []


async def test_nothing_to_move_is_not_booked(books: Books) -> None:
    assert await books.book(replace(TICKETS, entries=())) == set()
    assert await books.sources() == []


async def test_the_database_refuses_what_does_not_sum_to_zero(books: Books) -> None:
    await books.book(TICKETS)
    with pytest.raises(IntegrityError, match="does not sum to zero"):
        await books.execute(_ADD_MONEY)
    assert await books.broken() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE ledger_entries SET amount_minor = amount_minor + 1",
        "DELETE FROM ledger_entries",
        "DELETE FROM ledger_transactions",
        "UPDATE ledger_transactions SET currency_code = 'USD'",
        "TRUNCATE ledger_entries",
        "TRUNCATE ledger_transactions CASCADE",
        # Not even of nothing.
        "DELETE FROM ledger_entries WHERE false",
    ],
)
async def test_nobody_changes_what_is_booked(books: Books, change: str) -> None:
    await books.book(TICKETS)
    with pytest.raises(DBAPIError, match="append-only"):
        await books.execute(change)
    assert await books.sources() == ["test:1"]
    assert await books.broken() == []


async def test_without_the_balance_guard_money_appears_and_is_seen(books: Books) -> None:
    await books.book(TICKETS)
    await books.execute("DROP TRIGGER balanced ON ledger_entries")
    await books.execute(_ADD_MONEY)
    assert len(await books.broken()) == 2  # the transaction, and its currency


async def test_without_the_guard_of_the_past_a_change_is_seen(books: Books) -> None:
    await books.book(TICKETS, replace(TICKETS, source="test:2"))
    await books.execute("DROP TRIGGER append_only ON ledger_entries")
    await books.execute("DELETE FROM ledger_entries WHERE account = 'TAX'")
    assert len(await books.broken()) == 3  # both transactions, and their currency
    await books.execute("DELETE FROM ledger_entries")
    assert len(await books.broken()) == 2  # both say that money moved, and not which


async def test_booking_of_what_never_was_is_seen(shop: Shop) -> None:
    about = (shop.organizer_id, "evt_1", "ord_1", "EUR")
    forged = Transaction(Kind.CHARGE, "charge:pay_nowhere", *about, TICKETS.entries)
    async with shop.installation.database("payment").begin() as tx:
        await store.book(tx, forged)
    assert ["pay_nowhere" in found for found in await broken(shop)] == [True]
    await forget(shop, forged.source)


async def test_booking_of_another_amount_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    change = "UPDATE payments SET amount_minor = :minor WHERE order_id = :id"
    await shop.installation.execute("payment", change, id=order.id, minor=4_999)
    assert len([found for found in await broken(shop) if "has moved" in found]) == 1
    await shop.installation.execute("payment", change, id=order.id, minor=5_000)


async def test_booking_of_other_parts_than_the_orders_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    change = "UPDATE order_lines SET tax_minor = :tax WHERE order_id = :id"
    await shop.installation.execute("payment", change, id=order.id, tax=1)
    assert ["lines, booking fee and tax" in found for found in await broken(shop)] == [True]
    await shop.installation.execute("payment", change, id=order.id, tax=0)
    # As if the order kept nothing: then the charge were owed.
    keep = "UPDATE orders SET payment_id = :kept WHERE id = :id"
    kept = await payment_of(shop, order)
    await shop.installation.execute("payment", keep, id=order.id, kept=None)
    assert any("is owed" in found for found in await broken(shop))
    await shop.installation.execute("payment", keep, id=order.id, kept=kept)


async def test_booking_in_somebody_elses_books_is_seen(shop: Shop) -> None:
    order = await paid(shop)
    change = "UPDATE orders SET organizer_id = :organizer WHERE id = :id"
    await shop.installation.execute("payment", change, id=order.id, organizer="org_other")
    found = await broken(shop)
    assert ["organizer's books" in each for each in found] == [True, True]  # the charge, its fee
    await shop.installation.execute("payment", change, id=order.id, organizer=shop.organizer_id)


async def broken(shop: Shop) -> list[str]:
    return await broken_invariants(shop.installation.database_url, "payment")


_ADD_MONEY = """
    INSERT INTO ledger_entries (transaction_id, position, account, amount_minor)
    SELECT id, 9, 'PROVIDER', 1 FROM ledger_transactions
"""
