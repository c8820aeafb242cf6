"""What an event and its ticket types are, and how they may change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from kit import money
from kit.errors import FailedPrecondition, InvalidArgument, NotFound
from kit.money import Money

MAX_TICKET_TYPES = 100
DEFAULT_MAX_PER_ORDER = 10


class EventNotFound(NotFound):
    """There is no such event."""


class TicketTypeNotFound(NotFound):
    """The event has no such ticket type."""


class InvalidEventTimes(InvalidArgument):
    """The event must end after it starts."""


class UnknownTimeZone(InvalidArgument):
    """This is not an IANA time zone such as Europe/Vienna."""


class InvalidSalesWindow(InvalidArgument):
    """Sales must end after they start."""


class CurrencyMismatch(InvalidArgument):
    """All amounts of an event must be in its currency."""


class EventIsFinal(FailedPrecondition):
    """The event is cancelled or has ended, and no longer changes."""


class EventNotPublished(FailedPrecondition):
    """Only a published event can be cancelled; delete the draft instead."""


class EventNotDraft(FailedPrecondition):
    """Only a draft can be deleted; cancel the event instead."""


class EventInUse(FailedPrecondition):
    """Tickets of this event are sold or held; cancel the event instead."""


class EventHasEnded(FailedPrecondition):
    """The event's end lies in the past."""


class EventWithoutTicketTypes(FailedPrecondition):
    """Add a ticket type before publishing."""


class CurrencyIsFixed(FailedPrecondition):
    """The currency cannot change once there are ticket types."""


class TooManyTicketTypes(FailedPrecondition):
    """An event has at most 100 ticket types."""


class TicketTypeInUse(FailedPrecondition):
    """Tickets of this type were held or sold; set its stock to what is sold instead."""


class StockBelowSold(FailedPrecondition):
    """More tickets than that are sold or held."""


class TicketTypeIsSeated(FailedPrecondition):
    """Its stock is its seats: block or unblock seats instead."""


class EventState(StrEnum):
    """Where an event is in its life."""

    DRAFT = "DRAFT"
    PUBLISHED = "PUBLISHED"
    CANCELLED = "CANCELLED"
    ENDED = "ENDED"


# A draft is never cancelled: whoever it was hidden from would see it then.
TRANSITIONS: Mapping[EventState, frozenset[EventState]] = {
    EventState.DRAFT: frozenset({EventState.PUBLISHED}),
    EventState.PUBLISHED: frozenset({EventState.DRAFT, EventState.CANCELLED, EventState.ENDED}),
    EventState.CANCELLED: frozenset(),
    EventState.ENDED: frozenset(),
}


# What those who have tickets are told of, when it changes.
ANNOUNCED = ("title", "location", "starts_at", "ends_at", "time_zone")


@dataclass(frozen=True, slots=True)
class BookingFee:
    """What is added to an order; the fee includes its tax. Rates are millionths.

    `per_ticket` is for each ticket that costs something, `ppm` the part of what tickets cost.
    """

    per_ticket: Money | None = None
    ppm: int = 0
    tax_ppm: int = 0

    @property
    def is_nothing(self) -> bool:
        return not self.ppm and not minor(self.per_ticket)


