"""What keeps stock whole. For each guard, a test that fails without it:

- `CHECK` on `ticket_types.remaining` and `quotas.remaining`, unique indexes on the seats of issued
  tickets, on an order's tickets and on admissions: those up to `test_a_seat_has_one_…`; what
  happens next without them: `test_without_its_guard_…` (test_invariants.py).
- Lock on ticket types: `test_buyers_wait_for_the_stock_that_others_take`, for who sizes them
  `test_stock_shrinks_by_what_is_left_when_the_sale_lets_it`.
- Lock on quotas: `test_buyers_wait_for_the_limit_that_others_draw_on`, and that a ticket type's
  quotas are read under lock: `test_buyers_wait_for_the_limit_that_came_before_them`
  (test_quota_races.py).
- Id order of both: `test_what_is_locked_together_is_locked_in_id_order`.
- Strength of the first, `FOR NO KEY UPDATE`: `test_who_pays_does_not_wait_for_those_who_buy`.
- The event is read under lock: `test_nothing_is_sold_of_what_is_being_called_off`.
- Lock on holds: `test_a_hold_that_is_being_released_is_bought_from_what_is_left`,
  `test_a_hold_that_is_being_bought_is_not_released` and
  `test_a_hold_that_is_being_bought_does_not_expire_nor_hold_others_up`.
- Lock on the hold of an order whose tickets change:
  `test_who_comes_while_a_ticket_is_given_on_finds_its_successor`; on the ticket:
  `test_the_door_does_not_accept_what_is_being_given_on` and
  `test_what_the_door_is_accepting_is_not_given_on` (test_transfer_races.py).
- Lock on the tickets that are taken back: `test_what_the_door_is_accepting_is_spared` and
  `test_the_door_does_not_accept_what_is_being_taken_back` (test_transfer_races.py).
- Offers are settled after ticket types are locked: `test_who_gives_up_an_offer_may_join_again`.
- Lock on the seat map: `test_who_pays_waits_for_those_who_choose_seats`.
- `state = before` of a seat's update:
  `test_a_seat_that_is_not_what_memory_says_stops_the_transaction` (test_seat_states.py).
"""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from tessera.ticket.v1 import event_pb2, event_service_pb2, hold_pb2, ticket_type_pb2

from kit.database import Transaction
from tests.integration.ticket_service.lines import customer, join, look, states
from tests.integration.ticket_service.support import (
    Organizer,
    Shop,
    eventually,
    new_order_id,
    outcome,
    patch,
    wait_for_lock,
)
from ticket_service.admission import store as ticket_store
from ticket_service.admission.domain import TicketState
from ticket_service.catalog import store as catalog_store
from ticket_service.catalog.domain import EventState
from ticket_service.holds import domain, placement
from ticket_service.holds import operations as holds
from ticket_service.holds import store as hold_store
from ticket_service.holds.domain import HoldRequest, HoldState
from ticket_service.holds.placement import Asked
from ticket_service.seating.seatings import Seatings
from ticket_service.stock import store
from ticket_service.stock.domain import Shelf, Stock
from ticket_service.waitlist import store as waitlist_store

# What the database refuses, whoever forgot to look.


@pytest.mark.parametrize("table", ["ticket_types", "quotas"])
@pytest.mark.parametrize("remaining", ["-1", "11"])
async def test_the_database_refuses_to_oversell_and_to_overfill(
    shop: Shop, organizer: Organizer, table: str, remaining: str
) -> None:
    published = await shop.on_sale(organizer)
    await shop.add_quota(organizer, 10, *published.ticket_types)
    with pytest.raises(IntegrityError, match=f"ck_{table}_remaining"):
        await shop.execute(
            f"UPDATE {table} SET remaining = {remaining} WHERE event_id = :id", id=published.id
        )


@pytest.mark.parametrize(
    ("size", "guard"), [(11, "ck_ticket_types_remaining"), (10, "ck_quotas_remaining")]
)
async def test_taking_more_than_there_is_fails_whoever_forgot_to_look(
    shop: Shop, organizer: Organizer, size: int, guard: str
) -> None:
    [made] = (await shop.on_sale(organizer)).ticket_types
    quota = await shop.add_quota(organizer, 9, made)
    shelf = Shelf(
        [Stock(made.id, "n", 0, 11, 11, None, None)], {quota.id: 11}, {made.id: [quota.id]}
    )
    shelf.take(made.id, size)
    with pytest.raises(IntegrityError, match=guard):
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


