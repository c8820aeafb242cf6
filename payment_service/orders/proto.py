"""Orders and their payments as the contract shows them."""

from tessera.payment.v1 import order_pb2

from kit.clock import to_timestamp
from kit.proto_money import to_proto
from kit.rates import format_percent
from payment_service.orders.domain import Order, OrderLine
from payment_service.payments.domain import Payment
from payment_service.pricing.domain import taxes_of


def order_proto(order: Order) -> order_pb2.Order:
    """An order as its admins see it."""
    code = order.currency_code
    taxes = taxes_of(order)
    listed = sum(line.quantity * line.unit_price_minor for line in order.lines)
    return order_pb2.Order(
        id=order.id,
        code=order.code,
        state=order_pb2.OrderState.Value(f"ORDER_STATE_{order.state}"),
        event_id=order.event_id,
        organizer_id=order.organizer_id,
        hold_id=order.hold_id,
        lines=[_line(code, line) for line in order.lines],
        subtotal=to_proto(code, listed),
        discount=to_proto(code, order.discount_minor),
        booking_fee=to_proto(code, order.booking_fee_minor),
        tax=to_proto(code, sum(tax.tax_minor for tax in taxes)),
        taxes=[
            order_pb2.TaxAmount(
                rate=format_percent(tax.tax_ppm),
                net=to_proto(code, tax.net_minor),
                tax=to_proto(code, tax.tax_minor),
            )
            for tax in taxes
        ],
        total=to_proto(code, order.total_minor),
        refunded=to_proto(code, order.refunded_minor),
        voucher_code=order.voucher_code,
        customer=order_pb2.Customer(
            email=order.customer.email,
            full_name=order.customer.full_name,
            phone_number=order.customer.phone_number,
        ),
        expires_at=to_timestamp(order.expires_at),
        created_at=to_timestamp(order.created_at),
        paid_at=to_timestamp(order.paid_at),
        cancel_reason=order.cancel_reason,
        notify_on_expiry=order.notify_on_expiry,
        cancellable_until=to_timestamp(order.cancellable_until),
    )


def payment_proto(payment: Payment) -> order_pb2.Payment:
    """A payment as its admins see it."""
    return order_pb2.Payment(
        id=payment.id,
        order_id=payment.order_id,
        state=order_pb2.PaymentState.Value(f"PAYMENT_STATE_{payment.state}"),
        decline_code=payment.decline_code,
        amount=to_proto(payment.currency_code, payment.amount_minor),
        refunded=to_proto(payment.currency_code, payment.refunded_minor),
        created_at=to_timestamp(payment.created_at),
    )


def _line(code: str, line: OrderLine) -> order_pb2.OrderLine:
    return order_pb2.OrderLine(
        ticket_type_id=line.ticket_type_id,
        ticket_type_name=line.ticket_type_name,
        quantity=line.quantity,
        unit_price=to_proto(code, line.unit_price_minor),
        amount=to_proto(code, line.amount_minor),
        discount=to_proto(code, line.discount_minor),
        tax_rate=format_percent(line.tax_ppm),
        tax_included=line.tax_included,
        tax=to_proto(code, line.tax_minor),
    )