@dataclass(frozen=True, slots=True)
class CancellationPolicy:
    """Until when customers may give back what they paid for, and what is kept of each order."""

    until: datetime
    fee: Money | None = None
    fee_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A show that people buy tickets for. Times are UTC.

    Without a booking fee, orders cost what their tickets cost; without a cancellation policy,
    customers cancel nothing that they paid for.
    """

    id: str
    organizer_id: str
    state: EventState
    title: str
    description: str
    location: str
    starts_at: datetime
    ends_at: datetime
    time_zone: str
    currency_code: str
    version: int
    created_at: datetime
    updated_at: datetime
    booking_fee: BookingFee | None = None
    cancellation_policy: CancellationPolicy | None = None

    def __post_init__(self) -> None:
        if self.ends_at <= self.starts_at:
            raise InvalidEventTimes.of("ends_at")
        money.exponent(self.currency_code)
        check_time_zone(self.time_zone)
        if self.booking_fee:
            self._check(self.booking_fee.per_ticket, "booking_fee.per_ticket")
        if self.cancellation_policy:
            self._check(self.cancellation_policy.fee, "cancellation_policy.fee")

    def _check(self, amount: Money | None, field: str) -> None:
        if amount is not None:
            minor_in(self.currency_code, amount, field=field)


@dataclass(frozen=True, slots=True)
class TicketType:
    """One kind of ticket: its price in minor units, its stock and when it is sold.

    `remaining` is what is left of its own stock, and `quota_remaining` the least that one of its
    quotas leaves; None without quotas. A tax that is not included is added when it is ordered. A
    hidden one is seen by its admins, and opened to customers by vouchers.
    """

    id: str
    event_id: str
    name: str
    price_minor: int
    currency_code: str
    total_stock: int
    remaining: int
    sales_start: datetime | None
    sales_end: datetime | None
    max_per_order: int
    is_seated: bool
    version: int
    created_at: datetime
    updated_at: datetime
    quota_remaining: int | None = None
    tax_ppm: int = 0
    tax_included: bool = True
    is_hidden: bool = False

    def __post_init__(self) -> None:
        if self.sales_start and self.sales_end and self.sales_end <= self.sales_start:
            raise InvalidSalesWindow.of("sales_end")

    @property
    def taken(self) -> int:
        """How many are sold or held."""
        return self.total_stock - self.remaining

    @property
    def available(self) -> int:
        """How many can be had now."""
        if self.quota_remaining is None:
            return self.remaining
        return min(self.remaining, self.quota_remaining)


def check_time_zone(name: str) -> None:
    """Raise UnknownTimeZone unless the IANA database knows the zone."""
    if name not in _time_zones():
        raise UnknownTimeZone.of("time_zone")


@cache
def _time_zones() -> frozenset[str]:
    # What some systems call their own zone is a file beside the others, and no zone's name.
    return frozenset(available_timezones() - {"localtime"})


def move(event: Event, state: EventState) -> Event:
    """The event in another state; the same event when it is there already."""
    if event.state is state:
        return event
    if state in TRANSITIONS[event.state]:
        return replace(event, state=state)
    raise EventIsFinal if not TRANSITIONS[event.state] else EventNotPublished


def publish(event: Event, *, has_ticket_types: bool, now: datetime) -> Event:
    """Put a draft on sale."""
    published = move(event, EventState.PUBLISHED)
    if published is not event and not has_ticket_types:
        raise EventWithoutTicketTypes
    if published is not event and event.ends_at <= now:
        raise EventHasEnded
    return published


def unpublish(event: Event, *, in_use: bool) -> Event:
    """Take an event off sale, which nobody has a ticket or a hold for."""
    draft = move(event, EventState.DRAFT)
    if draft is not event and in_use:
        raise EventInUse
    return draft


def change(event: Event, changes: Mapping[str, Any], *, has_ticket_types: bool) -> Event:
    """The event with some fields changed."""
    check_changeable(event)
    if (
        has_ticket_types
        and changes.get("currency_code", event.currency_code) != event.currency_code
    ):
        raise CurrencyIsFixed
    return replace(event, **changes)


def announced_before(event: Event, changed: Event) -> dict[str, Any]:
    """What those who have tickets knew of an event and is no longer so, by field.

    Nothing unless the event is published: before, nobody has tickets.
    """
    if event.state is not EventState.PUBLISHED:
        return {}
    before = {name: getattr(event, name) for name in ANNOUNCED}
    return {name: value for name, value in before.items() if value != getattr(changed, name)}


def check_changeable(event: Event) -> None:
    """Raise EventIsFinal for an event that no longer changes."""
    if not TRANSITIONS[event.state]:
        raise EventIsFinal


def minor_in(currency_code: str, amount: Money, *, field: str) -> int:
    """The minor units of an amount that must be in the event's currency."""
    if amount.currency_code != currency_code:
        raise CurrencyMismatch.of(
            f"{field}.currency_code", f"The event's amounts are in {currency_code}."
        )
    return amount.minor


def minor(amount: Money | None) -> int:
    """The minor units of an amount, if there is one."""
    return amount.minor if amount else 0


def visible(ticket_types: Sequence[TicketType], *, sees_hidden: bool) -> Sequence[TicketType]:
    """Those of an event's ticket types that a caller may know of."""
    return [found for found in ticket_types if sees_hidden or not found.is_hidden]


def change_ticket_type(ticket_type: TicketType, changes: Mapping[str, Any]) -> TicketType:
    """The ticket type with some fields changed; what is sold and held stays taken."""
    taken = ticket_type.taken
    total_stock = changes.get("total_stock", ticket_type.total_stock)
    if ticket_type.is_seated and total_stock != ticket_type.total_stock:
        raise TicketTypeIsSeated
    if total_stock < taken:
        raise StockBelowSold(f"{taken} tickets of this type are sold or held.")
    return replace(ticket_type, **{**changes, "remaining": total_stock - taken})
