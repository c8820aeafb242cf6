"""The database's own guards, and what is seen when one is gone."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from kit.database import Database, ensure_database, service_url
from kit.migrations import upgrade
from kit.service import ROOT
from tests.integration.ticket_service.support import Organizer, Shop
from tests.support.invariants import broken_invariants
from ticket_service.stock import store
from ticket_service.stock.domain import Shelf, Stock


@pytest.mark.parametrize("remaining", ["-1", "total_stock + 1"])
async def test_the_database_refuses_to_oversell_and_to_overfill(
    shop: Shop, organizer: Organizer, remaining: str
) -> None:
    [made] = (await shop.on_sale(organizer)).ticket_types
    with pytest.raises(IntegrityError, match="ck_ticket_types_remaining"):
        await shop.execute(
            f"UPDATE ticket_types SET remaining = {remaining} WHERE id = '{made.id}'"
        )


async def test_taking_more_than_there_is_fails_whoever_forgot_to_look(
    shop: Shop, organizer: Organizer
) -> None:
    [made] = (await shop.on_sale(organizer)).ticket_types
    shelf = Shelf([Stock(made.id, "n", 0, 11, 11, None, None)])
    shelf.take(made.id, 11)
    with pytest.raises(IntegrityError, match="ck_ticket_types_remaining"):
        async with shop.database.begin() as tx:
            await store.save(tx, shelf)


async def test_a_ticket_is_admitted_once_by_a_unique_index(
    shop: Shop, organizer: Organizer
) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    await shop.scan(organizer.staff, ticket.code)
    with pytest.raises(IntegrityError, match="uq_check_ins_accepted"):
        await shop.execute(
            "INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('c', :id, 'e', 'u')",
            id=ticket.id,
        )


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ({}, "uq_tickets_order_id_number"),
        ({"number": 2}, "uq_tickets_code"),
        ({"number": 2, "code": "X", "state": "LOST"}, "ck_tickets_state"),
    ],
)
async def test_an_orders_tickets_are_numbered_once_and_codes_are_unique(
    shop: Shop, organizer: Organizer, change: dict[str, Any], guard: str
) -> None:
    [ticket] = await shop.issue((await shop.hold(await shop.on_sale(organizer))).id)
    [row] = await shop.execute("SELECT * FROM tickets WHERE id = :id", id=ticket.id)
    code = ticket.code if guard == "uq_tickets_code" else f"{ticket.code}X"
    values = {**row._asdict(), "id": f"{ticket.id}x", "code": code, **change}
    columns = ", ".join(values)
    with pytest.raises(IntegrityError, match=guard):
        await shop.execute(
            f"INSERT INTO tickets ({columns}) VALUES (:{', :'.join(values)})", **values
        )


async def test_an_order_converts_one_hold(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    [ticket] = await shop.issue((await shop.hold(published)).id)
    other = await shop.hold(published)
    with pytest.raises(IntegrityError, match="uq_holds_order_id"):
        await shop.execute(
            "UPDATE holds SET state = 'CONVERTED', order_id = :order WHERE id = :id",
            order=ticket.order_id,
            id=other.id,
        )
    with pytest.raises(IntegrityError, match="ck_holds_converted"):
        await shop.execute("UPDATE holds SET state = 'CONVERTED' WHERE id = :id", id=other.id)


async def test_a_key_makes_one_hold_by_a_unique_index(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    one, other = await shop.hold(published), await shop.hold(published)
    change = "UPDATE holds SET idempotency_key = :key WHERE id = :id"
    await shop.execute(change, key=f"anyone {one.id}", id=one.id)
    with pytest.raises(IntegrityError, match="uq_holds_idempotency_key"):
        await shop.execute(change, key=f"anyone {one.id}", id=other.id)


# A database without the service: one event with one ticket type of two tickets.
_ROWS = """
INSERT INTO events (id, organizer_id, state, title, description, location, starts_at, ends_at,
                    time_zone, currency_code)
