"""An order as the contract shows it."""

from tessera.payment.v1 import order_pb2

from kit.clock import to_timestamp
from kit.proto_money import to_proto
from payment_service.orders.domain import Order


def order_proto(order: Order) -> order_pb2.Order:
    """An order as its admins see it."""
    return order_pb2.Order(
        id=order.id,
        code=order.code,
        state=order_pb2.OrderState.Value(f"ORDER_STATE_{order.state}"),
        event_id=order.event_id,
        organizer_id=order.organizer_id,
        hold_id=order.hold_id,
        lines=[
            order_pb2.OrderLine(
                ticket_type_id=line.ticket_type_id,
                ticket_type_name=line.ticket_type_name,
                quantity=line.quantity,
                unit_price=to_proto(order.currency_code, line.unit_price_minor),
                amount=to_proto(order.currency_code, line.amount_minor),
            )
            for line in order.lines
        ],
        total=to_proto(order.currency_code, order.total_minor),
        customer=order_pb2.Customer(
            email=order.customer.email,
            full_name=order.customer.full_name,
            phone_number=order.customer.phone_number,
        ),
        expires_at=to_timestamp(order.expires_at),
        created_at=to_timestamp(order.created_at),
        paid_at=to_timestamp(order.paid_at),
        cancel_reason=order.cancel_reason,
    )
