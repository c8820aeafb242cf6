"""The invariants' own test: what breaks one is seen, and most of it the database refuses."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from deploy.local.postgres import EmbeddedPostgres
from kit.database import Database, ensure_database, service_url
from kit.migrations import upgrade
from kit.service import ROOT
from tests.support.invariants import broken_invariants
from ticket_service.tables import metadata

# A database without the service: one event with three tickets and four seats, of which a hold
# became some, of which one was given on, a hold and an offer keep others, and the rest is available
# or blocked.
_ROWS = """
INSERT INTO events (id, organizer_id, state, title, description, location, starts_at, ends_at,
                    time_zone, currency_code)
VALUES ('evt', 'org', 'PUBLISHED', 't', '', '', now(), now() + interval '1 hour', 'UTC', 'EUR');
INSERT INTO ticket_types (id, event_id, name, price_minor, total_stock, remaining, max_per_order,
                          is_seated)
VALUES ('tt', 'evt', 'n', 0, 3, 0, 10, false), ('seated', 'evt', 'n', 0, 3, 1, 10, true);
INSERT INTO quotas (id, event_id, name, size, remaining) VALUES ('quota', 'evt', 'q', 6, 1);
INSERT INTO quota_ticket_types (quota_id, ticket_type_id, event_id)
VALUES ('quota', 'tt', 'evt'), ('quota', 'seated', 'evt');
INSERT INTO seat_maps (event_id, hall_id) VALUES ('evt', 'hall');
INSERT INTO holds (id, event_id, state, currency_code, expires_at, order_id)
VALUES ('sold', 'evt', 'CONVERTED', 'EUR', now() + interval '1 hour', 'ord'),
       ('held', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour', NULL),
       ('offer', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour', NULL);
INSERT INTO hold_items (hold_id, ticket_type_id, event_id, position, ticket_type_name, quantity,
                        unit_price_minor, seat_ids)
VALUES ('sold', 'tt', 'evt', 0, 'n', 1, 0, NULL), ('sold', 'seated', 'evt', 1, 'n', 1, 0, '{A1}'),
       ('held', 'tt', 'evt', 0, 'n', 1, 0, NULL), ('held', 'seated', 'evt', 1, 'n', 1, 0, '{A2}'),
       ('offer', 'tt', 'evt', 0, 'n', 1, 0, NULL);
INSERT INTO event_seats (event_id, position, seat_id, section, row, number, rank, x, y, zone, aisle,
                         ticket_type_id, state, hold_id, block_reason)
VALUES ('evt', 0, 'A1', 's', 'A', '1', 1, 0, 0, 'z', false, 'seated', 'SOLD', 'sold', NULL),
       ('evt', 1, 'A2', 's', 'A', '2', 1, 1, 0, 'z', false, 'seated', 'HELD', 'held', NULL),
       ('evt', 2, 'A3', 's', 'A', '3', 1, 2, 0, 'z', false, 'seated', 'AVAILABLE', NULL, NULL),
       ('evt', 3, 'A4', 's', 'A', '4', 1, 3, 0, 'z', false, 'seated', 'BLOCKED', NULL, 'HOUSE');
INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id, ticket_type_name,
                     hold_id, order_id, number, transfers, holder_name, seat_id)
VALUES ('given', 'B', 'TRANSFERRED', 'evt', 'org', 'tt', 'n', 'sold', 'ord', 1, 0, 'h', NULL),
       ('tkt', 'C', 'ISSUED', 'evt', 'org', 'tt', 'n', 'sold', 'ord', 1, 1, 'h', NULL),
       ('chair', 'D', 'ISSUED', 'evt', 'org', 'seated', 'n', 'sold', 'ord', 2, 0, 'h', 'A1');
INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('chk', 'tkt', 'evt', 'usr');
INSERT INTO waitlist_entries (id, event_id, ticket_type_id, quantity, state, email, full_name,
                              hold_id, offer_expires_at)
VALUES ('first', 'evt', 'tt', 1, 'CONVERTED', 'a@b.c', 'Ada', 'sold', now()),
       ('next', 'evt', 'tt', 1, 'OFFERED', 'd@e.f', 'Grace', 'offer', now()),
       ('last', 'evt', 'tt', 1, 'WAITING', 'g@h.i', 'Mary', NULL, NULL)
"""


@pytest.fixture(scope="module")
async def shared_url(postgres: EmbeddedPostgres) -> str:
    """The address of a database for the tests that change rows only."""
    url = postgres.url.replace("/tessera?", f"/t{uuid.uuid4().hex[:12]}?")
    await make(url)
    return url


@pytest.fixture
async def shared(shared_url: str) -> AsyncIterator[Database]:
    async with connected(shared_url) as database:
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        await execute(database, f"TRUNCATE {tables};\n{_ROWS}")
        yield database


@pytest.fixture
async def unguarded(postgres_url: str) -> AsyncIterator[Database]:
    """A database of this test's own, whose guards it may remove."""
    await make(postgres_url)
    async with connected(postgres_url) as database:
        await execute(database, _ROWS)
        yield database


async def make(database_url: str) -> None:
    url = service_url(database_url, "ticket")
    await ensure_database(url)
    await upgrade(ROOT / "ticket_service", url)


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator[Database]:
    database = Database(service_url(database_url, "ticket"), pool_size=2)
    try:
        yield database
    finally:
        await database.close()


async def execute(database: Database, statements: str) -> None:
    async with database.begin() as tx:
        for statement in statements.split(";\n"):
            await tx.execute(text(statement))


async def assert_seen(database_url: str, sentence: str) -> None:
    """The invariant that begins with these words does not hold."""
    found = await broken_invariants(database_url, "ticket")
    assert any(each.startswith(sentence) for each in found), found


async def test_what_is_in_order_breaks_no_invariant(shared: Database, shared_url: str) -> None:
    assert await broken_invariants(shared_url, "ticket") == []


async def test_stock_that_went_with_its_tickets_breaks_no_invariant(
    shared: Database, shared_url: str
) -> None:
    await execute(
        shared,
        """
        UPDATE tickets SET state = 'CANCELLED' WHERE state = 'ISSUED';
        UPDATE ticket_types SET total_stock = total_stock - 1;
        UPDATE quotas SET size = size - 2;
        UPDATE event_seats SET state = 'BLOCKED', hold_id = NULL, block_reason = 'HOUSE'
        WHERE seat_id = 'A1'
        """,
    )
    assert await broken_invariants(shared_url, "ticket") == []


_ANOTHER_HOLD = """
INSERT INTO holds (id, event_id, state, currency_code, expires_at)
VALUES ('more', 'evt', 'ACTIVE', 'EUR', now() + interval '1 hour');
INSERT INTO hold_items (hold_id, ticket_type_id, event_id, position, ticket_type_name, quantity,
                        unit_price_minor)
VALUES ('more', 'tt', 'evt', 0, 'n', 1, 0);
UPDATE ticket_types SET remaining = remaining - 1 WHERE id = 'tt'
"""

_TWO_OVER_THE_QUOTA = """
UPDATE hold_items SET quantity = quantity + 2 WHERE hold_id = 'held' AND ticket_type_id = 'tt';
UPDATE ticket_types SET total_stock = total_stock + 2 WHERE id = 'tt';
UPDATE quotas SET remaining = remaining - 2
"""

_ANOTHER_ADMISSION = """
INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('two', 'tkt', 'evt', 'usr')
"""

_THE_SAME_TICKET = """
INSERT INTO tickets
SELECT 'two', 'E', state, event_id, organizer_id, ticket_type_id, ticket_type_name, hold_id,
       order_id, number, holder_name, issued_at
FROM tickets WHERE id = 'tkt'
"""

_THE_SAME_SUCCESSOR = """
INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id, ticket_type_name,
                     hold_id, order_id, number, transfers, holder_name)
SELECT 'two', 'E', state, event_id, organizer_id, ticket_type_id, ticket_type_name, hold_id,
       order_id, number, transfers, 'another'
FROM tickets WHERE id = 'tkt';
UPDATE ticket_types SET total_stock = total_stock + 1 WHERE id = 'tt';
UPDATE quotas SET size = size + 1
"""

_THE_SAME_SEAT = """
INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id, ticket_type_name,
                     hold_id, order_id, number, holder_name, seat_id)
SELECT 'two', 'E', state, event_id, organizer_id, ticket_type_id, ticket_type_name, 'held',
       'other', number, holder_name, seat_id
FROM tickets WHERE id = 'chair'
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
            "ALTER TABLE quotas DROP CONSTRAINT ck_quotas_remaining",
            _TWO_OVER_THE_QUOTA,
            "I1: what a quota lacks",
        ),
        ("DROP INDEX uq_check_ins_accepted", _ANOTHER_ADMISSION, "I1: a ticket is admitted"),
        ("DROP INDEX uq_tickets_order_id_number", _THE_SAME_TICKET, "I1: a converted hold"),
        (
            "DROP INDEX uq_tickets_order_id_number",
            _THE_SAME_SUCCESSOR,
            "I1: a ticket that is given on",
        ),
        ("DROP INDEX uq_tickets_event_id_seat_id", _THE_SAME_SEAT, "I1: a sold seat"),
    ],
)
async def test_without_its_guard_the_damage_is_done_and_the_invariant_sees_it(
    unguarded: Database, postgres_url: str, removed: str, damage: str, seen: str
) -> None:
    with pytest.raises(IntegrityError):
        await execute(unguarded, damage)
    await execute(unguarded, removed)
    await execute(unguarded, damage)
    await assert_seen(postgres_url, seen)


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        ("UPDATE ticket_types SET remaining = 1 WHERE id = 'tt'", "I1: sold and held"),
        ("UPDATE tickets SET state = 'CANCELLED'", "I1: sold and held"),
        ("UPDATE hold_items SET quantity = 2 WHERE hold_id = 'sold'", "I1: a converted hold"),
        ("UPDATE holds SET state = 'EXPIRED' WHERE id = 'held'", "I6: a hold expires"),
        ("UPDATE holds SET expires_at = now() - interval '6 s' WHERE id = 'held'", "I6: a hold"),
    ],
)
async def test_stock_that_is_lost_or_late_is_seen(
    shared: Database, shared_url: str, damage: str, seen: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, seen)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tickets SET state = 'ISSUED' WHERE id = 'given'",
        "UPDATE tickets SET state = 'CANCELLED' WHERE id = 'given'",
        "UPDATE tickets SET state = 'TRANSFERRED' WHERE id = 'tkt'",
        "UPDATE tickets SET state = 'TRANSFERRED' WHERE id = 'chair'",
        "UPDATE tickets SET transfers = 2 WHERE id = 'tkt'",
        "UPDATE tickets SET number = 3 WHERE id = 'tkt'",
        "UPDATE tickets SET order_id = 'other' WHERE id = 'tkt'",
        "UPDATE tickets SET hold_id = 'held' WHERE id = 'tkt'",
        "UPDATE tickets SET ticket_type_id = 'seated' WHERE id = 'tkt'",
        "UPDATE tickets SET seat_id = 'A3' WHERE id = 'tkt'",
        "DELETE FROM tickets WHERE id = 'given'",
    ],
)
async def test_a_ticket_that_is_nobodys_or_two_peoples_is_seen(
    shared: Database, shared_url: str, damage: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, "I1: a ticket that is given on")


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO check_ins (id, ticket_id, event_id, user_id) VALUES ('c', 'given', 'evt', '')",
        "UPDATE check_ins SET ticket_id = 'given'",
    ],
)
async def test_who_is_let_in_with_a_ticket_that_is_anothers_is_seen(
    shared: Database, shared_url: str, damage: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, "I1: a ticket is admitted")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE quotas SET remaining = 2",
        "UPDATE quotas SET size = 7",
        "DELETE FROM quota_ticket_types WHERE ticket_type_id = 'seated'",
        "UPDATE hold_items SET quantity = 2 WHERE hold_id = 'held' AND ticket_type_id = 'tt'",
        "UPDATE tickets SET state = 'CANCELLED' WHERE id = 'tkt'",
    ],
)
async def test_a_quota_that_does_not_count_what_is_out_is_seen(
    shared: Database, shared_url: str, damage: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, "I1: what a quota lacks")


_FREE = "state = 'AVAILABLE', hold_id = NULL"


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        ("UPDATE ticket_types SET remaining = 0 WHERE id = 'seated'", "the stock of"),
        ("UPDATE ticket_types SET total_stock = 4 WHERE id = 'seated'", "the stock of"),
        ("UPDATE event_seats SET state = 'AVAILABLE' WHERE seat_id = 'A4'", "the stock of"),
        ("UPDATE event_seats SET hold_id = 'gone' WHERE seat_id = 'A2'", "a held seat"),
        ("UPDATE event_seats SET hold_id = 'offer' WHERE seat_id = 'A2'", "a held seat"),
        ("UPDATE event_seats SET state = 'SOLD' WHERE seat_id = 'A2'", "a held seat"),
        ("UPDATE event_seats SET state = 'HELD' WHERE seat_id = 'A1'", "a held seat"),
        ("UPDATE holds SET state = 'EXPIRED' WHERE id = 'held'", "a held seat"),
        ("UPDATE hold_items SET seat_ids = '{A3}' WHERE seat_ids = '{A2}'", "a held seat"),
        (f"UPDATE event_seats SET {_FREE} WHERE seat_id = 'A2'", "a seat that a live hold"),
        ("DELETE FROM event_seats WHERE seat_id = 'A2'", "a seat that a live hold"),
        ("UPDATE hold_items SET seat_ids = '{A1}' WHERE hold_id = 'held'", "a seat that a live"),
        ("UPDATE hold_items SET seat_ids = NULL WHERE hold_id = 'held'", "a hold names as many"),
        ("UPDATE hold_items SET seat_ids = '{A3}' WHERE hold_id = 'offer'", "a hold names as many"),
        ("UPDATE hold_items SET quantity = 2 WHERE seat_ids = '{A2}'", "a hold names as many"),
        (f"UPDATE event_seats SET {_FREE} WHERE seat_id = 'A1'", "a sold seat"),
        ("UPDATE event_seats SET hold_id = 'held' WHERE seat_id = 'A1'", "a sold seat"),
        ("UPDATE tickets SET state = 'CANCELLED' WHERE id = 'chair'", "a sold seat"),
        ("UPDATE tickets SET seat_id = 'A3' WHERE id = 'chair'", "a sold seat"),
        ("UPDATE tickets SET seat_id = NULL WHERE id = 'chair'", "a sold seat"),
    ],
)
async def test_a_seat_that_is_not_whose_it_should_be_is_seen(
    shared: Database, shared_url: str, damage: str, seen: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, f"I1: {seen}")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE holds SET state = 'RELEASED' WHERE id = 'offer'",
        "UPDATE waitlist_entries SET state = 'OFFER_EXPIRED' WHERE id = 'next'",
        "UPDATE waitlist_entries SET state = 'CANCELLED' WHERE id = 'next'",
        "UPDATE waitlist_entries SET state = 'CONVERTED' WHERE id = 'next'",
        "UPDATE waitlist_entries SET state = 'WAITING' WHERE id = 'next'",
        "UPDATE waitlist_entries SET state = 'CONVERTED' WHERE id = 'last'",
        "UPDATE waitlist_entries SET state = 'OFFERED' WHERE id = 'first'",
        "UPDATE waitlist_entries SET quantity = 2 WHERE id = 'next'",
        "UPDATE waitlist_entries SET ticket_type_id = 'seated' WHERE id = 'next'",
    ],
)
async def test_an_offer_that_is_not_what_its_hold_is_is_seen(
    shared: Database, shared_url: str, damage: str
) -> None:
    await execute(shared, damage)
    await assert_seen(shared_url, "I1: what became of an offer")
