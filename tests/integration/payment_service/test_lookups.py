"""Order lookups: a code by mail, and with it one's orders; and no way around the mail."""

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from tessera.payment.v1 import (
    order_lookup_service_pb2,
    order_lookup_service_pb2_grpc,
    order_pb2,
)
from tessera.ticket.v1 import event_pb2

from kit.clock import now, to_timestamp
from kit.rpc_errors import RemoteError
from payment_service.lookups import domain, store
from payment_service.lookups.codes import LookupCodes
from tests.integration.payment_service.support import Shop, opened_by
from tests.integration.ticket_service.support import eventually, outcome, refused

Lookup = order_lookup_service_pb2.OrderLookup
MANY = 20


def new_address() -> str:
    return f"{uuid.uuid4().hex}@customer.example"


async def ask(shop: Shop, email: str, key: str = "") -> Lookup:
    request = order_lookup_service_pb2.CreateOrderLookupRequest(email=email, idempotency_key=key)
    return await shop.payments.lookups.CreateOrderLookup(request)


async def redeem(shop: Shop, lookup_id: str, code: str, key: str = "") -> list[order_pb2.Order]:
    request = order_lookup_service_pb2.RedeemOrderLookupRequest(
        lookup_id=lookup_id, code=code, idempotency_key=key
    )
    return list((await shop.payments.lookups.RedeemOrderLookup(request)).orders)


async def mail(shop: Shop, lookup: Lookup) -> order_lookup_service_pb2.OrderLookupMail:
    """What notification_service is told to send."""
    channel = shop.installation.mesh("notification_service").channel("payment_service")
    stub = order_lookup_service_pb2_grpc.OrderLookupServiceStub(channel)
    request = order_lookup_service_pb2.GetOrderLookupMailRequest(lookup_id=lookup.id)
    return await stub.GetOrderLookupMail(request)


def announced(shop: Shop, *lookups: Lookup) -> list[str]:
    """Those of the lookups whose mail was asked for."""
    told = [getattr(message, "lookup_id", "") for message in shop.announced.others]
    return [lookup.id for lookup in lookups for each in told if each == lookup.id]


def code_of(shop: Shop, lookup_id: str) -> str:
    """The code that a mail would have, if there were one."""
    return LookupCodes(shop.installation.variables["TESSERA_SECRET_KEY"].encode()).code(lookup_id)


def wrong_code(shop: Shop, lookup_id: str) -> str:
    return f"{(int(code_of(shop, lookup_id)) + 1) % 1_000_000:06}"


async def customer(shop: Shop) -> tuple[str, order_pb2.Order]:
    """An address with one order."""
    email, event = new_address(), await shop.event()
    return email, await shop.order(await shop.hold(event), email=email)


async def age(shop: Shop, email: str, **time: float) -> None:
    """Let an address' lookups be that much older."""
    await shop.installation.execute(
        "payment",
        """
        UPDATE order_lookups SET created_at = created_at - CAST(:time AS interval),
               expires_at = expires_at - CAST(:time AS interval)
        WHERE email = :email
        """,
        time=timedelta(**time),
        email=email,
    )


async def test_the_code_from_the_mail_finds_the_orders_and_opens_each(shop: Shop) -> None:
    email, first = await customer(shop)
    second = await shop.order(await shop.hold(await shop.event()), email=email.upper())
    await customer(shop)
    lookup = await ask(shop, email)
    assert lookup.id.startswith("lookup_")
    left = lookup.expires_at.ToDatetime(UTC) - datetime.now(UTC)
    assert timedelta(minutes=9) < left <= timedelta(minutes=10)

    async def is_announced() -> bool:
        return announced(shop, lookup) == [lookup.id]

    await eventually(is_announced)
    sent = await mail(shop, lookup)
    assert sent.email == email.upper()  # as it was written last
    assert sent.expires_at == lookup.expires_at
    found = await redeem(shop, lookup.id, sent.code)
    assert [order.id for order in found] == [second.id, first.id]
    for order in found:
        assert (await shop.get(order)).code == order.code
        assert opened_by(order)


async def test_an_address_without_orders_is_answered_the_same_and_gets_no_mail(shop: Shop) -> None:
    email, _ = await customer(shop)
    unknown, known = await ask(shop, new_address()), await ask(shop, email)
    assert unknown.id.startswith("lookup_")
    assert unknown.HasField("expires_at")

    async def is_announced() -> bool:
        return announced(shop, unknown, known) == [known.id]

    await eventually(is_announced)
    with refused("ORDER_LOOKUP_NOT_FOUND"):
        await mail(shop, unknown)
    with refused("WRONG_CODE", field="code"):
        await redeem(shop, unknown.id, wrong_code(shop, unknown.id))
    assert await redeem(shop, unknown.id, code_of(shop, unknown.id)) == []


