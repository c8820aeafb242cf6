"""Thousands wait, and thousands of tickets return at once: in few statements, each offered once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event as sql_event
from tessera.ticket.v1 import event_pb2

from kit.database import Database
from tests.integration.ticket_service.lines import join, line, states
from tests.integration.ticket_service.support import Organizer, Shop, eventually
from ticket_service.holds import operations as holds
from ticket_service.stock.domain import Freed
from ticket_service.waitlist import store


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The statements that this process sends to the database meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    engine = database._engine.sync_engine
    sql_event.listen(engine, "before_cursor_execute", note)
    yield sent
    sql_event.remove(engine, "before_cursor_execute", note)


async def crowd(shop: Shop, of: event_pb2.Event, *, holding: int, waiting: int) -> list[str]:
    """So many holds of one ticket each, due now, and so many who wait for one to three."""
    [ticket_type] = of.ticket_types
    values = {"event": of.id, "type": ticket_type.id}
    for statement, count in (
        (
            """
            INSERT INTO holds (id, event_id, state, currency_code, expires_at)
            SELECT 'hold_' || :type || n, :event, 'ACTIVE', 'EUR', now() + interval '1 hour'
            FROM generate_series(1, :count) n
            """,
            holding,
        ),
        (
            """
            INSERT INTO hold_items (hold_id, ticket_type_id, event_id, position, ticket_type_name,
                                    quantity, unit_price_minor)
            SELECT 'hold_' || :type || n, :type, :event, 0, 'Standard', 1, 5000
            FROM generate_series(1, :count) n
            """,
            holding,
        ),
        (
            "UPDATE ticket_types SET remaining = remaining - :count WHERE id = :type",
            holding,
        ),
        (
            """
            INSERT INTO waitlist_entries (id, event_id, ticket_type_id, quantity, state, email,
                                          full_name)
            SELECT 'wle_' || :type || to_char(n, 'FM000000'), :event, :type, 1 + n % 3, 'WAITING',
                   n || '@example.org', 'Grace'
            FROM generate_series(1, :count) n
            """,
            waiting,
        ),
    ):
        named = {key: value for key, value in values.items() if f":{key}" in statement}
        await shop.execute(statement, **named, count=count)
    return [f"hold_{ticket_type.id}{number}" for number in range(1, holding + 1)]


@pytest.fixture
async def forgotten(shop: Shop) -> AsyncIterator[None]:
    """What a crowd leaves in the outbox is nobody's."""
    yield
    await shop.execute("DELETE FROM outbox")


@pytest.mark.usefixtures("forgotten")
async def test_a_crowd_takes_no_more_statements_than_a_few(
    shop: Shop, organizer: Organizer
) -> None:
    numbers = []
    for holding, waiting in ((2, 5), (1000, 5000)):
        published = await shop.on_sale(organizer, {"total_stock": holding})
        held = await crowd(shop, published, holding=holding, waiting=waiting)
        with counted(shop.database) as sent:
            await holds.release_holds(shop.database, shop.offers, held)
        numbers.append(len(sent))
        [[offered, tickets]] = await shop.execute(
            """
            SELECT count(*), sum(quantity) FROM waitlist_entries
            WHERE event_id = :id AND state = 'OFFERED'
            """,
            id=published.id,
        )
        assert tickets == holding
        assert await shop.remaining(published.id) == [0]
        assert offered <= holding
    assert numbers[0] == numbers[1]


@pytest.mark.usefixtures("forgotten")
async def test_offers_are_announced_in_the_order_of_the_line(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 40})
    held = await crowd(shop, published, holding=40, waiting=40)
    await holds.release_holds(shop.database, shop.offers, held)
    entry_of = "convert_from(body, 'UTF8')::json ->> 'waitlist_entry_id'"
    rows = await shop.execute(
        f"SELECT {entry_of} FROM outbox WHERE {entry_of} LIKE :about ORDER BY id",
        about=f"wle_{published.ticket_types[0].id}%",
    )
    announced = [entry_id for (entry_id,) in rows]
    assert len(announced) > 10
    assert announced == sorted(announced)


async def test_where_nobody_waits_it_costs_two_indexed_statements(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    with counted(shop.database) as sent:
        await holds.release_holds(shop.database, shop.offers, [held.id])
    about_lines = [each for each in sent if "waitlist_entries" in each]
    assert len(about_lines) == 2, sent  # one of them settles the hold's own offer, if it is one


async def test_the_first_in_line_are_found_by_index_however_long_it_is(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 5})
    [ticket_type] = published.ticket_types
    await crowd(shop, published, holding=5, waiting=9000)
    async with shop.database.begin() as tx:
        found = await store.next_in_line(tx, {ticket_type.id: 5, "tt_other": 0})
    # Five for one ticket, two for two, one for three; the numbers of entries are 1, 2, 3 by turns.
    assert [entry.quantity for entry in found] == [2, 3, 1, 2, 1, 1, 1, 1]
    assert [entry.id for entry in found] == sorted(entry.id for entry in found)
    await shop.execute("DELETE FROM waitlist_entries WHERE event_id = :id", id=published.id)


@pytest.mark.usefixtures("forgotten")
async def test_replicas_that_free_tickets_at_once_offer_each_of_them_once(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 60})
    held = await crowd(shop, published, holding=60, waiting=200)
    await shop.execute("UPDATE holds SET expires_at = now() WHERE id = ANY(:ids)", ids=held[40:])
    parts = [held[start : start + 5] for start in range(0, 40, 5)]
    await asyncio.gather(
        *(holds.release_holds(shop.database, shop.offers, part) for part in parts),
        *(holds.expire_holds(shop.database, shop.offers) for _ in range(3)),
        *(join(shop, published) for _ in range(10)),
    )

    async def all_offered() -> bool:
        [[tickets]] = await shop.execute(
            """
            SELECT sum(quantity) FROM waitlist_entries
            WHERE event_id = :id AND state = 'OFFERED'
            """,
            id=published.id,
        )
        return bool(tickets == 60)

    await eventually(all_offered)
    assert await shop.remaining(published.id) == [0]
    [[owners, live]] = await shop.execute(
        """
        SELECT count(DISTINCT hold_id), (SELECT count(*) FROM holds WHERE event_id = :id
                                         AND state = 'ACTIVE')
        FROM waitlist_entries WHERE event_id = :id AND state = 'OFFERED'
        """,
        id=published.id,
    )
    assert owners == live


async def test_several_events_are_served_in_one_transaction(
    shop: Shop, organizer: Organizer
) -> None:
    events = [await shop.on_sale(organizer, {"total_stock": 1}) for _ in range(3)]
    held = [await shop.hold(each) for each in events]
    entries = [await join(shop, each) for each in events]
    await holds.release_holds(shop.database, shop.offers, [each.id for each in held])
    assert await states(shop, *entries) == ["OFFERED"] * 3


async def test_an_offer_that_is_rolled_back_never_was(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    await shop.hold(published)
    entry = await join(shop, published)
    [ticket_type] = published.ticket_types

    async def fail_after_offering() -> None:
        async with shop.database.begin() as tx:
            await shop.offers.put_back(tx, Freed({ticket_type.id: 1}))  # as if it had come back
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_offering()
    assert await states(shop, entry) == ["WAITING"]
    assert [each.id for each in (await line(shop, organizer, published.id)).waitlist_entries] == [
        entry.id
    ]
