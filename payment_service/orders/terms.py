"""What ticket_service says of a hold, as an order needs it: what is held, and on what terms."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tessera.ticket.v1 import event_pb2, hold_pb2, hold_service_pb2, ticket_type_pb2

from kit.clock import from_timestamp, now
from kit.proto_money import from_proto
from kit.rates import parse_percent
from payment_service.pricing.domain import BookingFee, Item


@dataclass(frozen=True, slots=True)
class Terms:
    """A hold and its event. Amounts are minor units, rates are in millionths."""

    hold_id: str
    event_id: str
    organizer_id: str
    currency_code: str
    expires_at: datetime
    items: tuple[Item, ...]
    hidden_type_ids: tuple[str, ...]
    booking_fee: BookingFee
    cancellable_until: datetime | None
    cancellation_fee_minor: int
    cancellation_fee_ppm: int


def read(held: hold_service_pb2.GetHoldForOrderResponse) -> Terms:
    """The terms of a hold."""
    hold, event, policy = held.hold, held.event, held.event.cancellation_policy
    types = {each.id: each for each in event.ticket_types}
    is_cancellable = event.HasField("cancellation_policy")
    return Terms(
        hold_id=hold.id,
        event_id=hold.event_id,
        organizer_id=event.organizer_id,
        currency_code=hold.total.currency_code,
        expires_at=from_timestamp(hold.expires_at),
        items=tuple(_item(item, types[item.ticket_type_id]) for item in hold.items),
        hidden_type_ids=tuple(each.id for each in event.ticket_types if each.is_hidden),
        booking_fee=_booking_fee(event.booking_fee),
        cancellable_until=from_timestamp(policy.until) if is_cancellable else None,
        cancellation_fee_minor=_minor(policy, "fee"),
        cancellation_fee_ppm=parse_percent(policy.fee_percentage, field="fee_percentage"),
    )


def is_live(hold: hold_pb2.Hold) -> bool:
    """Whether the hold can still be ordered."""
    return hold.state == hold_pb2.HOLD_STATE_ACTIVE and from_timestamp(hold.expires_at) > now()


def _item(item: hold_pb2.HoldItem, ticket_type: ticket_type_pb2.TicketType) -> Item:
    return Item(
        ticket_type_id=item.ticket_type_id,
        ticket_type_name=item.ticket_type_name,
        quantity=item.quantity,
        unit_price_minor=from_proto(item.unit_price, field="unit_price").minor,
        tax_ppm=parse_percent(ticket_type.tax_rate, field="tax_rate"),
        tax_included=ticket_type.tax_included,
    )


def _booking_fee(fee: event_pb2.BookingFee) -> BookingFee:
    return BookingFee(
        per_ticket_minor=_minor(fee, "per_ticket"),
        percentage_ppm=parse_percent(fee.percentage, field="percentage"),
        tax_ppm=parse_percent(fee.tax_rate, field="tax_rate"),
    )


def _minor(proto: Any, name: str) -> int:
    return from_proto(getattr(proto, name), field=name).minor if proto.HasField(name) else 0