async def test_the_work_is_the_same_whether_or_not_there_are_orders(shop: Shop) -> None:
    email, _ = await customer(shop)
    engine = shop.installation.hosts["payment_service"].database._engine.sync_engine
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        if "order_lookups" in arguments[2] or "advisory" in arguments[2]:
            statements.append(arguments[2])

    async def traced(address: str) -> list[str]:
        statements.clear()
        await ask(shop, address)
        return list(statements)

    sqlalchemy_event.listen(engine, "before_cursor_execute", note)
    try:
        known, unknown = await traced(email), await traced(new_address())
    finally:
        sqlalchemy_event.remove(engine, "before_cursor_execute", note)
    assert len(known) == 3
    assert known == unknown


async def test_a_code_is_good_once(shop: Shop) -> None:
    email, order = await customer(shop)
    lookup = await ask(shop, email)
    code = (await mail(shop, lookup)).code
    outcomes = await asyncio.gather(
        *(outcome(redeem(shop, lookup.id, code)) for _ in range(5)),
    )
    assert Counter(outcomes) == {"OK": 1, "WRONG_CODE": 4}
    with refused("ORDER_LOOKUP_NOT_FOUND"):
        await mail(shop, lookup)
    assert order.id


async def test_five_wrong_codes_end_a_lookup_however_many_come_at_once(shop: Shop) -> None:
    email, _ = await customer(shop)
    lookup = await ask(shop, email)
    wrong = [
        f"{(int(code_of(shop, lookup.id)) + number) % 1_000_000:06}" for number in range(1, MANY)
    ]
    outcomes = await asyncio.gather(*(outcome(redeem(shop, lookup.id, code)) for code in wrong))
    assert set(outcomes) == {"WRONG_CODE"}
    find = "SELECT tries FROM order_lookups WHERE id = :id"
    assert await shop.installation.execute("payment", find, id=lookup.id) == [(5,)]
    with refused("WRONG_CODE"):
        await redeem(shop, lookup.id, code_of(shop, lookup.id))


async def test_the_fifth_try_may_be_the_right_one(shop: Shop) -> None:
    email, order = await customer(shop)
    lookup = await ask(shop, email)
    for _ in range(4):
        with refused("WRONG_CODE"):
            await redeem(shop, lookup.id, wrong_code(shop, lookup.id))
    (found,) = await redeem(shop, lookup.id, code_of(shop, lookup.id))
    assert found.id == order.id


async def test_a_code_is_good_for_ten_minutes(shop: Shop) -> None:
    email, _ = await customer(shop)
    lookup = await ask(shop, email)
    await age(shop, email, minutes=10)
    with refused("WRONG_CODE"):
        await redeem(shop, lookup.id, code_of(shop, lookup.id))
    with refused("ORDER_LOOKUP_NOT_FOUND"):
        await mail(shop, lookup)


async def test_what_is_wrong_with_a_code_is_not_said(shop: Shop) -> None:
    email, _ = await customer(shop)
    told = set()
    for lookup_id in ("lookup_0", (await ask(shop, email)).id):
        with pytest.raises(RemoteError) as caught:
            await redeem(shop, lookup_id, wrong_code(shop, lookup_id))
        told.add((caught.value.code, caught.value.reason, caught.value.message))
    assert len(told) == 1
    with refused("INVALID_REQUEST", field="code"):
        await redeem(shop, "lookup_0", "12345")


async def test_five_lookups_an_hour_are_good_for_an_address_and_the_rest_for_nothing(
    shop: Shop,
) -> None:
    email, order = await customer(shop)
    lookups = await asyncio.gather(*(ask(shop, email) for _ in range(MANY)))
    assert all(lookup.HasField("expires_at") for lookup in lookups)
    alive = [lookup for lookup in lookups if await outcome(mail(shop, lookup)) == "OK"]
    assert len(alive) == 5

    async def are_announced() -> bool:
        return sorted(announced(shop, *lookups)) == sorted(lookup.id for lookup in alive)

    await eventually(are_announced)
    dead = next(lookup for lookup in lookups if lookup not in alive)
    with refused("WRONG_CODE"):
        await redeem(shop, dead.id, code_of(shop, dead.id))
    (found,) = await redeem(shop, alive[0].id, code_of(shop, alive[0].id))
    assert found.id == order.id
    await age(shop, email, hours=1)
    assert await outcome(mail(shop, await ask(shop, email))) == "OK"


async def test_guessing_across_lookups_of_an_address_ends_for_the_day(shop: Shop) -> None:
    email, _ = await customer(shop)
    for _ in range(4):  # of five tries each
        lookup = await ask(shop, email)
        for _ in range(5):
            with refused("WRONG_CODE"):
                await redeem(shop, lookup.id, wrong_code(shop, lookup.id))
        await age(shop, email, hours=2)
    assert await outcome(mail(shop, await ask(shop, email))) == "ORDER_LOOKUP_NOT_FOUND"
    await age(shop, email, hours=24)
    assert await outcome(mail(shop, await ask(shop, email))) == "OK"


