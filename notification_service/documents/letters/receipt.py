"""The receipt: what was paid, when and where to be, and the tickets attached."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal

from notification_service.documents.calendars import calendar_entry
from notification_service.documents.domain import Event, Order, Ticket
from notification_service.documents.letter import Letter
from notification_service.documents.letters.phrases import (
    calendar_notes,
    event_words,
    hello,
    money_of,
    order_words,
    seats_of,
    short_title,
    tickets_pdf,
)
from notification_service.documents.wording import clean, format_deadline

STEPS = (
    "Each page of the attached PDF is one ticket with its own QR code.",
    "Show the code at the entrance, printed or on your screen.",
    "Each code admits one person, once. Keep it to yourself: whoever shows it first gets in.",
)


def write(event: Event, order: Order, tickets: Sequence[Ticket], locale: str = "en") -> Letter:
    """To who paid, with the tickets."""
    noun = "ticket" if len(tickets) == 1 else "tickets"
    until = order.cancellable_until
    words = {
        **event_words(event, locale),
        **order_words(event, order, locale),
        **price_words(order, locale),
        "tickets_noun": noun,
        "count": len(tickets),
        "seats": seats_of(tickets),
        "steps": STEPS,
        "cancellable_until": format_deadline(until, event.time_zone, locale) if until else "",
    }
    return Letter(
        "receipt",
        order.customer_name,
        order.customer_email,
        f"Your {noun} for {short_title(event)} (order {clean(order.code)})",
        label=f"YOUR {noun.upper()}",
        heading=clean(event.title),
        words=words,
        attachments=(
            tickets_pdf(event, order, tickets, locale),
            calendar_entry(event, order, calendar_notes(order, tickets)),
        ),
        greeting=hello(order.customer_name),
        language=locale,
    )


def price_words(order: Order, locale: str) -> Mapping[str, object]:
    """The bill: lines as listed, what comes off and on top, the total, and the tax that is in it.

    The rows add up to the total.
    """
    money = money_of(order, locale)
    off = f"Discount, voucher {clean(order.voucher_code)}" if order.voucher_code else "Discount"
    rows = [(off, f"\N{MINUS SIGN}{money(order.discount)}")] if order.discount else []
    rows += [(f"Tax, {rate}%", money(tax)) for rate, tax in _added_tax(order).items()]
    rows += [("Booking fee", money(order.booking_fee))] if order.booking_fee else []
    return {
        "lines": [
            {
                "name": clean(line.ticket_type_name),
                "quantity": line.quantity,
                "unit_price": money(line.unit_price),
                "amount": money(line.listed),
            }
            for line in order.lines
        ],
        "rows": [{"name": name, "amount": amount} for name, amount in rows],
        "total": money(order.total),
        "taxes": [
            {"rate": each.rate, "net": money(each.net), "tax": money(each.tax)}
            for each in order.taxes
            if each.tax
        ],
    }


def _added_tax(order: Order) -> Mapping[str, Decimal]:
    """The tax that is not in the listed prices, by rate."""
    added: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in order.lines:
        if line.tax and not line.tax_included:
            added[line.tax_rate] += line.tax
    return added
