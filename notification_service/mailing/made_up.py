"""A made-up order for an event as it really is, for who wants to see what its mails look like."""

from collections.abc import Sequence
from datetime import timedelta

from tessera.payment.v1 import order_lookup_service_pb2, order_pb2, refund_pb2
from tessera.ticket.v1 import (
    event_pb2,
    hold_pb2,
    seat_pb2,
    ticket_pb2,
    ticket_type_pb2,
    waitlist_entry_pb2,
)

from kit import clock, money, rates
from kit.proto_money import from_proto, to_proto
from notification_service.notifications.domain import Kind, Notification, State

ORDER_ID = "ord_preview"
CUSTOMER = order_pb2.Customer(email="ada@example.org", full_name="Ada Lovelace")
_HOLD_ID = "hold_preview"
_TYPES_SHOWN = 2
_FIRST_QUANTITY = 2  # of the first type; of the others there is one
_SEATS = [("12", "13"), ("7",)]

_STATES = {
    Kind.PAYMENT_FAILED: order_pb2.ORDER_STATE_PENDING,
    Kind.ORDER_EXPIRED: order_pb2.ORDER_STATE_EXPIRED,
    Kind.ORDER_CANCELLED: order_pb2.ORDER_STATE_CANCELLED,
    Kind.EVENT_CANCELLED: order_pb2.ORDER_STATE_CANCELLED,
}
_UNPAID = (Kind.PAYMENT_FAILED, Kind.ORDER_EXPIRED)
_REFUNDED = (Kind.ORDER_CANCELLED, Kind.EVENT_CANCELLED)
_GIVEN = (Kind.TICKET_TRANSFERRED, Kind.TICKET_WITHDRAWN)


