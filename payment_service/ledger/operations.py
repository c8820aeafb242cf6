"""Reading the books."""

import asyncio
from collections.abc import Iterable, Sequence

from kit import csv_cells, paging
from kit.database import Database
from kit.rpc_client import MAX_MESSAGE_BYTES
from payment_service.ledger import store
from payment_service.ledger.domain import Balance, BookedEntry, Question, TooManyEntries

MAX_EXPORTED = 25_000
READ_AT_ONCE = 1000
MAX_EXPORTED_BYTES = MAX_MESSAGE_BYTES - 1024  # what one answer carries, less its envelope

_HEADER = (
    "booked_at",
    "transaction_id",
    "kind",
    "account",
    "amount",
    "currency_code",
    "event_id",
    "order_id",
    "ticket_type_id",
    "description",
)


async def balances(database: Database, question: Question) -> list[Balance]:
    """What the accounts have, by currency, then account."""
    async with database.begin() as tx:
        return await store.balances(tx, question)


async def list_entries(
    database: Database, question: Question, *, page_size: int, page_token: str
) -> tuple[Sequence[BookedEntry], str]:
    """A page of entries, newest first, and the next page's token."""
    size, asked = paging.page_size(page_size), repr(question)
    async with database.begin() as tx:
        found = await store.list_entries(
            tx, question, before=_position(paging.decode(page_token, asked, 2)), limit=size + 1
        )
    return paging.cut(found, size, asked, lambda row: (row.transaction_id, row.position))


async def export_entries(database: Database, question: Question) -> bytes:
    """The entries as CSV, oldest first.

    Raises:
        TooManyEntries: they are more than one answer carries.
    """
    found = await _read_all(database, question)
    document = await asyncio.to_thread(csv_cells.document, _HEADER, _rows(found))
    if len(document) > MAX_EXPORTED_BYTES:
        raise TooManyEntries
    return document


async def _read_all(database: Database, question: Question) -> list[BookedEntry]:
    """In parts, so that others have their turn in between."""
    found: list[BookedEntry] = []
    after = ("", 0)
    async with database.begin() as tx:
        while True:
            part = await store.export_entries(tx, question, after=after, limit=READ_AT_ONCE)
            found += part
            if len(found) > MAX_EXPORTED:
                raise TooManyEntries
            if len(part) < READ_AT_ONCE:
                return found
            after = part[-1].transaction_id, part[-1].position


def _position(key: Sequence[str] | None) -> tuple[str, int] | None:
    if key is None:
        return None
    if not (key[1].isascii() and key[1].isdigit() and len(key[1]) < 10):
        raise paging.InvalidPageToken.of("page_token")
    return key[0], int(key[1])


def _rows(found: Iterable[BookedEntry]) -> Iterable[Sequence[csv_cells.Cell]]:
    return (
        (
            row.booked_at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            row.transaction_id,
            row.kind,
            row.entry.account,
            csv_cells.amount(row.currency_code, row.entry.amount_minor),
            row.currency_code,
            row.event_id,
            row.order_id,
            row.entry.ticket_type_id,
            row.description,
        )
        for row in found
    )
