"""What an order costs: lines, discount, booking fee and tax, which add up exactly.

All amounts are minor units of one currency. Tax is rounded once for each line, half up, and never
anywhere else: what customers pay is the sum of what each line says.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from kit.money import exponent
from kit.rates import WHOLE
from payment_service.orders.domain import Order, OrderLine

_WHOLE_UNITS = frozenset({"MGA"})  # ISO 4217 has two decimals, and nobody pays with them


@dataclass(frozen=True, slots=True)
class Item:
    """Some tickets of one type, as listed; the rate is in millionths."""

    ticket_type_id: str
    ticket_type_name: str
    quantity: int
    unit_price_minor: int
    tax_ppm: int = 0
    tax_included: bool = True

    @property
    def list_minor(self) -> int:
        return self.quantity * self.unit_price_minor


@dataclass(frozen=True, slots=True)
class BookingFee:
    """What is added to an order that costs something; it includes its own tax."""

    per_ticket_minor: int = 0
    percentage_ppm: int = 0
    tax_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What is asked for an order, and how it is made up."""

    lines: tuple[OrderLine, ...]
    booking_fee_minor: int = 0
    booking_fee_tax_minor: int = 0

    @property
    def total_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines) + self.booking_fee_minor

    @property
    def discount_minor(self) -> int:
        return sum(line.discount_minor for line in self.lines)


@dataclass(frozen=True, slots=True)
class TicketShare:
    """One ticket of an order, by its number, and what of its line's amount and tax is its own."""

    number: int
    ticket_type_id: str
    amount_minor: int
    tax_minor: int


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """All that is taxed at one rate: without the tax, and the tax."""

    tax_ppm: int
    net_minor: int
    tax_minor: int


def price(
    currency_code: str,
    items: Sequence[Item],
    booking_fee: BookingFee = BookingFee(),
    *,
    discount_minor: int = 0,
    discounted_type_ids: Collection[str] | None = None,
) -> Price:
    """The price of an order. The discount is shared by the lines of the types it is for.

    `discounted_type_ids` None: all of them. The discount is at most what these cost.
    """
    step = step_of(currency_code)
    weights = [
        item.list_minor
        if discounted_type_ids is None or item.ticket_type_id in discounted_type_ids
        else 0
        for item in items
    ]
    assert 0 <= discount_minor <= sum(weights), "a discount takes off no more than there is"
    fits = all(weight % step == 0 for weight in weights)
    discounts = shares(discount_minor, weights, step=step if fits else 1)
    lines = tuple(
        _line(item, discount, step) for item, discount in zip(items, discounts, strict=True)
    )
    fee = _fee(lines, booking_fee, step)
    return Price(lines, fee, included_tax(fee, booking_fee.tax_ppm))


def step_of(currency_code: str) -> int:
    """What amounts are multiples of, so that cards can be charged with them, and paid back.

    https://docs.stripe.com/currencies: three decimals end in a zero, ariary are whole.
    """
    if currency_code in _WHOLE_UNITS:
        return 100
    return 10 if exponent(currency_code) == 3 else 1


def shares(amount_minor: int, weights: Sequence[int], *, step: int = 1) -> list[int]:
    """An amount in parts, in proportion to the weights, by largest remainder.

    What is left of whole steps goes where the remainder is largest, first to the first. No part
    exceeds its weight as long as the amount does not exceed their sum, and all are whole steps.
    """
    total = sum(weights)
    if total == 0:
        assert amount_minor == 0, "nobody to share it"
        return [0] * len(weights)
    step = 1 if amount_minor % step else step
    units = amount_minor // step
    parts = [units * weight // total for weight in weights]
    neediest = sorted(range(len(weights)), key=lambda i: -(units * weights[i] % total))
    for index in neediest[: units - sum(parts)]:
        parts[index] += 1
    return [part * step for part in parts]


def included_tax(amount_minor: int, ppm: int) -> int:
    """How much of an amount is tax at this rate, rounded half up."""
    return _round(amount_minor * ppm, WHOLE + ppm)


def tickets_of(currency_code: str, lines: Iterable[OrderLine]) -> list[TicketShare]:
    """An order's tickets, numbered from 1 through its lines, as ticket_service numbers them."""
    tickets: list[TicketShare] = []
    for line in lines:
        amounts = shares(line.amount_minor, [1] * line.quantity, step=step_of(currency_code))
        taxes = shares(line.tax_minor, amounts)
        for amount, tax in zip(amounts, taxes, strict=True):
            tickets.append(TicketShare(len(tickets) + 1, line.ticket_type_id, amount, tax))
    return tickets


def taxes_of(order: Order) -> list[TaxAmount]:
    """An order's tax by rate, highest first; the booking fee's is among it."""
    found: dict[int, TaxAmount] = {}
    taxed = [(line.tax_ppm, line.amount_minor, line.tax_minor) for line in order.lines]
    taxed.append((order.booking_fee_tax_ppm, order.booking_fee_minor, order.booking_fee_tax_minor))
    for ppm, amount, tax in taxed:
        known = found.get(ppm, TaxAmount(ppm, 0, 0))
        found[ppm] = TaxAmount(ppm, known.net_minor + amount - tax, known.tax_minor + tax)
    shown = sorted(found.values(), key=lambda each: each.tax_ppm, reverse=True)
    return [each for each in shown if each.tax_ppm and each.net_minor + each.tax_minor]


def _line(item: Item, discount_minor: int, step: int) -> OrderLine:
    rest = item.list_minor - discount_minor
    if item.tax_included:
        tax = included_tax(rest, item.tax_ppm)
        amount = rest
    else:
        tax = _round(rest * item.tax_ppm, WHOLE, step)
        amount = rest + tax
    return OrderLine(
        ticket_type_id=item.ticket_type_id,
        ticket_type_name=item.ticket_type_name,
        quantity=item.quantity,
        unit_price_minor=item.unit_price_minor,
        amount_minor=amount,
        tax_minor=tax,
        discount_minor=discount_minor,
        tax_ppm=item.tax_ppm,
        tax_included=item.tax_included,
    )


def _fee(lines: Sequence[OrderLine], fee: BookingFee, step: int) -> int:
    """For the tickets that cost something, and none of an order that is free."""
    count = sum(line.quantity for line in lines if line.amount_minor)
    amount = sum(line.amount_minor for line in lines)
    return _round(count * fee.per_ticket_minor * WHOLE + amount * fee.percentage_ppm, WHOLE, step)


def _round(numerator: int, denominator: int, step: int = 1) -> int:
    """The multiple of `step` that is nearest to a fraction; halves go up."""
    return (2 * numerator + denominator * step) // (2 * denominator * step) * step
