"""A voucher's limits hold, however many want its last use at the same moment."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from kit.database import Database, service_url
from kit.errors import TesseraError
from kit.ids import new_id
from payment_service.vouchers import redemptions
from payment_service.vouchers.domain import Voucher, VoucherUse
from tests.integration.payment_service.support import Shop
from tests.integration.payment_service.test_vouchers import change, delete, get, make
from tests.integration.ticket_service.support import outcome
from tests.support.invariants import broken_invariants

MANY = 20


@pytest.fixture
async def database(shop: Shop) -> AsyncIterator[Database]:
    """As many connections as there are customers, all of them open: who is first is a race."""
    url = service_url(shop.installation.database_url, "payment")
    database, everybody = Database(url, pool_size=MANY), asyncio.Barrier(MANY)

    async def connect() -> None:
        async with database.begin():
            await everybody.wait()

    await asyncio.gather(*(connect() for _ in range(MANY)))
    yield database
    await database.close()


@pytest.fixture
def use(shop: Shop) -> VoucherUse:
    return VoucherUse(
        organizer_id=shop.organizer_id,
        event_id=f"evt_{uuid.uuid4().hex}",
        code="SPRING",
        customer_email="grace@customer.example",
        currency_code="EUR",
        ticket_type_ids=("tt_1",),
        hidden_type_ids=(),
    )


def others(use: VoucherUse) -> list[VoucherUse]:
    """Many customers who want the same."""
    return [replace(use, customer_email=f"{number}@customer.example") for number in range(MANY)]


async def order(database: Database, use: VoucherUse) -> str:
    """Open an order with a voucher, as far as that matters here; answers its id."""
    order_id = new_id("ord")
    async with database.begin() as tx:
        voucher = await redemptions.admit(tx, use)
        await tx.execute(
            text("""
                INSERT INTO orders (id, code, state, event_id, organizer_id, hold_id, currency_code,
                    total_minor, customer_email, customer_name, customer_phone, fulfilment,
                    fingerprint, expires_at, voucher_id)
                VALUES (:id, :id, 'PENDING', :event_id, :organizer_id, :hold_id, 'EUR',
                    0, :email, 'Grace Hopper', '', 'NONE', '', now() + interval '1 day', :voucher)
            """),
            {
                "id": order_id,
                "event_id": use.event_id,
                "organizer_id": use.organizer_id,
                "hold_id": use.hold_id or new_id("hold"),
                "email": use.customer_email,
                "voucher": voucher.id,
            },
        )
        await redemptions.record(tx, voucher, order_id, use)
    return order_id


async def give_back(database: Database, order_id: str) -> None:
    async with database.begin() as tx:
        cancelled = text("UPDATE orders SET state = 'CANCELLED' WHERE id = :id")
        await tx.execute(cancelled, {"id": order_id})
        await redemptions.give_back(tx, order_id)


async def outcomes(database: Database, uses: list[VoucherUse]) -> Counter[str]:
    """What became of orders that are made at the same moment."""

    async def one(use: VoucherUse) -> str:
        try:
            await order(database, use)
        except TesseraError as error:
            return error.reason
        return "OK"

    return Counter(await asyncio.gather(*map(one, uses)))


async def redeemed(shop: Shop, of: Any) -> int:
    return (await get(shop, of)).redeemed


async def test_the_last_redemption_has_exactly_one_winner(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING", max_redemptions=1)
    assert await outcomes(database, others(use)) == {"OK": 1, "VOUCHER_EXHAUSTED": MANY - 1}
    assert await redeemed(shop, made) == 1


async def test_so_many_win_as_there_are_redemptions(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING", max_redemptions=7)
    assert await outcomes(database, others(use)) == {"OK": 7, "VOUCHER_EXHAUSTED": MANY - 7}
    assert await redeemed(shop, made) == 7


async def test_a_customer_is_the_same_in_whatever_case_the_address_is_written(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    await make(shop, code="SPRING", max_per_customer=2)
    address = use.customer_email
    cases = [str.upper, str.lower, str.title, str.swapcase]
    uses = [replace(use, customer_email=cases[each % 4](address)) for each in range(MANY)]
    assert await outcomes(database, uses) == {"OK": 2, "VOUCHER_EXHAUSTED": MANY - 2}
    assert await outcomes(database, others(use)) == {"OK": MANY}


async def test_each_event_has_its_own_share(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING", max_per_event=3, max_redemptions=5)
    uses = others(use)
    assert await outcomes(database, uses) == {"OK": 3, "VOUCHER_EXHAUSTED": MANY - 3}
    elsewhere = [replace(each, event_id="evt_other") for each in uses]
    assert await outcomes(database, elsewhere) == {"OK": 2, "VOUCHER_EXHAUSTED": MANY - 2}
    assert await redeemed(shop, made) == 5


async def test_what_is_given_back_is_there_for_the_next(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING", max_redemptions=1, max_per_customer=1)
    first = await order(database, use)
    assert await outcomes(database, others(use)) == {"VOUCHER_EXHAUSTED": MANY}
    for _ in "twice":  # which is the same as once
        await give_back(database, first)
    assert await redeemed(shop, made) == 0
    assert await outcomes(database, [use] * MANY) == {"OK": 1, "VOUCHER_EXHAUSTED": MANY - 1}


async def test_orders_with_a_voucher_without_limits_do_not_wait_for_each_other(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING")
    opened = asyncio.Barrier(MANY)

    async def one() -> None:
        async with database.begin() as tx:
            voucher = await redemptions.admit(tx, use)
            await opened.wait()  # all of them are admitted, and none has committed
        assert voucher.id == made.id

    async with asyncio.timeout(10):
        await asyncio.gather(*(one() for _ in range(MANY)))


async def test_the_same_order_asked_for_twice_at_once_has_one_use_and_is_not_refused(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    await make(shop, code="SPRING", max_redemptions=1)
    again = replace(use, hold_id=new_id("hold"))
    await order(database, again)
    async with database.begin() as tx:
        voucher = await redemptions.admit(tx, again)  # whose order then turns out to be there
        assert isinstance(voucher, Voucher)
    assert await outcomes(database, [use]) == {"VOUCHER_EXHAUSTED": 1}


async def test_a_limit_below_what_is_used_admits_nobody_else(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING")
    assert await outcomes(database, others(use)) == {"OK": MANY}
    changed = await change(shop, made, max_redemptions=3)
    assert (changed.redeemed, changed.max_redemptions) == (MANY, 3)
    assert await outcomes(database, [use]) == {"VOUCHER_EXHAUSTED": 1}
    await change(shop, made, max_redemptions=MANY + 1)
    assert await outcomes(database, [use]) == {"OK": 1}


async def test_a_voucher_is_deleted_or_used_and_never_both(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    for _ in range(10):
        made = await make(shop, code="SPRING")
        deleted, used = await asyncio.gather(
            outcome(delete(shop, made)), outcomes(database, others(use))
        )
        if deleted == "OK":
            assert used == {"VOUCHER_NOT_FOUND": MANY}
        else:
            assert (deleted, used["OK"] > 0) == ("VOUCHER_IN_USE", True)
            assert await redeemed(shop, made) == used["OK"]
            break


async def test_a_voucher_that_was_used_once_stays_though_it_was_given_back(
    shop: Shop, database: Database, use: VoucherUse
) -> None:
    made = await make(shop, code="SPRING")
    await give_back(database, await order(database, use))
    assert await outcome(delete(shop, made)) == "VOUCHER_IN_USE"
    assert await redeemed(shop, made) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        "DELETE FROM voucher_redemptions WHERE order_id = :id",
        "UPDATE voucher_redemptions SET customer_email = 'another' WHERE order_id = :id",
        "UPDATE orders SET state = 'CANCELLED' WHERE id = :id",
        "UPDATE orders SET voucher_id = NULL WHERE id = :id",
    ],
)
async def test_an_order_that_does_not_count_as_it_should_is_seen(
    shop: Shop, database: Database, use: VoucherUse, spoil: str
) -> None:
    await make(shop, code="SPRING")
    order_id, url = await order(database, use), shop.installation.database_url
    await shop.installation.execute("payment", spoil, id=order_id)
    found = await broken_invariants(url, "payment")
    assert found
    assert all(order_id in each for each in found)
    await give_back(database, order_id)
