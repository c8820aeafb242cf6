"""The books as admins read them."""

import asyncio
import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.payment.v1 import ledger_service_pb2

from payment_service.ledger import operations, store
from payment_service.ledger.domain import Account, Entry, Kind, Transaction
from tests.integration.payment_service.support import Shop
from tests.integration.ticket_service.support import refused

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def sale(shop: Shop, amount: int = 11_900, **fields: Any) -> Transaction:
    """A charge with tax, of an order that only the ledger knows."""
    tax = amount * 19 // 119
    values: dict[str, Any] = {
        "kind": Kind.CHARGE,
        "source": f"test:{uuid.uuid4().hex}",
        "organizer_id": shop.organizer_id,
        "event_id": "evt_1",
        "order_id": "ord_1",
        "currency_code": "EUR",
        "entries": (
            Entry(Account.PROVIDER, amount),
            Entry(Account.TICKET_REVENUE, tax - amount, "tt_1"),
            Entry(Account.TAX, -tax, "tt_1"),
        ),
        **fields,
    }
    return Transaction(**values)


async def book(shop: Shop, *booked: Transaction) -> None:
    async with shop.installation.database("payment").begin() as tx:
        await store.book_all(tx, booked)


async def balances(shop: Shop, **question: Any) -> dict[tuple[str, str], tuple[str, str]]:
    """What each account has and what moved, by currency and account."""
    request = ledger_service_pb2.GetLedgerBalancesRequest(**question)
    found = await shop.payments.ledger.GetLedgerBalances(request, metadata=shop.admin)
    return {
        (row.balance.currency_code, account(row.account)): (row.balance.amount, row.movement.amount)
        for row in found.balances
    }


async def entries(
    shop: Shop, by: Any = None, **question: Any
) -> list[ledger_service_pb2.LedgerEntry]:
    """All entries, page by page."""
    found: list[ledger_service_pb2.LedgerEntry] = []
    token = ""
    while True:
        request = ledger_service_pb2.ListLedgerEntriesRequest(page_token=token, **question)
        page = await shop.payments.ledger.ListLedgerEntries(request, metadata=by or shop.admin)
        assert len(page.entries) <= (request.page_size or 50)
        found += page.entries
        token = page.next_page_token
        if not token:
            return found


async def export(shop: Shop, **question: Any) -> Sequence[dict[str, str]]:
    request = ledger_service_pb2.ExportLedgerEntriesRequest(**question)
    body = await shop.payments.ledger.ExportLedgerEntries(request, metadata=shop.admin)
    assert body.content_type.startswith("text/csv")
    return list(csv.DictReader(io.StringIO(body.data.decode(), newline="")))


def account(number: int) -> str:
    name = ledger_service_pb2.LedgerAccount.Name(ledger_service_pb2.LedgerAccount.ValueType(number))
    return name.removeprefix("LEDGER_ACCOUNT_")


def at(moment: datetime) -> Timestamp:
    found = Timestamp()
    found.FromDatetime(moment)
    return found


async def test_balances_say_what_there_is_and_what_moved_in_the_period(shop: Shop) -> None:
    early = sale(shop, 11_900, booked_at=NOON - timedelta(days=1))
    inside = sale(shop, 23_800, booked_at=NOON)
    late = sale(shop, 119, booked_at=NOON + timedelta(days=1))
    yen = sale(shop, 119, currency_code="JPY", booked_at=NOON)
    await book(shop, early, inside, late, yen)
    found = await balances(shop, booked_from=at(NOON), booked_before=at(NOON + timedelta(days=1)))
    assert list(found.items()) == [
        (("EUR", "PROVIDER"), ("357.00", "238.00")),
        (("EUR", "TICKET_REVENUE"), ("-300.00", "-200.00")),
        (("EUR", "TAX"), ("-57.00", "-38.00")),
        (("JPY", "PROVIDER"), ("119", "119")),
        (("JPY", "TICKET_REVENUE"), ("-100", "-100")),
        (("JPY", "TAX"), ("-19", "-19")),
    ]
    assert (await balances(shop))["EUR", "PROVIDER"] == ("358.19", "358.19")
    assert await balances(shop, event_id="evt_2") == {}


async def test_entries_are_paged_newest_first_and_stable_under_writes(shop: Shop) -> None:
    sales = [sale(shop, 119 * number, order_id=f"ord_{number}") for number in range(1, 8)]
    for each in sales:
        await book(shop, each)
        await asyncio.sleep(0.002)  # ids sort by the millisecond they were made in
    first = await shop.payments.ledger.ListLedgerEntries(
        ledger_service_pb2.ListLedgerEntriesRequest(page_size=4), metadata=shop.admin
    )
    await book(shop, sale(shop))
    found = list(first.entries)
    token = first.next_page_token
    while token:
        request = ledger_service_pb2.ListLedgerEntriesRequest(page_size=4, page_token=token)
        page = await shop.payments.ledger.ListLedgerEntries(request, metadata=shop.admin)
        found += page.entries
        token = page.next_page_token
    assert [row.order_id for row in found] == [
        each.order_id for each in sales[::-1] for _ in each.entries
    ]
    assert [row.amount.amount for row in found[:3]] == ["-1.33", "-7.00", "8.33"]
    assert [account(row.account) for row in found[:3]] == ["TAX", "TICKET_REVENUE", "PROVIDER"]