class MadeUp:
    """Sources of one mail of a kind. Everything about the event is as it says."""

    def __init__(self, event: event_pb2.Event, kind: Kind) -> None:
        self._event = event_pb2.Event()
        self._event.CopyFrom(event)
        if kind is not Kind.EVENT_CANCELLED:
            self._event.state = event_pb2.EVENT_STATE_PUBLISHED
        types = event.ticket_types[:_TYPES_SHOWN] or [_some_type(event)]
        self._lines = [
            _line(each, _FIRST_QUANTITY if position == 0 else 1)
            for position, each in enumerate(types)
        ]
        self._is_seated = [each.is_seated for each in types]
        self._order = _order(event, self._lines, kind)
        # Only who was given a ticket has it by their own address.
        self._holder_email = CUSTOMER.email if kind in _GIVEN else ""

    def notification(self, kind: Kind) -> Notification:
        """As if its message had come just now."""
        now, is_offer = clock.now(), kind is Kind.WAITLIST_OFFER
        before = clock.from_timestamp(self._event.starts_at) - timedelta(days=1)
        details = {
            Kind.PAYMENT_FAILED: {"decline_code": "insufficient_funds"},
            Kind.EVENT_CHANGED: {"previous_starts_at": before.isoformat()},
        }
        return Notification(
            id="ntf_preview",
            organizer_id=self._event.organizer_id,
            event_id=self._event.id,
            order_id="" if is_offer else ORDER_ID,
            waitlist_entry_id="wle_preview" if is_offer else "",
            subject_id="tkt_1" if kind in _GIVEN else "",
            details=details.get(kind, {}),
            kind=kind,
            state=State.PENDING,
            recipient="",
            subject="",
            attempts=1,
            resends=0,
            last_error="",
            created_at=now,
            queued_at=now,
            next_attempt_at=now,
            sent_at=None,
        )

    async def event(self, _event_id: str, _suits: object = None) -> event_pb2.Event:
        """See Sources."""
        return self._event

    async def order(self, _order_id: str) -> order_pb2.Order:
        """See Sources."""
        return self._order

    async def tickets(self, _order_id: str) -> Sequence[ticket_pb2.Ticket]:
        """See Sources."""
        tickets: list[ticket_pb2.Ticket] = []
        for position, line in enumerate(self._lines):
            for each in range(line.quantity):
                number = len(tickets) + 1
                ticket = ticket_pb2.Ticket(
                    id=f"tkt_{number}",
                    code=f"PREVIEW{number}",
                    number=number,
                    state=ticket_pb2.TICKET_STATE_ISSUED,
                    ticket_type_id=line.ticket_type_id,
                    ticket_type_name=line.ticket_type_name,
                    holder_name=CUSTOMER.full_name,
                    holder_email=self._holder_email,
                )
                if self._is_seated[position]:
                    ticket.seat.CopyFrom(_seat(_SEATS[position][each]))
                tickets.append(ticket)
        return tickets

    async def refund(self, _order_id: str, _refund_id: str) -> refund_pb2.Refund:
        """See Sources."""
        line = self._lines[0]
        paid = from_proto(line.amount, field="amount")
        return refund_pb2.Refund(
            state=refund_pb2.REFUND_STATE_PENDING,
            origin=refund_pb2.REFUND_ORIGIN_ADMIN,
            amount=to_proto(paid.currency_code, paid.minor // line.quantity),
            reason="The view from this place is worse than we said.",
            ticket_numbers=[1],
        )

    async def hold(self, _hold_id: str) -> hold_pb2.Hold:
        """See Sources."""
        line = self._lines[0]
        amount = from_proto(line.unit_price, field="price").minor * line.quantity
        total = to_proto(self._event.currency_code, amount)
        item = hold_pb2.HoldItem(
            ticket_type_id=line.ticket_type_id,
            ticket_type_name=line.ticket_type_name,
            quantity=line.quantity,
            unit_price=line.unit_price,
            amount=total,
            seats=[_seat(number) for number in _SEATS[0]] if self._is_seated[0] else [],
        )
        return hold_pb2.Hold(
            id=_HOLD_ID,
            state=hold_pb2.HOLD_STATE_ACTIVE,
            items=[item],
            total=total,
            expires_at=clock.to_timestamp(clock.now() + timedelta(minutes=30)),
        )

    async def waitlist_entry(self, _entry_id: str) -> waitlist_entry_pb2.WaitlistEntry:
        """See Sources."""
        return waitlist_entry_pb2.WaitlistEntry(
            state=waitlist_entry_pb2.WAITLIST_ENTRY_STATE_OFFERED,
            hold_id=_HOLD_ID,
            customer=waitlist_entry_pb2.WaitlistCustomer(
                email=CUSTOMER.email, full_name=CUSTOMER.full_name
            ),
        )

    async def lookup_mail(self, _lookup_id: str) -> order_lookup_service_pb2.OrderLookupMail:
        """See Sources."""
        return order_lookup_service_pb2.OrderLookupMail(
            email=CUSTOMER.email,
            code="123456",
            expires_at=clock.to_timestamp(clock.now() + timedelta(minutes=10)),
        )


def _some_type(event: event_pb2.Event) -> ticket_type_pb2.TicketType:
    """What a draft without ticket types sells in its preview."""
    twenty = 20 * 10 ** money.exponent(event.currency_code)
    return ticket_type_pb2.TicketType(
        id="tt_preview", name="Admission", price=to_proto(event.currency_code, twenty)
    )


def _line(of: ticket_type_pb2.TicketType, quantity: int) -> order_pb2.OrderLine:
    price = from_proto(of.price, field="price")
    listed = price.minor * quantity
    ppm = rates.parse_percent(of.tax_rate, field="tax_rate")
    tax = _tax_within(listed, ppm) if of.tax_included else rates.part(listed, ppm)
    amount = listed if of.tax_included else listed + tax
    return order_pb2.OrderLine(
        ticket_type_id=of.id,
        ticket_type_name=of.name,
        quantity=quantity,
        unit_price=of.price,
        amount=to_proto(price.currency_code, amount),
        tax_rate=of.tax_rate,
        tax_included=of.tax_included,
        tax=to_proto(price.currency_code, tax),
    )


def _order(
    event: event_pb2.Event, lines: Sequence[order_pb2.OrderLine], kind: Kind
) -> order_pb2.Order:
    now, currency = clock.now(), event.currency_code
    fee, fee_ppm = _booking_fee(event, lines)
    taxed = [
        (rates.parse_percent(line.tax_rate, field="tax_rate"), _minor(line), _tax(line))
        for line in lines
    ]
    taxed.append((fee_ppm, fee, _tax_within(fee, fee_ppm)))
    total = to_proto(currency, sum(_minor(line) for line in lines) + fee)
    placed_at, expires_at = now - timedelta(minutes=10), now + timedelta(minutes=15)
    order = order_pb2.Order(
        id=ORDER_ID,
        code="PREVIEW1",
        state=_STATES.get(kind, order_pb2.ORDER_STATE_PAID),
        event_id=event.id,
        lines=lines,
        total=total,
        customer=CUSTOMER,
        created_at=clock.to_timestamp(placed_at),
        expires_at=clock.to_timestamp(expires_at),
        booking_fee=to_proto(currency, fee),
        taxes=[
            order_pb2.TaxAmount(
                rate=rates.format_percent(ppm),
                net=to_proto(currency, sum(a - t for p, a, t in taxed if p == ppm)),
                tax=to_proto(currency, sum(t for p, _, t in taxed if p == ppm)),
            )
            for ppm in sorted({ppm for ppm, _, _ in taxed if ppm}, reverse=True)
        ],
        refunded=total if kind in _REFUNDED else to_proto(currency, 0),
    )
    if kind not in _UNPAID:
        order.paid_at.CopyFrom(clock.timestamp(now))
    if event.HasField("cancellation_policy"):
        order.cancellable_until.CopyFrom(event.cancellation_policy.until)
    return order


def _booking_fee(event: event_pb2.Event, lines: Sequence[order_pb2.OrderLine]) -> tuple[int, int]:
    """The fee with its tax, and the rate of that."""
    fee = event.booking_fee
    amount = sum(_minor(line) for line in lines)
    paid_tickets = sum(line.quantity for line in lines if _minor(line))
    each = from_proto(fee.per_ticket, field="per_ticket").minor if fee.per_ticket.amount else 0
    percentage = rates.parse_percent(fee.percentage, field="percentage")
    fee_ppm = rates.parse_percent(fee.tax_rate, field="tax_rate")
    return each * paid_tickets + rates.part(amount, percentage), fee_ppm


def _tax_within(amount: int, ppm: int) -> int:
    """The tax that an amount includes, rounded half up."""
    whole = rates.WHOLE + ppm
    return (2 * amount * ppm + whole) // (2 * whole)


def _minor(line: order_pb2.OrderLine) -> int:
    return from_proto(line.amount, field="amount").minor


def _tax(line: order_pb2.OrderLine) -> int:
    return from_proto(line.tax, field="tax").minor


def _seat(number: str) -> seat_pb2.AssignedSeat:
    return seat_pb2.AssignedSeat(section="Stalls", row="4", number=number)