async def of_strangers(shop: Shop, order: order_pb2.Order, count: int) -> None:
    """What anybody could have ordered since for the customer's address, and cancelled at once."""
    ordered = """
        WITH made AS (
            INSERT INTO orders (id, code, state, event_id, organizer_id, hold_id, currency_code,
                                total_minor, customer_email, customer_name, customer_phone,
                                fulfilment, fingerprint, expires_at)
            SELECT id || 'z' || n, code || n, 'CANCELLED', event_id, organizer_id, hold_id || n,
                   currency_code, total_minor, upper(customer_email), 'Eve', '', 'NONE', '', now()
            FROM orders, generate_series(1, :count) n WHERE id = :id
            RETURNING id
        )
        INSERT INTO order_lines (order_id, event_id, position, ticket_type_id, ticket_type_name,
                                 quantity, unit_price_minor)
        SELECT made.id, event_id, position, ticket_type_id, ticket_type_name,
               quantity, unit_price_minor
        FROM made, order_lines WHERE order_id = :id
    """
    await shop.installation.execute("payment", ordered, id=order.id, count=count)


async def test_a_paid_order_is_found_however_many_others_order_for_the_address(shop: Shop) -> None:
    email = new_address()
    order = await shop.order(await shop.hold(await shop.event(price="0.00")), email=email)
    await shop.becomes(order, "PAID")
    await of_strangers(shop, order, domain.MAX_ORDERS)
    lookup = await ask(shop, email)
    found = await redeem(shop, lookup.id, code_of(shop, lookup.id))
    assert len(found) == domain.MAX_ORDERS
    assert found[0].id == order.id


async def test_what_costs_a_stranger_less_comes_later(shop: Shop) -> None:
    email, terms = new_address(), {"until": to_timestamp(now() + timedelta(days=7))}
    priced = await shop.event(cancellation_policy=terms)
    free = await shop.event(price="0.00", cancellation_policy=terms)

    async def ordered(of: event_pb2.Event, ends_as: str) -> str:
        order = await shop.order(await shop.hold(of), email=email)
        is_paid = ends_as in ("PAID", "PAID, CANCELLED")
        if is_paid and order.HasField("payment"):
            await shop.pay(order)
        if is_paid:
            await shop.becomes(order, "PAID")
        if ends_as.endswith("CANCELLED"):
            await shop.cancel(order)
        return order.id

    wanted = [
        await ordered(priced, "PAID"),
        await ordered(priced, "PAID, CANCELLED"),
        await ordered(free, "PAID"),
        await ordered(free, "PAID, CANCELLED"),
        *reversed([await ordered(priced, "PENDING"), await ordered(priced, "PENDING")]),
        await ordered(priced, "CANCELLED"),
    ]
    for limit in (len(wanted), 1, 3):
        async with shop.installation.database("payment").begin() as tx:
            found = await store.find_orders(tx, email, limit)
        assert [order.id for order in found] == wanted[:limit]


async def test_the_same_keys_get_the_same_answers(shop: Shop) -> None:
    email, order = await customer(shop)
    key = uuid.uuid4().hex
    lookup = await ask(shop, email, key)
    assert await ask(shop, email, key) == lookup
    with refused("IDEMPOTENCY_KEY_REUSED"):
        await ask(shop, new_address(), key)
    count = "SELECT count(*) FROM order_lookups WHERE email = :email"
    assert await shop.installation.execute("payment", count, email=email) == [(1,)]
    key, code = uuid.uuid4().hex, code_of(shop, lookup.id)
    found = await redeem(shop, lookup.id, code, key)
    assert [each.id for each in found] == [order.id]
    assert await redeem(shop, lookup.id, code, key) == found
    with refused("WRONG_CODE"):
        await redeem(shop, lookup.id, code)


async def test_a_wrong_code_with_a_key_is_a_try_each_time(shop: Shop) -> None:
    email, _ = await customer(shop)
    lookup, key = await ask(shop, email), uuid.uuid4().hex
    for _ in range(5):
        with refused("WRONG_CODE"):
            await redeem(shop, lookup.id, wrong_code(shop, lookup.id), key)
    with refused("WRONG_CODE"):
        await redeem(shop, lookup.id, code_of(shop, lookup.id), key)


async def test_nobody_but_notification_service_reads_the_mail(shop: Shop) -> None:
    email, _ = await customer(shop)
    lookup = await ask(shop, email)
    request = order_lookup_service_pb2.GetOrderLookupMailRequest(lookup_id=lookup.id)
    with refused("SERVICE_NOT_ALLOWED"):
        await shop.payments.lookups.GetOrderLookupMail(request)


async def test_lookups_are_forgotten_when_they_count_no_more(shop: Shop) -> None:
    email = new_address()
    await ask(shop, email)
    await age(shop, email, hours=23)
    database, count = shop.installation.database("payment"), "SELECT count(*) FROM order_lookups"
    for hours, left in ((0, 1), (2, 0)):
        await age(shop, email, hours=hours)
        async with database.begin() as tx:
            await store.forget_old(tx)
        found = await shop.installation.execute(
            "payment", f"{count} WHERE email = :email", email=email
        )
        assert found == [(left,)]
