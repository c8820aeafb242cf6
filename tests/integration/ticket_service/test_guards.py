"""The database's own guards."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from tests.integration.ticket_service.support import Organizer, Shop
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
