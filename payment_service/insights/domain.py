"""Sold, income, remaining and admitted of one event. Its money is sums of the ledger's entries.

A charge that no order keeps is owed back, and no part of the income: neither is what goes back of
it part of the refunds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from payment_service.ledger.domain import Account, Kind

# What customers paid for, by account. Takings are negative there.
_PAID_FOR = frozenset(
    {
        Account.TICKET_REVENUE,
        Account.BOOKING_FEES,
        Account.TAX,
        Account.CANCELLATION_FEES,
        Account.GOODWILL,
    }
)
_GIVEN_BACK = frozenset({Kind.REFUND, Kind.REFUND_FAILED})

_OF_A_DAY = _PAID_FOR | {Account.PROVIDER_FEES}

Moved = Mapping[Account, int]  # minor units, with the ledger's sign


@dataclass(frozen=True, slots=True)
class Income:
    """How the money is made up: `tickets` to `cancellation_fees` add up to the revenue."""

    charged_minor: int = 0
    refunded_minor: int = 0
    tickets_minor: int = 0
    booking_fees_minor: int = 0
    tax_minor: int = 0
    cancellation_fees_minor: int = 0
    provider_fees_minor: int = 0
    disputed_minor: int = 0

    @property
    def revenue_minor(self) -> int:
        return self.charged_minor - self.refunded_minor

    @property
    def net_minor(self) -> int:
        return self.revenue_minor - self.tax_minor - self.provider_fees_minor - self.disputed_minor


@dataclass(frozen=True, slots=True)
class Sales:
    """Tickets that were sold and not cancelled, and what they brought, in minor units."""

    sold: int = 0
    revenue_minor: int = 0
    net_minor: int = 0


@dataclass(frozen=True, slots=True)
class TicketTypeRow:
    """One ticket type's figures: with tax and without, but without booking fees."""

    ticket_type_id: str
    name: str
    sales: Sales
    remaining: int
    admitted: int


@dataclass(frozen=True, slots=True)
class DayRow:
    """One day's figures, by the event's clock; the date is YYYY-MM-DD.

    What is net here is also without what the provider took on that day.
    """

    date: str
    sales: Sales
    admitted: int


@dataclass(frozen=True, slots=True)
class VoucherRow:
    """What became of the orders that used one voucher."""

    voucher_id: str
    code: str = ""
    paid_orders: int = 0
    discount_minor: int = 0
    revenue_minor: int = 0


@dataclass(frozen=True, slots=True)
class Stock:
    """What ticket_service knows of a ticket type."""

    ticket_type_id: str
    name: str
    remaining: int
    admitted: int


@dataclass(frozen=True, slots=True)
class Books:
    """An event's entries, summed up in different ways; all of them are of the same entries."""

    by_kind: Mapping[Kind, Moved] = field(default_factory=dict)
    by_ticket_type: Mapping[str, Moved] = field(default_factory=dict)
    by_day: Mapping[str, Moved] = field(default_factory=dict)
    by_voucher: Mapping[str, Moved] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Insights:
    """All figures of an event."""

    event_id: str
    currency_code: str
    income: Income
    ticket_types: tuple[TicketTypeRow, ...]
    days: tuple[DayRow, ...]
    vouchers: tuple[VoucherRow, ...]
    holds: int
    paid_orders: int

    @property
    def sold(self) -> int:
        return sum(row.sales.sold for row in self.ticket_types)

    @property
    def remaining(self) -> int:
        return sum(row.remaining for row in self.ticket_types)

    @property
    def admitted(self) -> int:
        return sum(row.admitted for row in self.ticket_types)


def income(by_kind: Mapping[Kind, Moved]) -> Income:
    """What an event earned. What was given back as goodwill is taken off the tickets."""
    kinds = by_kind.items()
    back = (moved for kind, moved in kinds if kind in _GIVEN_BACK)
    paid = (moved for kind, moved in kinds if kind not in _GIVEN_BACK)
    total = {
        account: sum(moved.get(account, 0) for moved in by_kind.values()) for account in Account
    }
    return Income(
        charged_minor=sum(_revenue(moved) for moved in paid),
        refunded_minor=-sum(_revenue(moved) for moved in back),
        tickets_minor=-total[Account.TICKET_REVENUE] - total[Account.GOODWILL],
        booking_fees_minor=-total[Account.BOOKING_FEES],
        tax_minor=-total[Account.TAX],
        cancellation_fees_minor=-total[Account.CANCELLATION_FEES],
        provider_fees_minor=total[Account.PROVIDER_FEES],
        disputed_minor=total[Account.DISPUTED] + total[Account.DISPUTE_LOSSES],
    )


def ticket_types(
    stock: Iterable[Stock],
    sold: Mapping[str, int],
    names: Mapping[str, str],
    by_ticket_type: Mapping[str, Moved],
) -> tuple[TicketTypeRow, ...]:
    """The ticket types that there are, then those that were sold and are no more."""
    rows = {row.ticket_type_id: row for row in stock}
    gone = sorted({*sold, *(key for key in by_ticket_type if key)} - set(rows))
    rows |= {key: Stock(key, names.get(key, ""), 0, 0) for key in gone}
    return tuple(
        TicketTypeRow(
            key,
            row.name,
            _of_tickets(sold.get(key, 0), by_ticket_type.get(key, {})),
            row.remaining,
            row.admitted,
        )
        for key, row in rows.items()
    )


def days(
    sold: Mapping[str, int], by_day: Mapping[str, Moved], admitted: Mapping[str, int]
) -> tuple[DayRow, ...]:
    """The days on which something was sold, paid, given back or taken, or somebody came."""
    moved_on = {day for day, moved in by_day.items() if not _OF_A_DAY.isdisjoint(moved)}
    return tuple(
        DayRow(
            day,
            _of_day(sold.get(day, 0), by_day.get(day, {})),
            admitted.get(day, 0),
        )
        for day in sorted({*sold, *moved_on, *admitted})
    )


def vouchers(
    used: Iterable[VoucherRow], by_voucher: Mapping[str, Moved], limit: int
) -> tuple[VoucherRow, ...]:
    """The vouchers that paid orders used, those that most of them used first."""
    rows = [
        VoucherRow(
            row.voucher_id,
            row.code,
            row.paid_orders,
            row.discount_minor,
            _revenue(by_voucher.get(row.voucher_id, {})),
        )
        for row in used
    ]
    return tuple(sorted(rows, key=lambda row: (-row.paid_orders, row.code)))[:limit]


def _of_tickets(sold: int, moved: Moved) -> Sales:
    net = -moved.get(Account.TICKET_REVENUE, 0)
    return Sales(sold, net - moved.get(Account.TAX, 0), net)


def _of_day(sold: int, moved: Moved) -> Sales:
    revenue = _revenue(moved)
    net = revenue + moved.get(Account.TAX, 0) - moved.get(Account.PROVIDER_FEES, 0)
    return Sales(sold, revenue, net)


def _revenue(moved: Moved) -> int:
    return -sum(minor for account, minor in moved.items() if account in _PAID_FOR)
