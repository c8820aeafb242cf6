"""Every SQL statement about the ledger."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    DateTime,
    Integer,
    Row,
    Select,
    Text,
    bindparam,
    func,
    insert,
    literal,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.sql.dml import ReturningInsert

from kit.database import Transaction as DatabaseTransaction
from kit.ids import new_id
from payment_service.ledger.domain import (
    Account,
    Balance,
    BookedEntry,
    Entry,
    Kind,
    Question,
    Transaction,
)
from payment_service.tables import ledger_entries, ledger_transactions

_transactions, _entries = ledger_transactions.c, ledger_entries.c
_TEXTS = ARRAY(Text)


async def book(tx: DatabaseTransaction, booked: Transaction) -> bool:
    """Book a transaction, once for its source; False when it was booked before."""
    return bool(await book_all(tx, [booked]))


async def book_all(tx: DatabaseTransaction, booked: Sequence[Transaction]) -> set[str]:
    """Book transactions in one statement, each once for its source; answers the sources booked now.

    Whoever books the same sources meanwhile waits: in the order of their names, so that nobody
    waits for each other.
    """
    values = book_values(booked)
    if not values["ids"]:
        return set()
    new = {row.transaction_id for row in await tx.execute(_BOOK, values)}
    return {
        source for key, source in zip(values["ids"], values["sources"], strict=True) if key in new
    }


def book_values(booked: Sequence[Transaction]) -> dict[str, list[Any]]:
    """What a statement with `book_if` is executed with, to book these transactions."""
    wanted = {each.source: each for each in booked if each.entries}
    made = [(new_id("ltx"), wanted[source]) for source in sorted(wanted)]
    lines = [
        (key, position, entry)
        for key, each in made
        for position, entry in enumerate(each.entries, start=1)
    ]
    return {
        "ids": [key for key, _ in made],
        "kinds": [each.kind.value for _, each in made],
        "sources": [each.source for _, each in made],
        "organizer_ids": [each.organizer_id for _, each in made],
        "event_ids": [each.event_id for _, each in made],
        "order_ids": [each.order_id for _, each in made],
        "voucher_ids": [each.voucher_id for _, each in made],
        "currency_codes": [each.currency_code for _, each in made],
        "descriptions": [each.description for _, each in made],
        "moments": [each.booked_at for _, each in made],
        "transaction_ids": [key for key, _, _ in lines],
        "positions": [position for _, position, _ in lines],
        "accounts": [entry.account.value for _, _, entry in lines],
        "ticket_type_ids": [entry.ticket_type_id for _, _, entry in lines],
        "amounts": [entry.amount_minor for _, _, entry in lines],
    }


def book_if(condition: ColumnElement[bool]) -> CTE:
    """For a statement that does something else as well: books its `book_values`, on a condition."""
    return _book(condition).cte("entries_booked")


async def balances(tx: DatabaseTransaction, question: Question) -> list[Balance]:
    """What the accounts have at the end of the question's period, by currency, then account."""
    within: ColumnElement[bool] = literal(value=True)
    if question.booked_from is not None:
        within = _transactions.booked_at >= question.booked_from
    total = func.sum(_entries.amount_minor)
    query = (
        select(
            _transactions.currency_code,
            _entries.account,
            total,
            func.coalesce(total.filter(within), 0),
        )
        .join(ledger_entries)
        .where(*_until(question))
        .group_by(_transactions.currency_code, _entries.account)
    )
    found = [
        Balance(row[0], Account(row[1]), int(row[2]), int(row[3]))
        for row in await tx.execute(query)
    ]
    order = list(Account)
    return sorted(found, key=lambda each: (each.currency_code, order.index(each.account)))


async def list_entries(
    tx: DatabaseTransaction, question: Question, *, before: tuple[str, int] | None, limit: int
) -> list[BookedEntry]:
    """Entries, newest first, from below a transaction's id and an entry's position."""
    query = _entries_of(question).order_by(_transactions.id.desc(), _entries.position.desc())
    if before:
        # The first part is what an index knows: the keys are in two tables.
        is_below = tuple_(_transactions.id, _entries.position) < tuple_(*before)
        query = query.where(_transactions.id <= before[0], is_below)
    return [_booked(row) for row in await tx.execute(query.limit(limit))]


