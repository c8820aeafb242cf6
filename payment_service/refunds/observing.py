"""Storing Stripe's word on a refund, in somebody's transaction: a webhook's or an answer's."""

from kit.database import Transaction
from payment_service.refunds.domain import RefundReport


async def observe_refund(tx: Transaction, report: RefundReport) -> None:
    """Take a refund forwards to where Stripe says it is, if it is ours and news."""
