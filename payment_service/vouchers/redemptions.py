"""Orders that use vouchers: part of the transactions in which orders are opened and given up.

To open one: `admit`, price the order with `domain.discount`, store it, and `record`, all in one
transaction.
"""

from kit.database import Transaction
from payment_service.vouchers import domain, store
from payment_service.vouchers.domain import Voucher, VoucherUse

__all__ = ["VoucherUse", "admit", "give_back", "record"]


async def admit(tx: Transaction, use: VoucherUse) -> Voucher:
    """The voucher that an order may use, kept from others until the transaction ends.

    Begins what must be one transaction with `record`, else two orders could share the last use.

    Raises:
        VoucherNotFound: the organizer has none with this code.
        VoucherNotApplicable: it is not for this event, these ticket types or this moment.
        VoucherRequired: it does not open a hidden ticket type that is ordered.
        VoucherExhausted: it was used as often as it may be.
    """
    found = await store.find_voucher(tx, use.organizer_id, domain.normal_code(use.code))
    if found is None:
        raise domain.VoucherNotFound
    voucher, now = found
    if voucher.is_limited:
        locked = await store.lock_voucher(tx, voucher.id)
        assert locked is not None, "nobody deletes what is found"
        voucher = locked
    domain.check_moment(voucher, now)
    domain.check_event(voucher, use.event_id)
    domain.check_currency(voucher, use.currency_code)
    domain.check_ticket_types(voucher, use)
    if voucher.is_limited:
        email = domain.normal_email(use.customer_email)
        uses = await store.count_uses(tx, voucher, use, email)
        if uses is not None:
            domain.check_limits(voucher, uses)
    return voucher


async def record(tx: Transaction, voucher: Voucher, order_id: str, use: VoucherUse) -> None:
    """Note that an order, stored in this transaction, uses the voucher that was admitted for it."""
    email = domain.normal_email(use.customer_email)
    await store.insert_redemption(tx, order_id, voucher.id, use.event_id, email)


async def give_back(tx: Transaction, *order_ids: str) -> None:
    """Let others use what locked orders no longer need; those without a voucher are left alone."""
    await store.delete_redemptions(tx, order_ids)