async def export_entries(
    tx: DatabaseTransaction, question: Question, *, after: tuple[str, int], limit: int
) -> list[BookedEntry]:
    """Entries, oldest first, from above a transaction's id and an entry's position."""
    query = _entries_of(question).order_by(_transactions.id, _entries.position)
    beyond = tuple_(_transactions.id, _entries.position) > tuple_(*after)
    query = query.where(_transactions.id >= after[0], beyond)
    return [_booked(row) for row in await tx.execute(query.limit(limit))]


async def at_provider(
    tx: DatabaseTransaction, sources: Collection[str]
) -> dict[str, tuple[str, int]]:
    """Those of the sources that are booked: their currency, and what they moved at the provider."""
    moved = func.coalesce(
        func.sum(_entries.amount_minor).filter(_entries.account == Account.PROVIDER), 0
    )
    query = (
        select(_transactions.source, _transactions.currency_code, moved)
        .join(ledger_entries)
        .where(_transactions.source == func.any(bindparam("sources", type_=_TEXTS)))
        .group_by(_transactions.id)
    )
    found = await tx.execute(query, {"sources": list(sources)})
    return {row[0]: (row[1], int(row[2])) for row in found}


def _until(question: Question) -> list[ColumnElement[bool]]:
    """The question's conditions but the beginning of its period."""
    conditions = []
    if question.organizer_id:
        conditions.append(_transactions.organizer_id == question.organizer_id)
    if question.event_id:
        conditions.append(_transactions.event_id == question.event_id)
    if question.order_id:
        conditions.append(_transactions.order_id == question.order_id)
    if question.booked_before is not None:
        conditions.append(_transactions.booked_at < question.booked_before)
    return conditions


def _entries_of(question: Question) -> Select[Any]:
    query = select(ledger_entries, ledger_transactions).join(ledger_transactions)
    if question.booked_from is not None:
        query = query.where(_transactions.booked_at >= question.booked_from)
    return query.where(*_until(question))


def _booked(row: Row[Any]) -> BookedEntry:
    return BookedEntry(
        transaction_id=row.transaction_id,
        position=row.position,
        kind=Kind(row.kind),
        entry=Entry(Account(row.account), row.amount_minor, row.ticket_type_id),
        currency_code=row.currency_code,
        event_id=row.event_id,
        order_id=row.order_id,
        booked_at=row.booked_at,
        description=row.description,
    )


_GIVEN = (
    func.unnest(
        bindparam("ids", type_=_TEXTS),
        bindparam("kinds", type_=_TEXTS),
        bindparam("sources", type_=_TEXTS),
        bindparam("organizer_ids", type_=_TEXTS),
        bindparam("event_ids", type_=_TEXTS),
        bindparam("order_ids", type_=_TEXTS),
        bindparam("voucher_ids", type_=_TEXTS),
        bindparam("currency_codes", type_=_TEXTS),
        bindparam("descriptions", type_=_TEXTS),
        bindparam("moments", type_=ARRAY(DateTime(timezone=True))),
    )
    .table_valued(
        "id",
        "kind",
        "source",
        "organizer_id",
        "event_id",
        "order_id",
        "voucher_id",
        "currency_code",
        "description",
        "booked_at",
    )
    .render_derived(name="given")
)
_LINES = (
    func.unnest(
        bindparam("transaction_ids", type_=_TEXTS),
        bindparam("positions", type_=ARRAY(Integer)),
        bindparam("accounts", type_=_TEXTS),
        bindparam("ticket_type_ids", type_=_TEXTS),
        bindparam("amounts", type_=ARRAY(BigInteger)),
    )
    .table_valued("transaction_id", "position", "account", "ticket_type_id", "amount_minor")
    .render_derived(name="lines")
)


def _book(condition: ColumnElement[bool]) -> ReturningInsert[Any]:
    booked = (
        upsert(ledger_transactions)
        .from_select(
            [column.key for column in _GIVEN.c],
            select(
                *(column for column in _GIVEN.c if column is not _GIVEN.c.booked_at),
                func.coalesce(_GIVEN.c.booked_at, func.now()),
            ).where(condition),
        )
        .on_conflict_do_nothing(index_elements=["source"])
        .returning(_transactions.id)
        .cte("booked")
    )
    return (
        insert(ledger_entries)
        .from_select(
            [column.key for column in _LINES.c],
            select(_LINES).join(booked, booked.c.id == _LINES.c.transaction_id),
        )
        .returning(_entries.transaction_id)
    )


_BOOK = _book(true())
