"""What a voucher is, whom it is for, and what it takes off."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from kit import rates
from kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound


class VoucherNotFound(NotFound):
    """There is no such voucher."""


class VoucherNotApplicable(FailedPrecondition):
    """The voucher is not for this event, these ticket types or this moment."""


class VoucherExhausted(FailedPrecondition):
    """The voucher was used as often as it may be."""


class VoucherRequired(FailedPrecondition):
    """These ticket types are only sold with a voucher that opens them."""


class VoucherCodeTaken(AlreadyExists):
    """The organizer has a voucher with this code."""


class VoucherInUse(FailedPrecondition):
    """Orders were made with this voucher; let its validity end instead."""


class InvalidVoucher(InvalidArgument):
    """The voucher contradicts itself."""


class EventNotFound(NotFound):
    """There is no such event."""


class TicketTypeNotFound(NotFound):
    """The event has no such ticket type."""


class CurrencyMismatch(InvalidArgument):
    """The amount must be in the event's currency."""


@dataclass(frozen=True, slots=True)
class Voucher:
    """A code, and what it does. A percentage in millionths, or an amount in minor units, or none.

    Without an event it is for all of the organizer's; without ticket types, for all that are not
    hidden.
    """

    id: str
    organizer_id: str
    code: str  # in upper case
    event_id: str | None
    ticket_type_ids: Sequence[str]
    percentage_ppm: int
    currency_code: str | None  # only with an amount
    amount_minor: int
    max_redemptions: int | None
    max_per_customer: int | None
    max_per_event: int | None
    valid_from: datetime | None
    valid_until: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime

    def __post_init__(self) -> None:
        if self.percentage_ppm and self.amount_minor:
            raise InvalidVoucher.of("amount", "A voucher has a percentage or an amount, not both.")
        if self.ticket_type_ids and not self.event_id:
            raise InvalidVoucher.of(
                "ticket_type_ids", "Only a voucher that is for one event names ticket types."
            )
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise InvalidVoucher.of("valid_until", "It must lie after valid_from.")

    @property
    def is_limited(self) -> bool:
        """Whether it matters who else uses it."""
        limits = (self.max_redemptions, self.max_per_customer, self.max_per_event)
        return any(limit is not None for limit in limits)

    def is_for(self, ticket_type_id: str, *, is_hidden: bool = False) -> bool:
        """Whether it is for tickets of this type. Hidden ones it must name."""
        return ticket_type_id in self.ticket_type_ids or not (self.ticket_type_ids or is_hidden)


@dataclass(frozen=True, slots=True)
class VoucherUse:
    """An order that is about to use a voucher. `hidden_type_ids` are some of its ticket types."""

    organizer_id: str
    event_id: str
    code: str
    customer_email: str
    currency_code: str
    ticket_type_ids: Collection[str]
    hidden_type_ids: Collection[str]
    # An order that was made with the same hold is this very order, asked for twice at once.
    hold_id: str = ""


@dataclass(frozen=True, slots=True)
class Uses:
    """How many orders use a voucher: in all, for one event, and of one customer if one is known."""

    in_all: int
    for_event: int
    of_customer: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """A voucher, and how many orders use it."""

    voucher: Voucher
    redeemed: int


def normal_code(code: str) -> str:
    """A code as it is stored, however it was typed."""
    return code.strip().upper()


def normal_email(email: str) -> str:
    """An address as customers are counted by."""
    return email.lower()


def check_moment(voucher: Voucher, now: datetime) -> None:
    """Raise VoucherNotApplicable before and after the time that a voucher is good for."""
    if voucher.valid_from and now < voucher.valid_from:
        raise VoucherNotApplicable("The voucher is not valid yet.")
    if voucher.valid_until and now >= voucher.valid_until:
        raise VoucherNotApplicable("The voucher is no longer valid.")


def check_event(voucher: Voucher, event_id: str) -> None:
    """Raise VoucherNotApplicable for another event than the voucher's."""
    if voucher.event_id not in (None, event_id):
        raise VoucherNotApplicable("The voucher is for another event.")


def check_currency(voucher: Voucher, currency_code: str) -> None:
    """Raise VoucherNotApplicable for prices in another currency than the voucher's."""
    if voucher.currency_code not in (None, currency_code):
        raise VoucherNotApplicable(f"The voucher is for prices in {voucher.currency_code}.")


def check_ticket_types(voucher: Voucher, use: VoucherUse) -> None:
    """Raise unless a voucher is for some of an order's ticket types, and opens the hidden ones.

    Raises:
        VoucherNotApplicable: it is for none of them.
        VoucherRequired: hidden ones are among them that it does not open.
    """
    check_opened(use.hidden_type_ids, voucher)
    if not any(map(voucher.is_for, use.ticket_type_ids)):
        raise VoucherNotApplicable("The voucher is for other ticket types.")


def check_opened(hidden_type_ids: Iterable[str], voucher: Voucher | None = None) -> None:
    """Raise VoucherRequired for hidden ticket types that no voucher opens."""
    opened = voucher.ticket_type_ids if voucher else ()
    if not set(hidden_type_ids) <= set(opened):
        raise VoucherRequired


def check_limits(voucher: Voucher, uses: Uses) -> None:
    """Raise VoucherExhausted when a voucher admits no further order.

    A limit may be below what is used: an admin lowered it.
    """
    if voucher.max_redemptions is not None and uses.in_all >= voucher.max_redemptions:
        raise VoucherExhausted
    if voucher.max_per_event is not None and uses.for_event >= voucher.max_per_event:
        raise VoucherExhausted("The voucher was used as often as it may be for this event.")
    if voucher.max_per_customer is not None and uses.of_customer >= voucher.max_per_customer:
        raise VoucherExhausted("The voucher was used as often as one customer may.")


def discount(voucher: Voucher, lines: Iterable[tuple[str, int]], *, step: int = 1) -> int:
    """What a voucher takes off lines, in minor units: never more than the lines it is for cost.

    `lines` are ticket types and list amounts. A percentage is taken of their sum, rounded half up.
    Where cards are charged in steps of more than one unit, it is no part of a step, unless nothing
    is left to charge.
    """
    cost = sum(amount for ticket_type_id, amount in lines if voucher.is_for(ticket_type_id))
    if voucher.amount_minor:
        off = min(voucher.amount_minor, cost)
    else:
        off = rates.part(cost, voucher.percentage_ppm)
    return off if off == cost else off - off % step


def check_fits(
    voucher: Voucher, organizer_id: str, currency_code: str, ticket_type_ids: Collection[str]
) -> None:
    """Raise unless the event that a voucher is for is its organizer's, and has what it names.

    Raises:
        EventNotFound, CurrencyMismatch, TicketTypeNotFound: what does not fit.
    """
    if voucher.organizer_id != organizer_id:
        raise EventNotFound
    if voucher.currency_code not in (None, currency_code):
        raise CurrencyMismatch.of(
            "amount.currency_code", f"The event's prices are in {currency_code}."
        )
    for ticket_type_id in voucher.ticket_type_ids:
        if ticket_type_id not in ticket_type_ids:
            raise TicketTypeNotFound(metadata={"ticket_type_id": ticket_type_id})


def change(voucher: Voucher, changes: Mapping[str, Any]) -> Voucher:
    """The voucher with some fields changed.

    Raises:
        InvalidVoucher: it would contradict itself.
    """
    return replace(voucher, **changes)
