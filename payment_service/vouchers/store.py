"""Every SQL statement about vouchers and the orders that use them.

Who admits an order locks the voucher first, so that nobody else counts before the order is stored;
who gives a voucher back locks its order, and no voucher.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from kit.database import Transaction
from payment_service.tables import orders, voucher_redemptions, vouchers
from payment_service.vouchers.domain import Standing, Uses, Voucher, VoucherUse

_redemptions = voucher_redemptions.c
_uses = (
    select(func.count())
    .where(_redemptions.voucher_id == vouchers.c.id)
    .select_from(voucher_redemptions)
    .correlate(vouchers)
)
# What an admin may change.
_CHANGEABLE = (
    "ticket_type_ids",
    "percentage_ppm",
    "currency_code",
    "amount_minor",
    "max_redemptions",
    "max_per_customer",
    "max_per_event",
    "valid_from",
    "valid_until",
)


async def insert_voucher(tx: Transaction, values: Mapping[str, Any]) -> Voucher | None:
    """A new voucher, at version 1; None when the organizer has one with its code."""
    made = upsert(vouchers).values(values).on_conflict_do_nothing().returning(vouchers)
    row = (await tx.execute(made)).first()
    return Voucher(*row) if row else None


async def get_voucher(tx: Transaction, voucher_id: str) -> Standing | None:
    """One voucher."""
    query = select(vouchers, _uses.scalar_subquery()).where(vouchers.c.id == voucher_id)
    row = (await tx.execute(query)).first()
    return Standing(Voucher(*row[:-1]), row[-1]) if row else None


async def list_vouchers(
    tx: Transaction,
    *,
    organizer_id: str,
    event_id: str,
    code: str,
    before: Sequence[str] | None,
    limit: int,
) -> list[Standing]:
    """Vouchers that the filters admit, newest first; empty filters admit all."""
    query = select(vouchers, _uses.scalar_subquery()).order_by(vouchers.c.id.desc()).limit(limit)
    if organizer_id:
        query = query.where(vouchers.c.organizer_id == organizer_id)
    if event_id:
        query = query.where(vouchers.c.event_id == event_id)
    if code:
        query = query.where(vouchers.c.code == code)
    if before:
        query = query.where(vouchers.c.id < before[0])
    return [Standing(Voucher(*row[:-1]), row[-1]) for row in await tx.execute(query)]


async def update_voucher(tx: Transaction, voucher: Voucher) -> None:
    """Store a changed voucher, whose row is locked, as its next version."""
    values = {name: getattr(voucher, name) for name in _CHANGEABLE}
    changed = (
        update(vouchers)
        .where(vouchers.c.id == voucher.id)
        .values(**values, version=vouchers.c.version + 1, updated_at=func.now())
    )
    await tx.execute(changed)


async def was_used(tx: Transaction, voucher_id: str) -> bool:
    """Whether any order was made with a voucher, even one that was given up."""
    query = select(
        or_(
            exists().where(_redemptions.voucher_id == voucher_id),
            exists().where(orders.c.voucher_id == voucher_id),
        )
    )
    return bool((await tx.execute(query)).scalar_one())


async def delete_voucher(tx: Transaction, voucher_id: str) -> None:
    """Remove a locked voucher that was never used."""
    await tx.execute(delete(vouchers).where(vouchers.c.id == voucher_id))


async def look_up(
    tx: Transaction, organizer_id: str, code: str, event_id: str
) -> tuple[Voucher, Uses, datetime] | None:
    """The organizer's voucher with this code, its uses, and the time; nothing is locked."""
    for_event = _uses.where(_redemptions.event_id == event_id)
    query = select(
        vouchers,
        # Where there is no limit, nobody counts.
        case((vouchers.c.max_redemptions.is_(None), 0), else_=_uses.scalar_subquery()),
        case(
            (vouchers.c.max_per_event.is_(None), 0),
            (vouchers.c.event_id.is_not(None), _uses.scalar_subquery()),
            else_=for_event.scalar_subquery(),
        ),
        func.now(),
    ).where(vouchers.c.organizer_id == organizer_id, vouchers.c.code == code)
    row = (await tx.execute(query)).first()
    if row is None:
        return None
    *values, in_all, of_event, now = row
    return Voucher(*values), Uses(in_all, of_event), now


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


async def lock_voucher(
    tx: Transaction, voucher_id: str, *, for_deletion: bool = False
) -> Voucher | None:
    """A voucher that nobody else changes, or counts the uses of, before the transaction ends.

    For its deletion, nobody finds it meanwhile either, to make an order with it.
    """
    query = select(vouchers).where(vouchers.c.id == voucher_id)
    query = query.with_for_update(key_share=not for_deletion)
    row = (await tx.execute(query)).first()
    return Voucher(*row) if row else None


async def count_uses(tx: Transaction, voucher: Voucher, use: VoucherUse, email: str) -> Uses | None:
    """The orders that use a voucher, as far as it has limits; None: this order is one of them.

    It is when an order is there with its hold, since the same request came twice at once.
    """

    def count(limit: int | None, *conditions: ColumnElement[bool]) -> ColumnElement[int]:
        if limit is None:
            return literal(0)
        counted = select(func.count()).where(_redemptions.voucher_id == voucher.id, *conditions)
        return counted.scalar_subquery()

    # All uses of one event's voucher are for that event, which its index need not know.
    of_event = [] if voucher.event_id else [_redemptions.event_id == use.event_id]
    query = select(
        count(voucher.max_redemptions),
        count(voucher.max_per_event, *of_event),
        count(voucher.max_per_customer, _redemptions.customer_email == email),
    ).where(~exists().where(orders.c.hold_id == use.hold_id))
    row = (await tx.execute(query)).first()
    return Uses(*row) if row else None


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
