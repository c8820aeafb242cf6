"""What a sale's documents show: plain facts, read elsewhere and rendered here."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Event:
    """A show. Times are aware, in UTC; `time_zone` is the IANA name people on site live by."""

    id: str
    version: int  # grows with every change
    title: str
    location: str
    starts_at: datetime
    ends_at: datetime | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class Previously:
    """What an event's change replaced; None where it stayed, or where there was nothing."""

    title: str | None
    location: str | None
    starts_at: datetime | None
    ends_at: datetime | None

    @property
    def says_something(self) -> bool:
        return any((self.title, self.location, self.starts_at, self.ends_at))


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Tickets of one type. Amounts are in major units of the order's currency.

    `unit_price` is as listed, with the tax or, unless it is included, without; `amount` is what is
    paid for the line, less its discount and with its tax.
    """

    ticket_type_name: str
    quantity: int
    unit_price: Decimal
    amount: Decimal
    tax_rate: str = "0"  # percent
    tax_included: bool = True
    tax: Decimal = _NOTHING

    @property
    def listed(self) -> Decimal:
        return self.quantity * self.unit_price


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """The tax at one rate (percent), and what it is on."""

    rate: str
    net: Decimal
    tax: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """What is bought. Amounts are in major units of `currency_code` (ISO 4217).

    What is listed, less `discount`, plus the tax that is not included, plus `booking_fee`, is
    `total`; `taxes` is all tax in it. `refunded` went back to the customer, or is on its way.
    """

    id: str
    code: str
    customer_name: str
    customer_email: str
    lines: tuple[OrderLine, ...]
    total: Decimal
    currency_code: str
    placed_at: datetime
    expires_at: datetime | None = None
    paid_at: datetime | None = None
    cancellable_until: datetime | None = None
    discount: Decimal = _NOTHING
    voucher_code: str = ""
    booking_fee: Decimal = _NOTHING
    taxes: tuple[TaxAmount, ...] = ()
    refunded: Decimal = _NOTHING
    cancel_reason: str = ""

    @property
    def ticket_count(self) -> int:
        return sum(line.quantity for line in self.lines)


class RefundOrigin(StrEnum):
    """Who wanted a refund."""

    ADMIN = "ADMIN"
    CUSTOMER = "CUSTOMER"
    EVENT_CANCELLED = "EVENT_CANCELLED"
    AUTOMATIC = "AUTOMATIC"
    PROVIDER = "PROVIDER"


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back, in major units of the order's currency, and why.

    `ticket_numbers` are the tickets that it took back, by their number in the order.
    """

    amount: Decimal
    origin: RefundOrigin
    reason: str  # an admin's words; may be empty
    ticket_numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one person sits, as the hall's own signs say it."""

    section: str
    row: str
    number: str


@dataclass(frozen=True, slots=True)
class Ticket:
    """One admission: number `number` of the `count` in its order; `code` is what the QR says."""

    code: str
    ticket_type_name: str
    holder_name: str
    price: Decimal
    number: int
    count: int
    seat: Seat | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Tickets of one type that are kept for somebody until `expires_at`.

    Amounts are in major units of `currency_code`. `url` is where to buy them; empty: nowhere known.
    """

    hold_id: str
    customer_name: str
    customer_email: str
    ticket_type_name: str
    quantity: int
    unit_price: Decimal
    total: Decimal
    currency_code: str
    seats: tuple[Seat, ...]
    expires_at: datetime
    url: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """The code that finds the orders of an address again, until `expires_at`."""

    email: str
    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail as it goes over the wire (RFC 5322, 7-bit), with its envelope's plain addresses."""

    sender: str
    recipient: str
    subject: str
    content: bytes
