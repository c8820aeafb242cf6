"""Every SQL statement about the ledger."""

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction as DatabaseTransaction
from kit.ids import new_id
from payment_service.ledger.domain import Transaction
from payment_service.tables import ledger_entries, ledger_transactions


async def book(tx: DatabaseTransaction, booked: Transaction) -> bool:
    """Book a transaction, once for its source; False when it was booked before."""
    if not booked.entries:
        return False
    row = {
        "id": new_id("ltx"),
        "kind": booked.kind,
        "source": booked.source,
        "organizer_id": booked.organizer_id,
        "event_id": booked.event_id,
        "order_id": booked.order_id,
        "voucher_id": booked.voucher_id,
        "currency_code": booked.currency_code,
        "description": booked.description,
    }
    first = (
        upsert(ledger_transactions).values(row).on_conflict_do_nothing(index_elements=["source"])
    )
    made = await tx.execute(first.returning(ledger_transactions.c.id))
    if made.first() is None:
        return False
    await tx.execute(
        insert(ledger_entries),
        [
            {
                "transaction_id": row["id"],
                "position": position,
                "account": entry.account,
                "ticket_type_id": entry.ticket_type_id,
                "amount_minor": entry.amount_minor,
            }
            for position, entry in enumerate(booked.entries, start=1)
        ],
    )
    return True