async def test_a_seat_has_one_issued_ticket_by_a_unique_index(
    shop: Shop, organizer: Organizer
) -> None:
    theatre = await shop.theatre(organizer, "AA")
    [ticket, _] = await shop.issue((await shop.hold(theatre, 2)).id)
    again = """
        INSERT INTO tickets (id, code, state, event_id, organizer_id, ticket_type_id,
                             ticket_type_name, hold_id, order_id, number, holder_name, seat_id)
        SELECT id || 'x', code || 'X', state, event_id, organizer_id, ticket_type_id,
               ticket_type_name, hold_id, 'ord_other', number, holder_name, seat_id
        FROM tickets WHERE id = :id
    """
    with pytest.raises(IntegrityError, match="uq_tickets_event_id_seat_id"):
        await shop.execute(again, id=ticket.id)


# Who waits for whom.


async def take(tx: Transaction, of: event_pb2.Event, *quantities: int) -> None:
    """Hold so many tickets of each of the event's types in a transaction that goes on."""
    asked = [
        Asked((HoldRequest(kind.id, quantity),))
        for kind, quantity in zip(of.ticket_types, quantities, strict=False)
    ]
    placed = await placement.place(tx, Seatings(), of.id, asked, timedelta(minutes=15))
    assert not [each for each in placed if isinstance(each, Exception)]


async def test_buyers_wait_for_the_stock_that_others_take(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    async with shop.database.begin() as tx:
        await take(tx, published, 1)
        buyer = asyncio.create_task(outcome(shop.hold(published)))
        await wait_for_lock(shop, buyer)
    assert await buyer == "SOLD_OUT"


async def test_stock_shrinks_by_what_is_left_when_the_sale_lets_it(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 10})
    [kind] = published.ticket_types
    change = patch(
        event_service_pb2.UpdateTicketTypeRequest,
        event_id=published.id,
        ticket_type_id=kind.id,
        total_stock=5,
    )

    async def shrink() -> ticket_type_pb2.TicketType:
        return await shop.public.events.UpdateTicketType(change, metadata=organizer.admin)

    async with shop.database.begin() as tx:
        await take(tx, published, 4)
        shrinking = asyncio.create_task(shrink())
        await wait_for_lock(shop, shrinking)
    assert (await shrinking).remaining == 1