VALUES ('evt', 'org', 'PUBLISHED', 't', '', '', now(), now() + interval '1 hour', 'UTC', 'EUR');
INSERT INTO ticket_types (id, event_id, name, price_minor, total_stock, remaining, max_per_order)
VALUES ('tt', 'evt', 'n', 0, 2, 0, 10);
INSERT INTO holds (id, event_id, state, currency_code, expires_at, order_id)
VALUES ('sold', 'evt', 'CONVERTED', 'EUR', now() + interval '1 hour', 'ord'),
       ('held', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour', NULL);
INSERT INTO hold_items (hold_id, ticket_type_id, event_id, position, ticket_type_name, quantity,
                        unit_price_minor)
VALUES ('sold', 'tt', 'evt', 0, 'n', 1, 0), ('held', 'tt', 'evt', 0, 'n', 1, 0);
INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id, ticket_type_name,
                     hold_id, order_id, number, holder_name)
VALUES ('tkt', 'C', 'ISSUED', 'evt', 'org', 'tt', 'n', 'sold', 'ord', 1, 'h');
INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('chk', 'tkt', 'evt', 'usr')
"""


@pytest.fixture
async def unguarded(postgres_url: str) -> AsyncIterator[Database]:
    url = service_url(postgres_url, "ticket")
    await ensure_database(url)
    await upgrade(ROOT / "ticket_service", url)
    database = Database(url, pool_size=2)
    await execute(database, _ROWS)
    yield database
    await database.close()


async def execute(database: Database, statements: str) -> None:
    async with database.begin() as tx:
        for statement in statements.split(";\n"):
            await tx.execute(text(statement))


async def test_what_is_in_order_breaks_no_invariant(unguarded: Database, postgres_url: str) -> None:
    assert await broken_invariants(postgres_url, "ticket") == []


_ANOTHER_HOLD = """
INSERT INTO holds (id, event_id, state, currency_code, expires_at)
VALUES ('more', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour');
INSERT INTO hold_items (hold_id, ticket_type_id, event_id, position, ticket_type_name, quantity,
                        unit_price_minor)
VALUES ('more', 'tt', 'evt', 0, 'n', 1, 0);
UPDATE ticket_types SET remaining = remaining - 1
"""

_ANOTHER_ADMISSION = """
INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('two', 'tkt', 'evt', 'usr')
"""

_THE_SAME_TICKET = """
INSERT INTO tickets
SELECT 'two', 'D', state, event_id, organizer_id, ticket_type_id, ticket_type_name, hold_id,
       order_id, number, holder_name, issued_at
FROM tickets
"""


@pytest.mark.parametrize(
    ("removed", "damage", "seen"),
    [
        (
            "ALTER TABLE ticket_types DROP CONSTRAINT ck_ticket_types_remaining",
            _ANOTHER_HOLD,
            "I1: sold and held tickets",
        ),
        (
            "DROP INDEX uq_check_ins_accepted",
            _ANOTHER_ADMISSION,
            "I1: a ticket is admitted once",
        ),
        (
            "DROP INDEX uq_tickets_order_id_number",
            _THE_SAME_TICKET,
            "I1: a converted hold",
        ),
    ],
)
async def test_without_its_guard_the_damage_is_done_and_the_invariant_sees_it(
    unguarded: Database, postgres_url: str, removed: str, damage: str, seen: str
) -> None:
    with pytest.raises(IntegrityError):
        await execute(unguarded, damage)
    await execute(unguarded, removed)
    await execute(unguarded, damage)
    assert any(found.startswith(seen) for found in await broken_invariants(postgres_url, "ticket"))


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        ("UPDATE ticket_types SET remaining = 1", "I1: sold and held"),
        ("UPDATE tickets SET state = 'CANCELLED'", "I1: sold and held"),
        ("UPDATE holds SET state = 'EXPIRED' WHERE id = 'held'", "I6: a hold expires"),
        ("UPDATE holds SET expires_at = now() - interval '6 s' WHERE id = 'held'", "I6: a hold"),
        ("UPDATE hold_items SET quantity = 2 WHERE hold_id = 'sold'", "I1: a converted hold"),
    ],
)
async def test_stock_that_is_lost_or_late_is_seen(
    unguarded: Database, postgres_url: str, damage: str, seen: str
) -> None:
    await execute(unguarded, damage)
    assert any(found.startswith(seen) for found in await broken_invariants(postgres_url, "ticket"))
