"""What a sale's documents show: plain facts, read elsewhere and rendered here."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Event:
    """A show. Times are aware, in UTC; `time_zone` is the IANA name people on site live by."""

    title: str
    location: str
    starts_at: datetime
    ends_at: datetime | None
    time_zone: str


@dataclass(frozen=True, slots=True)
class OrderLine:
    """Amounts are in major units of the order's currency."""

    ticket_type_name: str
    quantity: int
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Order:
    """What was paid for; `total` is in major units of `currency_code` (ISO 4217)."""

    code: str
    customer_name: str
    customer_email: str
    lines: tuple[OrderLine, ...]
    total: Decimal
    currency_code: str
    placed_at: datetime


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
class Mail:
    """A mail as it goes over the wire (RFC 5322, 7-bit), with its envelope's plain addresses."""

    sender: str
    recipient: str
    subject: str
    content: bytes