async def test_entries_of_an_order_an_event_and_a_period(shop: Shop) -> None:
    await book(
        shop,
        sale(shop, order_id="ord_a", event_id="evt_a", booked_at=NOON),
        sale(shop, order_id="ord_b", event_id="evt_a", booked_at=NOON + timedelta(hours=1)),
        sale(shop, order_id="ord_c", event_id="evt_c", booked_at=NOON + timedelta(hours=2)),
    )

    async def orders(**question: Any) -> set[str]:
        return {row.order_id for row in await entries(shop, **question)}

    assert await orders() == {"ord_a", "ord_b", "ord_c"}
    assert await orders(order_id="ord_b") == {"ord_b"}
    assert await orders(event_id="evt_a") == {"ord_a", "ord_b"}
    assert await orders(booked_from=at(NOON + timedelta(hours=1))) == {"ord_b", "ord_c"}
    assert await orders(booked_before=at(NOON + timedelta(hours=1))) == {"ord_a"}


async def test_an_admin_sees_only_their_organizers_books_and_a_superadmin_all(shop: Shop) -> None:
    stranger = replace(shop, organizer_id=f"org_{uuid.uuid4().hex}")
    order_id = f"ord_{uuid.uuid4().hex}"
    await book(shop, sale(shop, order_id=order_id))
    assert await entries(stranger) == []
    assert await balances(stranger) == {}
    assert await export(stranger) == []
    assert await entries(stranger, order_id=order_id) == []
    root = shop.installation.issuer.metadata("", "SUPERADMIN")
    assert len(await entries(shop, root, order_id=order_id)) == 3


@pytest.mark.parametrize("role", ["STAFF"])
async def test_the_door_does_not_see_the_books(shop: Shop, role: str) -> None:
    staff = shop.installation.issuer.metadata(shop.organizer_id, role)
    with refused("ROLE_NOT_ALLOWED"):
        await entries(shop, staff)


@pytest.mark.parametrize("token", ["nonsense", "WyIxIiwgIjIiXQ=="])
async def test_page_tokens_of_other_lists_are_refused(shop: Shop, token: str) -> None:
    with refused("INVALID_PAGE_TOKEN"):
        request = ledger_service_pb2.ListLedgerEntriesRequest(page_token=token)
        await shop.payments.ledger.ListLedgerEntries(request, metadata=shop.admin)


async def test_a_page_token_is_for_one_question(shop: Shop) -> None:
    await book(shop, sale(shop))
    request = ledger_service_pb2.ListLedgerEntriesRequest(page_size=1)
    page = await shop.payments.ledger.ListLedgerEntries(request, metadata=shop.admin)
    with refused("INVALID_PAGE_TOKEN"):
        request.page_token = page.next_page_token
        request.event_id = "evt_1"
        await shop.payments.ledger.ListLedgerEntries(request, metadata=shop.admin)


async def test_export_has_every_entry_oldest_first_and_no_formula(shop: Shop) -> None:
    evil = '=HYPERLINK("http://evil.example","paid")'
    await book(shop, sale(shop, order_id="ord_1", booked_at=NOON, description=evil))
    await book(shop, sale(shop, order_id="ord_2", booked_at=NOON))
    rows = await export(shop)
    assert [row["order_id"] for row in rows] == ["ord_1"] * 3 + ["ord_2"] * 3
    assert rows[1] == {
        "booked_at": "2026-05-01T12:00:00.000000Z",
        "transaction_id": rows[0]["transaction_id"],
        "kind": "CHARGE",
        "account": "TICKET_REVENUE",
        "amount": "-100.00",
        "currency_code": "EUR",
        "event_id": "evt_1",
        "order_id": "ord_1",
        "ticket_type_id": "tt_1",
        "description": f"'{evil}",
    }
    assert await export(shop, booked_from=at(NOON + timedelta(seconds=1))) == []


async def test_export_of_more_than_one_answer_carries_is_refused(shop: Shop) -> None:
    pairs = 300
    wide = tuple(Entry(Account.PROVIDER, minor) for _ in range(pairs // 2) for minor in (1, -1))
    few = operations.MAX_EXPORTED // pairs
    await book(shop, *(sale(shop, entries=wide, booked_at=NOON) for _ in range(few)))
    assert len(await export(shop)) == few * pairs
    await book(shop, sale(shop, entries=wide, booked_at=NOON))
    with refused("TOO_MANY_ENTRIES"):
        await export(shop)


async def test_export_that_is_too_large_is_refused(shop: Shop) -> None:
    wide = tuple(Entry(Account.PROVIDER, minor) for _ in range(500) for minor in (1, -1))
    long = "ж" * 500
    size = operations.MAX_EXPORTED_BYTES // (len(wide) * 1000)
    await book(shop, *(sale(shop, entries=wide, description=long) for _ in range(size + 1)))
    with refused("TOO_MANY_ENTRIES"):
        await export(shop)
