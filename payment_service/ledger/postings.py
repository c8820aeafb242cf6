"""What is booked when money moves: one function for each reason, each pure.

A transaction's `source` is what makes it booked once: whoever learns of a movement first books it,
be it a webhook, the answer to a call of ours, or the reconciliation.
"""

from collections.abc import Iterable, Sequence

from payment_service.ledger.domain import (
    Account,
    Entry,
    Kind,
    Transaction,
    against_provider,
    reversed_entries,
)
from payment_service.orders.domain import Order
from payment_service.payments.domain import Payment

# What a refund takes back of an account: [account, ticket type or "", minor units].
Allocation = Sequence[Sequence[str | int]]


def charge_of_order(order: Order, payment_id: str) -> Transaction:
    """The payment that an order keeps: what its lines and booking fee brought, and their tax."""
    takings: list[Entry] = []
    for line in order.lines:
        revenue = line.amount_minor - line.tax_minor
        takings.append(Entry(Account.TICKET_REVENUE, -revenue, line.ticket_type_id))
        takings.append(Entry(Account.TAX, -line.tax_minor, line.ticket_type_id))
    fee_tax = order.booking_fee_tax_minor
    takings.append(Entry(Account.BOOKING_FEES, fee_tax - order.booking_fee_minor))
    takings.append(Entry(Account.TAX, -fee_tax))
    source = f"charge:{payment_id}"
    return _transaction(
        order, Kind.CHARGE, source, against_provider(takings), f"Order {order.code}"
    )


def charge_of_nobody(order: Order, payment: Payment) -> Transaction:
    """A charge that no order keeps, such as a second one for the same order: it is owed back."""
    owed = Entry(Account.UNALLOCATED, -payment.amount_minor)
    why = f"Not kept by order {order.code}"
    return _transaction(order, Kind.CHARGE, f"charge:{payment.id}", against_provider([owed]), why)


def provider_fee(
    order: Order, payment_id: str, fee_minor: int, currency_code: str = ""
) -> Transaction:
    """What the provider keeps of a charge.

    `currency_code` is the fee's own, where the provider pays out in another one than it charged.
    """
    return _fee(order, f"fee:{payment_id}", fee_minor, currency_code, f"Order {order.code}")


def refund(
    order: Order, refund_id: str, allocation: Allocation, description: str = ""
) -> Transaction:
    """What goes back to the customer, taken back of the accounts that it came in on."""
    taken_back = against_provider(allocated(allocation))
    return _transaction(order, Kind.REFUND, f"refund:{refund_id}", taken_back, description)


def refund_failed(
    order: Order, refund_id: str, allocation: Allocation, description: str = ""
) -> Transaction:
    """The bank sent a refund back: as if it had not been."""
    entries = reversed_entries(against_provider(allocated(allocation)))
    return _transaction(
        order, Kind.REFUND_FAILED, f"refund_failed:{refund_id}", entries, description
    )


def dispute_opened(
    order: Order, dispute_id: str, amount_minor: int, description: str = ""
) -> Transaction:
    """The bank has withdrawn the money, and decides."""
    return _transaction(
        order,
        Kind.DISPUTE_OPENED,
        f"dispute_opened:{dispute_id}",
        against_provider([Entry(Account.DISPUTED, amount_minor)]),
        description,
    )


def dispute_won(
    order: Order, dispute_id: str, amount_minor: int, description: str = ""
) -> Transaction:
    """The money is back."""
    return _transaction(
        order,
        Kind.DISPUTE_WON,
        f"dispute_won:{dispute_id}",
        against_provider([Entry(Account.DISPUTED, -amount_minor)]),
        description,
    )


def dispute_lost(
    order: Order,
    dispute_id: str,
    amount_minor: int,
    description: str = "",
    *,
    is_owed: bool = False,
) -> Transaction:
    """The money is gone for good; none moves at the provider, which has withdrawn it before.

    `is_owed`: it was no order's, and the customer has now got what was owed to them.
    """
    entries = (
        Entry(_lost_to(is_owed), amount_minor),
        Entry(Account.DISPUTED, -amount_minor),
    )
    return _transaction(
        order, Kind.DISPUTE_LOST, f"dispute_lost:{dispute_id}", entries, description
    )


def dispute_regained(
    order: Order,
    dispute_id: str,
    amount_minor: int,
    description: str = "",
    *,
    is_owed: bool = False,
) -> Transaction:
    """What was lost is won after all: undecided again, for the moment until that is booked."""
    entries = (
        Entry(Account.DISPUTED, amount_minor),
        Entry(_lost_to(is_owed), -amount_minor),
    )
    source = f"dispute_regained:{dispute_id}"
    return _transaction(order, Kind.CORRECTION, source, entries, description)


def dispute_fee(
    order: Order, dispute_id: str, fee_minor: int, currency_code: str = ""
) -> Transaction:
    """What the provider takes for handling a dispute."""
    source = f"dispute_fee:{dispute_id}"
    return _fee(order, source, fee_minor, currency_code, "Dispute")


def dispute_fee_returned(
    order: Order, dispute_id: str, fee_minor: int, currency_code: str = ""
) -> Transaction:
    """The part of a dispute's fee that the provider gives back once the dispute is won."""
    source = f"dispute_fee_returned:{dispute_id}"
    return _fee(order, source, -fee_minor, currency_code, "Dispute won")


def allocated(allocation: Allocation) -> Iterable[Entry]:
    """A refund's stored allocation as entries."""
    return [Entry(Account(str(of)), int(minor), str(about)) for of, about, minor in allocation]


def _lost_to(is_owed: bool) -> Account:
    return Account.UNALLOCATED if is_owed else Account.DISPUTE_LOSSES


def _fee(
    order: Order, source: str, fee_minor: int, currency_code: str, description: str
) -> Transaction:
    kept = against_provider([Entry(Account.PROVIDER_FEES, fee_minor)])
    return _transaction(order, Kind.PROVIDER_FEE, source, kept, description, currency_code)


def _transaction(
    order: Order,
    kind: Kind,
    source: str,
    entries: tuple[Entry, ...],
    description: str,
    currency_code: str = "",
) -> Transaction:
    return Transaction(
        kind=kind,
        source=source,
        organizer_id=order.organizer_id,
        event_id=order.event_id,
        order_id=order.id,
        voucher_id=order.voucher_id,
        currency_code=currency_code or order.currency_code,
        entries=entries,
        description=description,
    )