async def test_buyers_wait_for_the_limit_that_others_draw_on(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    await shop.add_quota(organizer, 1, *published.ticket_types)
    async with shop.database.begin() as tx:
        await take(tx, published, 1)
        buyer = asyncio.create_task(outcome(shop.hold(published, 0, 1)))
        await wait_for_lock(shop, buyer)
    assert await buyer == "SOLD_OUT"


async def test_what_is_locked_together_is_locked_in_id_order(
    shop: Shop, organizer: Organizer
) -> None:
    """Whoever locks in another order is waited for by who waits for him."""
    published = await shop.on_sale(organizer, {"name": "Early"}, {"name": "Regular"})
    types = [kind.id for kind in published.ticket_types]
    quotas = [(await shop.add_quota(organizer, 9, *published.ticket_types)).id for _ in "ab"]

    async def lock_all() -> None:
        async with shop.database.begin() as tx:
            # As the planner does with small tables: rows come as they lie there, if not sorted.
            for kind in ("indexscan", "bitmapscan", "indexonlyscan"):
                await tx.execute(text(f"SET LOCAL enable_{kind} = off"))
            await store.lock_shelf(tx, published.id, types)

    for table, (first, second) in (("ticket_types", types), ("quotas", quotas)):
        await put_behind(shop, table, first, second)
        locked = text(f"SELECT id FROM {table} WHERE id = :id FOR NO KEY UPDATE SKIP LOCKED")
        async with shop.database.begin() as tx:
            await tx.execute(locked, {"id": second})
            locking = asyncio.create_task(lock_all())
            await wait_for_lock(shop, locking)
            assert (await tx.execute(locked, {"id": first})).all() == [], table
        await locking


async def put_behind(shop: Shop, table: str, first: str, second: str) -> None:
    """Make the first row lie behind the second: a new version lies where there is room."""
    order = f"SELECT id FROM {table} WHERE id IN (:first, :second) ORDER BY ctid DESC"
    while (await shop.execute(order, first=first, second=second))[0].id != first:
        await shop.execute(f"UPDATE {table} SET version = version WHERE id = :id", id=first)


async def test_who_pays_does_not_wait_for_those_who_buy(shop: Shop, organizer: Organizer) -> None:
    published = await shop.on_sale(organizer)
    await shop.add_quota(organizer, 9, *published.ticket_types)
    held = await shop.hold(published)
    async with shop.database.begin() as tx:
        await take(tx, published, 1)
        assert len(await shop.issue(held.id)) == 1


async def test_nothing_is_sold_of_what_is_being_called_off(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    async with shop.database.begin() as tx:
        event = await catalog_store.lock_event(tx, published.id)
        assert event
        await catalog_store.lock_ticket_types(tx, published.id)
        await catalog_store.update_event(tx, replace(event, state=EventState.CANCELLED))
        buyer = asyncio.create_task(outcome(shop.hold(published)))
        await wait_for_lock(shop, buyer)
    assert await buyer == "EVENT_NOT_ON_SALE"


async def test_a_hold_that_is_being_released_is_bought_from_what_is_left(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 2})
    held = await shop.hold(published, 2)
    async with shop.database.begin() as tx:
        released = await hold_store.lock_holds(tx, [held.id])
        await hold_store.move(tx, [held.id], HoldState.RELEASED)
        await shop.offers.put_back(tx, domain.freed(released.values()))
        buyer = asyncio.create_task(outcome(shop.issue(held.id)))
        await wait_for_lock(shop, buyer)
    assert await buyer == "OK"
    assert await shop.remaining(published.id) == [0]


async def buy(tx: Transaction, held: hold_pb2.Hold, organizer: Organizer) -> None:
    """Make a hold of one ticket an order's in a transaction that goes on."""
    order_id = new_order_id()
    await hold_store.lock_holds(tx, [held.id])
    await hold_store.give_to_orders(tx, {held.id: order_id}, HoldState.CONVERTED)
    ticket = {
        "id": f"tkt_{held.id}",
        "code": order_id,
        "state": TicketState.ISSUED,
        "event_id": held.event_id,
        "organizer_id": organizer.id,
        "ticket_type_id": held.items[0].ticket_type_id,
        "ticket_type_name": "n",
        "hold_id": held.id,
        "order_id": order_id,
        "number": 1,
        "holder_name": "Ada Lovelace",
    }
    await ticket_store.insert_tickets(tx, [ticket])


async def test_a_hold_that_is_being_bought_is_not_released(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held = await shop.hold(published)
    async with shop.database.begin() as tx:
        await buy(tx, held, organizer)
        releasing = asyncio.create_task(outcome(shop.release(held.id)))
        await wait_for_lock(shop, releasing)
    assert await releasing == "HOLD_CONVERTED"
    assert await shop.remaining(published.id) == [9]


async def test_a_hold_that_is_being_bought_does_not_expire_nor_hold_others_up(
    shop: Shop, organizer: Organizer
) -> None:
    published = await shop.on_sale(organizer)
    held, other = [await shop.hold(published, hasty=True) for _ in range(2)]

    async def other_is_gone() -> bool:
        await holds.expire_holds(shop.database, shop.offers)
        return await shop.hold_state(other.id) == "EXPIRED"

    async with shop.database.begin() as tx:
        await buy(tx, held, organizer)
        await eventually(other_is_gone)  # whose deadline was the later one
    assert await shop.hold_state(held.id) == "CONVERTED"
    assert await shop.remaining(published.id) == [9]


@pytest.mark.parametrize("gives_up", ["the hold", "the order"])
async def test_who_gives_up_an_offer_may_join_again(
    shop: Shop, organizer: Organizer, gives_up: str
) -> None:
    published = await shop.on_sale(organizer, {"total_stock": 1})
    [kind] = published.ticket_types
    first, grace = await shop.hold(published), customer()
    entry = await join(shop, published, customer=grace)
    await shop.release(first.id)
    offered = (await look(shop, entry.id)).hold_id

    async def give_up() -> None:
        if gives_up == "the hold":
            await shop.release(offered)
        else:
            await shop.take_back(new_order_id(), offered)

    async with shop.database.begin() as tx:
        # As joining begins; a deadlock, had the release touched the entry by now.
        await store.lock_shelf(tx, published.id, [kind.id])
        giving_up = asyncio.create_task(outcome(give_up()))
        await wait_for_lock(shop, giving_up)
        again = {
            "id": f"wle_{published.id}",
            "event_id": published.id,
            "ticket_type_id": kind.id,
            "quantity": 1,
            "email": grace.email,
            "full_name": grace.full_name,
        }
        assert await waitlist_store.insert_entry(tx, again) is None  # they still have the offer
    assert await giving_up == "OK"
    assert await states(shop, entry) == ["CANCELLED"]


async def test_who_pays_waits_for_those_who_choose_seats(shop: Shop, organizer: Organizer) -> None:
    theatre = await shop.theatre(organizer, "AAAA")
    held = await shop.hold(theatre, 2)
    async with shop.database.begin() as tx:
        await take(tx, theatre, 2)
        paying = asyncio.create_task(outcome(shop.issue(held.id)))
        await wait_for_lock(shop, paying)
    assert await paying == "OK"
    assert (await shop.seat_states(theatre.id)).states == "SSHH"
