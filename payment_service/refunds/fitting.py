"""Fitting the refunds that Stripe is yet to make into what is left of their payment."""

from collections.abc import Sequence

from kit.database import Transaction
from payment_service.orders import store as orders
from payment_service.refunds import domain, observing, store
from payment_service.refunds.domain import Refund, RefundReport


async def fit(
    tx: Transaction,
    refund: Refund,
    reason: str,
    made: Sequence[RefundReport],
    *,
    is_refused: bool,
) -> bool:
    """There is less than a refund is about: record those that Stripe `made`, fit in what waits.

    What waits may reserve what somebody gave back elsewhere, and keep that from being recorded. So
    all of it is fitted, the oldest first, and fails for this `reason` if there is nothing left for
    it; so does this one, if Stripe refused it, and not for want of money. Answers whether this one
    is still to be made, of less or as somebody else has changed it.
    """
    payment_id = refund.payment_id
    assert payment_id, "money goes back from a payment"
    await orders.get_order(tx, refund.order_id, lock=True)
    await store.lock_payments(tx, [payment_id])
    waiting = await store.lock_waiting(tx, payment_id)
    current = next((each for each in waiting if each.id == refund.id), None)
    if current is None or current.key_number != refund.key_number:
        return current is not None
    ours = {report.refund_id for report in made}
    unmade = [each for each in waiting if each.id not in ours]
    await store.reserve(tx, payment_id, -sum(each.amount_minor for each in unmade))
    for report in made:
        await observing.observe_refund(tx, report)
    left = await store.get_left(tx, payment_id)
    known = await store.list_refunds(tx, refund.order_id)
    offset = domain.regained(each for each in known if each.payment_id == payment_id)
    lost = max(await store.get_lost(tx, payment_id) - offset, 0)
    is_to_be_made = False
    for each in unmade:
        most = domain.payable(each.currency_code, min(left, each.amount_minor))
        if each is current and is_refused and most == each.amount_minor:
            most = 0
        fitted = domain.resized(each, most, lost)
        await _store(tx, each, fitted, reason)
        left -= most
        lost -= domain.regained([fitted]) - domain.regained([each])
        is_to_be_made |= each is current and most > 0
    return is_to_be_made


async def _store(tx: Transaction, refund: Refund, fitted: Refund, reason: str) -> None:
    """Have a locked refund, for which nothing is reserved, be what was fitted."""
    assert refund.payment_id, "money goes back from a payment"
    if not fitted.amount_minor and refund.tickets_cancelled:
        await observing.refuse(tx, refund, reason)
        return
    if fitted.amount_minor < refund.amount_minor:
        await store.resize(tx, fitted)
    await store.reserve(tx, refund.payment_id, fitted.amount_minor)
