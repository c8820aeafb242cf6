"""Every SQL statement about vouchers and the orders that use them.

Who admits an order locks the voucher first, so that nobody else counts before the order is stored;
who gives a voucher back locks its order, and no voucher.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, select

from kit.database import Transaction
from payment_service.tables import orders, voucher_redemptions, vouchers
from payment_service.vouchers.domain import Uses, Voucher, VoucherUse

_redemptions = voucher_redemptions.c


async def find_voucher(
    tx: Transaction, organizer_id: str, code: str
) -> tuple[Voucher, datetime] | None:
    """The organizer's voucher with this code, which nobody deletes meanwhile, and the time."""
    query = (
        select(vouchers, func.now())
        .where(vouchers.c.organizer_id == organizer_id, vouchers.c.code == code)
        .with_for_update(read=True, key_share=True)
    )
    row = (await tx.execute(query)).first()
    if row is None:
        return None
    *values, now = row
    return Voucher(*values), now


async def lock_voucher(tx: Transaction, voucher_id: str) -> Voucher | None:
    """A voucher that nobody else changes, or counts the uses of, before the transaction ends."""
    query = select(vouchers).where(vouchers.c.id == voucher_id).with_for_update(key_share=True)
    row = (await tx.execute(query)).first()
    return Voucher(*row) if row else None


async def count_uses(tx: Transaction, voucher: Voucher, use: VoucherUse, email: str) -> Uses:
    """The orders that use a voucher, but for one that has the same hold."""
    same = select(orders.c.id).where(orders.c.hold_id == use.hold_id).scalar_subquery()
    query = select(
        func.count(),
        func.count().filter(_redemptions.customer_email == email),
        func.count().filter(_redemptions.event_id == use.event_id),
    ).where(_redemptions.voucher_id == voucher.id, _redemptions.order_id.is_distinct_from(same))
    return Uses(*(await tx.execute(query)).one())


async def insert_redemption(
    tx: Transaction, order_id: str, voucher_id: str, event_id: str, email: str
) -> None:
    """Note that an order uses a voucher."""
    await tx.execute(
        insert(voucher_redemptions).values(
            order_id=order_id, voucher_id=voucher_id, event_id=event_id, customer_email=email
        )
    )


async def delete_redemptions(tx: Transaction, order_ids: Sequence[str]) -> None:
    """Note that orders no longer use their vouchers, if they did."""
    used = voucher_redemptions.c.order_id.in_(order_ids)
    await tx.execute(delete(voucher_redemptions).where(used))
